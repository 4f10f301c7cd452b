package scheduler

import (
	"net/url"
	"slices"
	"strings"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Limits of a serverless pool's fields (BEHAVIOUR §3).
const (
	MaxEndpointURL  = 2_048
	MaxHeaders      = 16
	MaxHeaderName   = 128
	MaxHeaderValue  = 4_096
	MaxDrainGraceS  = 1_800
	reservedHeaders = "x-rivet-" // names that the engine sets itself
)

// fixedHeaders are those that say how a request itself is sent, or that the engine sets: a pool's config has no say in them.
var fixedHeaders = []string{
	"accept", "accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

// serverlessConfig checks what a caller wrote about a serverless pool; nil: it is a normal one.
func serverlessConfig(c *callboardv1.Serverless) (*logv1.ServerlessConfig, *callboardv1.Error) {
	if c == nil {
		return nil, nil
	}
	headers, refusal := CheckEndpoint(c.GetUrl(), c.GetHeaders())
	if refusal != nil {
		return nil, refusal
	}
	switch {
	case c.GetRequestLifespan() < 1:
		return nil, invalidField("request_lifespan", "missing: for how many seconds a request is held open; it must be shorter than your platform's request time-out")
	case c.DrainGracePeriod != nil && c.GetDrainGracePeriod() >= c.GetRequestLifespan():
		return nil, invalidField("drain_grace_period", "%d s: must be less than request_lifespan, which is %d s", c.GetDrainGracePeriod(), c.GetRequestLifespan())
	case c.GetDrainGracePeriod() > MaxDrainGraceS:
		return nil, invalidField("drain_grace_period", "%d s: at most %d s", c.GetDrainGracePeriod(), MaxDrainGraceS)
	case c.MaxConcurrentActors != nil && c.GetMaxConcurrentActors() < 1:
		return nil, invalidField("max_concurrent_actors", "0: at least 1; to stop a pool delete its config")
	case c.SlotsPerRunner != nil && (c.GetSlotsPerRunner() < 1 || c.GetSlotsPerRunner() > fsm.MaxSlots):
		return nil, invalidField("slots_per_runner", "%d: 1 to %d", c.GetSlotsPerRunner(), fsm.MaxSlots)
	}
	return &logv1.ServerlessConfig{
		Url: c.GetUrl(), Headers: headers, RequestLifespanS: c.GetRequestLifespan(), MaxConcurrentActors: c.MaxConcurrentActors,
		DrainGracePeriodS: c.DrainGracePeriod, MetadataPollIntervalMs: c.MetadataPollInterval,
		SlotsPerRunner: c.SlotsPerRunner, MinRunners: c.MinRunners, MaxRunners: c.MaxRunners, RunnersMargin: c.RunnersMargin,
	}, nil
}

func invalidField(field, format string, args ...any) *callboardv1.Error {
	refusal := callboardv1.Refuse("runner_config", "invalid", field+": "+format, args...)
	return refusal.With("field", field).With("reason", refusal.GetMessage())
}

// CheckEndpoint checks a url and the headers that are sent to it, and returns the headers by name.
func CheckEndpoint(raw string, headers []*callboardv1.Header) ([]*logv1.HeaderField, *callboardv1.Error) {
	if refusal := checkURL(raw); refusal != nil {
		return nil, refusal
	}
	if len(headers) > MaxHeaders {
		return nil, invalidField("headers", "%d headers: at most %d", len(headers), MaxHeaders)
	}
	var fields []*logv1.HeaderField
	for _, h := range headers {
		if refusal := checkHeader(h); refusal != nil {
			return nil, refusal
		}
		fields = append(fields, &logv1.HeaderField{Name: h.GetName(), Value: h.GetValue()})
	}
	slices.SortFunc(fields, func(a, b *logv1.HeaderField) int {
		return strings.Compare(strings.ToLower(a.GetName()), strings.ToLower(b.GetName()))
	})
	for i := 1; i < len(fields); i++ {
		if strings.EqualFold(fields[i-1].GetName(), fields[i].GetName()) {
			return nil, invalidField("headers", "%s is given twice", fields[i].GetName())
		}
	}
	return fields, nil
}

func checkURL(raw string) *callboardv1.Error {
	switch u, err := url.Parse(raw); {
	case raw == "":
		return invalidField("url", "missing: the address of your endpoint, such as https://my-app.example.com/api/rivet")
	case len(raw) > MaxEndpointURL:
		return invalidField("url", "%d bytes: at most %d", len(raw), MaxEndpointURL)
	case err != nil:
		return invalidField("url", "it is no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return invalidField("url", "it must begin with http:// or https://")
	case u.Hostname() == "" || u.Opaque != "":
		return invalidField("url", "it names no host")
	case u.User != nil:
		return invalidField("url", "it holds a name or a password: put them into headers, whose values are not shown")
	case u.Fragment != "":
		return invalidField("url", "it has a fragment (#…), which is never sent")
	}
	return nil
}

func checkHeader(h *callboardv1.Header) *callboardv1.Error {
	name, value := h.GetName(), h.GetValue()
	switch lower := strings.ToLower(name); {
	case len(name) < 1 || len(name) > MaxHeaderName || strings.ContainsFunc(name, func(r rune) bool { return !tokenRune(r) }):
		return invalidField("headers", "%q is no header name: 1 to %d letters, digits and -_.!#$%%&'*+^`|~", clipText(name), MaxHeaderName)
	case strings.HasPrefix(lower, reservedHeaders):
		return invalidField("headers", "%s: names that begin with %s are set by the engine", clipText(name), reservedHeaders)
	case slices.Contains(fixedHeaders, lower):
		return invalidField("headers", "%s says how a request is sent, and is set by the engine", clipText(name))
	case len(value) > MaxHeaderValue:
		return invalidField("headers", "%s has %d bytes: at most %d", clipText(name), len(value), MaxHeaderValue)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r == '\uFFFD' }):
		return invalidField("headers", "the value of %s has control characters or is no UTF-8", clipText(name))
	}
	return nil
}

// tokenRune reports whether a header name may hold a character (RFC 9110, token).
func tokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.!#$%&'*+^`|~", r)
}

// warnServerless says which fields of a config have no effect.
func warnServerless(c *callboardv1.Serverless) (warnings []string) {
	for _, field := range []struct {
		name  string
		given bool
	}{
		{"min_runners", c.GetMinRunners() != 0},
		{"max_runners", c != nil && c.MaxRunners != nil},
		{"runners_margin", c.GetRunnersMargin() != 0},
	} {
		if field.given {
			warnings = append(warnings, field.name+" is deprecated: it is kept and shown, and has no effect")
		}
	}
	if c != nil && c.SlotsPerRunner != nil {
		warnings = append(warnings, "slots_per_runner is deprecated: it is what x-rivet-total-slots asks for, and a runner brings the slots that it likes")
	}
	if c != nil && c.MetadataPollInterval != nil && c.GetMetadataPollInterval() < fsm.MinMetadataPollMs {
		warnings = append(warnings, "metadata_poll_interval is below 5000 ms, and is raised to that")
	}
	return warnings
}
