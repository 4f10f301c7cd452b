package httpapi

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// decodeServerless reads a field that only serverless has.
func (w *wantedConfig) decodeServerless(name string, f field) (err error) {
	c := w.config.GetServerless()
	if c == nil {
		return invalid(f.path, "there is no such field: known are drain_on_version_upgrade, actor_eviction_delay, actor_eviction_period, actor_eviction_rate, runner_lost_threshold, placement")
	}
	switch name {
	case "url":
		c.Url, err = f.text()
	case "headers":
		c.Headers, err = f.headers()
	case "request_lifespan":
		var seconds *uint32
		if seconds, err = f.seconds(); err == nil {
			c.RequestLifespan = *seconds
		}
	case "max_concurrent_actors":
		c.MaxConcurrentActors, err = f.whole("actors")
	case "drain_grace_period":
		c.DrainGracePeriod, err = f.seconds()
	case "metadata_poll_interval":
		c.MetadataPollInterval, err = f.whole("milliseconds")
	case "slots_per_runner":
		c.SlotsPerRunner, err = f.small("slots")
	case "min_runners":
		c.MinRunners, err = f.small("runners")
	case "max_runners":
		c.MaxRunners, err = f.small("runners")
	case "runners_margin":
		c.RunnersMargin, err = f.small("runners")
	default:
		err = invalid(f.path, "there is no such field: known are url, headers, request_lifespan, max_concurrent_actors, drain_grace_period, metadata_poll_interval, "+
			"slots_per_runner, min_runners, max_runners, runners_margin, and those of normal")
	}
	return err
}

func (f field) text() (string, error) {
	var v string
	if err := json.Unmarshal(f.raw, &v); err != nil {
		return "", invalid(f.path, "want a text")
	}
	return v, nil
}

func (f field) whole(of string) (*uint64, error) {
	v, err := strconv.ParseUint(string(f.raw), 10, 64)
	if err != nil {
		return nil, invalid(f.path, "want a whole number of %s, 0 to %d", of, uint64(math.MaxUint64))
	}
	return &v, nil
}

func (f field) small(of string) (*uint32, error) {
	v, err := strconv.ParseUint(string(f.raw), 10, 32)
	if err != nil {
		return nil, invalid(f.path, "want a whole number of %s, 0 to %d", of, uint32(math.MaxUint32))
	}
	n := uint32(v)
	return &n, nil
}

// headers reads an object of texts. A name has one spelling.
func (f field) headers() ([]*callboardv1.Header, error) {
	members, err := readMap(f.raw, f.path)
	if err != nil {
		return nil, err
	}
	var headers []*callboardv1.Header
	for name, m := range members {
		value, err := m.text()
		if err != nil {
			return nil, err
		}
		if value == headerSet || value == headerUnset {
			return nil, invalid(m.path, "%q is what reads show in place of a value, which is a secret: give the value again", value)
		}
		headers = append(headers, &callboardv1.Header{Name: name, Value: value})
	}
	slices.SortFunc(headers, func(a, b *callboardv1.Header) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return headers, nil
}

// serverlessBody is a serverless pool's config, every default filled in. The values of headers are secrets: they read as "set" or "unset".
type serverlessBody struct {
	normalBody
	URL                  string            `json:"url"`
	Headers              map[string]string `json:"headers" doc:"Names; set or unset in place of values."`
	RequestLifespan      uint32            `json:"request_lifespan" doc:"Seconds."`
	MaxConcurrentActors  uint64            `json:"max_concurrent_actors"`
	DrainGracePeriod     uint32            `json:"drain_grace_period" doc:"Seconds."`
	MetadataPollInterval uint64            `json:"metadata_poll_interval" doc:"Milliseconds."`
	SlotsPerRunner       *uint32           `json:"slots_per_runner,omitempty" doc:"Deprecated."`
	MinRunners           *uint32           `json:"min_runners,omitempty" doc:"Deprecated."`
	MaxRunners           *uint32           `json:"max_runners,omitempty" doc:"Deprecated."`
	RunnersMargin        *uint32           `json:"runners_margin,omitempty" doc:"Deprecated."`
}

// poolErrorBody is why a pool's endpoint gives no runners.
type poolErrorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	TS      int64  `json:"ts" doc:"Of the last failure, unix ms."`
	Count   uint32 `json:"count"`
	RetryTS *int64 `json:"retry_ts" doc:"Unix ms; null: at once."`
}

func serverlessConfig(normal normalBody, c *callboardv1.Serverless) *serverlessBody {
	body := &serverlessBody{
		normalBody: normal, URL: c.GetUrl(), Headers: map[string]string{}, RequestLifespan: c.GetRequestLifespan(), MaxConcurrentActors: c.GetMaxConcurrentActors(),
		DrainGracePeriod: c.GetDrainGracePeriod(), MetadataPollInterval: c.GetMetadataPollInterval(),
		SlotsPerRunner: c.SlotsPerRunner, MinRunners: c.MinRunners, MaxRunners: c.MaxRunners, RunnersMargin: c.RunnersMargin,
	}
	for _, h := range c.GetHeaders() {
		if body.Headers[h.GetName()] = headerUnset; h.GetSet() {
			body.Headers[h.GetName()] = headerSet
		}
	}
	return body
}

// What reads show in place of a header's value.
const (
	headerSet   = "set"
	headerUnset = "unset"
)

func poolError(e *callboardv1.EndpointError) *poolErrorBody {
	if e == nil {
		return nil
	}
	body := &poolErrorBody{Code: e.GetCode(), Message: e.GetMessage(), TS: e.GetTs(), Count: e.GetCount()}
	if e.GetRetryTs() != 0 {
		body.RetryTS = &e.RetryTs
	}
	return body
}
