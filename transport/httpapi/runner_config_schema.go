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
		"serverless":               {Type: huma.TypeObject, Description: "Not built yet: refused."},
		"metadata":                 {Description: "Any JSON."},
		"drain_on_version_upgrade": {Type: huma.TypeBoolean, Nullable: true, Description: "Deprecated here."},
	}}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{
		Type: huma.TypeObject, Properties: map[string]*huma.Schema{"datacenters": {Type: huma.TypeObject, AdditionalProperties: config}},
	}}}}
}

func ptr[T any](v T) *T { return &v }
