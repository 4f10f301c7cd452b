package httpapi

import "github.com/danielgtaylor/huma/v2"

// configRequestBody describes what decodeConfig reads, for the OpenAPI document.
func configRequestBody() *huma.RequestBody {
	seconds := func() *huma.Schema {
		return &huma.Schema{Type: huma.TypeInteger, Format: "int32", Minimum: ptr(0.0), Description: "Seconds.", Nullable: true}
	}
	normal := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Properties: map[string]*huma.Schema{
		"drain_on_version_upgrade": {Type: huma.TypeBoolean, Nullable: true, Description: "Runners of older versions give up their actors. Default: true."},
		"actor_eviction_delay":     seconds(),
		"actor_eviction_period":    seconds(),
		"actor_eviction_rate": {
			Type: huma.TypeNumber, Format: "float", Minimum: ptr(1e-6), Maximum: ptr(1e5), Nullable: true, Description: "Actors per second. Default: 1; 100000: without a limit.",
		},
		"runner_lost_threshold": seconds(),
		"placement":             {Type: huma.TypeString, Enum: []any{"spread", "binpack"}, Nullable: true},
	}}
	config := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Properties: map[string]*huma.Schema{
		"normal":                   normal,
		"serverless":               serverlessSchema(normal),
		"metadata":                 {Description: "Any JSON."},
		"drain_on_version_upgrade": {Type: huma.TypeBoolean, Nullable: true, Description: "Deprecated here."},
		"metadata_poll_interval":   {Description: "Taken with a warning, without effect here."},
	}}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{
		Type: huma.TypeObject, Properties: map[string]*huma.Schema{"datacenters": {Type: huma.TypeObject, AdditionalProperties: config}},
	}}}}
}

func ptr[T any](v T) *T { return &v }

// serverlessSchema is the form of a serverless pool's config: the fields of normal, and those that are its own.
func serverlessSchema(normal *huma.Schema) *huma.Schema {
	number := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeInteger, Minimum: ptr(0.0), Description: description, Nullable: true}
	}
	properties := map[string]*huma.Schema{
		"url":                    {Type: huma.TypeString, Description: "The engine calls {url}/start and {url}/metadata."},
		"headers":                {Type: huma.TypeObject, AdditionalProperties: &huma.Schema{Type: huma.TypeString}, Description: "At most 16, sent with every request."},
		"request_lifespan":       number("Seconds that a request is held open. Must be shorter than your platform's request time-out."),
		"max_concurrent_actors":  number("Soft cap. Default: 1000."),
		"drain_grace_period":     number("Seconds before the end of a request at which its runner drains."),
		"metadata_poll_interval": number("Milliseconds; below 5000 it is raised to that. Default: 10000."),
		"slots_per_runner":       number("Deprecated: what x-rivet-total-slots asks for."),
		"min_runners":            number("Deprecated, without effect."),
		"max_runners":            number("Deprecated, without effect."),
		"runners_margin":         number("Deprecated, without effect."),
	}
	for name, schema := range normal.Properties {
		properties[name] = schema
	}
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"url", "request_lifespan"}, Properties: properties}
}
