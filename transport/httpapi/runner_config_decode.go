package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// A config is decoded by hand: both spellings of a field are accepted, but not both at once, and whatever is wrong is refused with the
// path of its field.

// wantedConfig is a config that a caller wrote, and where each field of it stood.
type wantedConfig struct {
	config *callboardv1.PoolConfig
	paths  map[string]string // by the name that the operations know
	unused []string          // warnings about what published clients put there, and what has no effect there
}

// locate puts the path of a field in place of its name.
func (w *wantedConfig) locate(err error) error {
	refusal, ok := callboardv1.AsRefusal(err)
	if !ok {
		return err
	}
	path, known := w.paths[refusal.GetMetadata()["field"]]
	if !known {
		return err
	}
	return proto.CloneOf(refusal).With("field", path)
}

func invalid(path, format string, args ...any) error {
	reason := fmt.Sprintf(format, args...)
	return callboardv1.Refuse("runner_config", "invalid", "%s: %s", path, reason).With("field", path).With("reason", reason)
}

// decodeConfig reads the body of a PUT; nil: the config is to be deleted.
func decodeConfig(body []byte, datacenter string) (*wantedConfig, error) {
	root, err := readObject(body, "")
	if err != nil {
		return nil, err
	}
	if _, ok := root["datacenters"]; !ok {
		if len(root) == 0 {
			return nil, invalid("datacenters", "it is missing: want {\"datacenters\":{%q:{\"normal\":{}}}}", datacenter)
		}
		return decodeDatacenter(root)
	}
	for name, f := range root {
		if name != "datacenters" {
			return nil, invalid(f.path, "it does not go beside datacenters: put it into datacenters.%s", datacenter)
		}
	}
	// Names of datacenters are no fields: they have one spelling.
	datacenters, err := readMap(root["datacenters"].raw, "datacenters")
	if err != nil {
		return nil, err
	}
	for name, f := range datacenters {
		if name != datacenter {
			return nil, callboardv1.Refuse("datacenter", "not_found", "%s: there is no datacenter %q: this cluster is %q", clip(f.path), clip(name), datacenter).
				With("field", f.path)
		}
	}
	f, ok := datacenters[datacenter]
	if !ok {
		return nil, nil
	}
	fields, err := readObject(f.raw, f.path)
	if err != nil {
		return nil, err
	}
	return decodeDatacenter(fields)
}

// decodeDatacenter reads what one datacenter has: exactly one kind, and what may stand beside it.
func decodeDatacenter(fields map[string]field) (*wantedConfig, error) {
	w := &wantedConfig{config: &callboardv1.PoolConfig{}, paths: map[string]string{}}
	for name, f := range fields {
		switch name {
		case "normal", "serverless", "metadata", "drain_on_version_upgrade":
		case "runner_pool_error": // what reads show: whoever writes back what was read means no change of it
		case "protocol_version": // reads show null
			if !f.null() {
				return nil, invalid(f.path, "it can only be null: this engine does not speak the protocols of the reference")
			}
		case "metadata_poll_interval": // rivetkit puts it there, where its own engine drops it
			w.unused = append(w.unused, f.path+": it has no effect beside a kind: a serverless pool has it inside serverless")
		default:
			return nil, invalid(f.path, "there is no such field: known are normal, serverless, metadata, drain_on_version_upgrade")
		}
	}
	normal, isNormal := fields["normal"]
	serverless, isServerless := fields["serverless"]
	switch {
	case isNormal && isServerless:
		return nil, invalid(serverless.path, "normal and serverless are both given: want one")
	case isServerless:
		normal = serverless
	case !isNormal:
		return nil, invalid(inside(fields, "normal"), "neither normal nor serverless is given: want one")
	}
	inner, err := readObject(normal.raw, normal.path)
	if err != nil {
		return nil, err
	}
	if isServerless {
		w.config.Serverless = &callboardv1.Serverless{}
	}
	if err := w.decodeKind(inner); err != nil {
		return nil, err
	}
	if f, ok := fields["metadata"]; ok && !f.null() {
		w.paths["metadata"] = f.path
		w.config.MetadataJson = string(f.raw)
	}
	if f, ok := fields["drain_on_version_upgrade"]; ok && !f.null() { // deprecated there, and wins
		if w.config.DrainOnVersionUpgrade, err = f.boolean(); err != nil {
			return nil, err
		}
		w.paths["drain_on_version_upgrade"] = f.path
	}
	return w, nil
}

// inside is the path that a missing field would have beside others.
func inside(fields map[string]field, name string) string {
	for _, f := range fields {
		return strings.TrimSuffix(f.path, f.spelling) + name
	}
	return name
}

// decodeKind reads the fields of normal, or those of serverless.
func (w *wantedConfig) decodeKind(fields map[string]field) (err error) {
	c := w.config
	for name, f := range fields {
		w.paths[name] = f.path
		if f.null() {
			continue
		}
		switch name {
		case "drain_on_version_upgrade":
			c.DrainOnVersionUpgrade, err = f.boolean()
		case "actor_eviction_delay":
			c.ActorEvictionDelay, err = f.seconds()
		case "actor_eviction_period":
			c.ActorEvictionPeriod, err = f.seconds()
		case "runner_lost_threshold":
			c.RunnerLostThreshold, err = f.seconds()
		case "actor_eviction_rate":
			c.ActorEvictionRateMicros, err = f.rate()
		case "placement":
			c.Placement, err = f.placement()
		default:
			err = w.decodeServerless(name, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// field is one member of an object: its spelling and where it stands.
type field struct {
	spelling, path string
	raw            json.RawMessage
}

// readObject reads an object by snake_case names. A field that comes twice, in one spelling or two, is refused.
func readObject(raw []byte, path string) (map[string]field, error) {
	return readMembers(raw, path, snakeCase)
}

// readMap reads an object by names as they are.
func readMap(raw []byte, path string) (map[string]field, error) {
	return readMembers(raw, path, func(name string) string { return name })
}

func readMembers(raw []byte, path string, canonical func(string) string) (map[string]field, error) {
	where := path
	if where == "" {
		where = "body"
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	token, err := dec.Token()
	if err != nil {
		return nil, badRequest(where, "it is not JSON: "+notJSON(err))
	}
	if token != json.Delim('{') {
		return nil, invalid(where, "want an object")
	}
	members := map[string]field{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, badRequest(where, "it is not JSON: "+notJSON(err))
		}
		spelling, _ := token.(string) // a key is a string
		f := field{spelling: spelling, path: spelling}
		if path != "" {
			f.path = path + "." + spelling
		}
		if err := dec.Decode(&f.raw); err != nil {
			return nil, badRequest(f.path, "it is not JSON: "+notJSON(err))
		}
		name := canonical(spelling)
		if before, twice := members[name]; twice {
			return nil, invalid(f.path, "it is given twice: as %s and as %s", before.spelling, spelling)
		}
		members[name] = f
	}
	if _, err := dec.Token(); err != nil {
		return nil, badRequest(where, "it is not JSON: "+notJSON(err))
	}
	if _, err := dec.Token(); err != io.EOF { //nolint:errorlint // Token returns the very value
		return nil, badRequest(where, "there is more after the JSON")
	}
	return members, nil
}

func notJSON(err error) string {
	if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // encoding/json returns the very values
		return "it ends too early"
	}
	return err.Error()
}

// snakeCase turns camelCase into snake_case; what is neither stays as it is, and is no field.
func snakeCase(name string) string {
	if name == "" || name[0] >= 'A' && name[0] <= 'Z' || strings.Contains(name, "_") {
		return name
	}
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (f field) null() bool { return string(f.raw) == "null" }

func (f field) boolean() (*bool, error) {
	var v bool
	if err := json.Unmarshal(f.raw, &v); err != nil {
		return nil, invalid(f.path, "want true or false")
	}
	return &v, nil
}

func (f field) seconds() (*uint32, error) {
	v, err := strconv.ParseUint(string(f.raw), 10, 32)
	if err != nil {
		return nil, invalid(f.path, "want a whole number of seconds, 0 to %d", uint32(math.MaxUint32))
	}
	s := uint32(v)
	return &s, nil
}

// Rates that a pool can have, in actors a second. The field is a 32-bit float to those who know it: a limit that is written as one is
// inside.
const (
	minRate = float32(1e-6)
	maxRate = float32(1e5)
)

// rate reads actors a second as micro-actors.
func (f field) rate() (*uint64, error) {
	v, err := strconv.ParseFloat(string(f.raw), 64) // what is no number in JSON, such as "NaN", is none here
	if err != nil || float32(v) < minRate || float32(v) > maxRate {
		return nil, invalid(f.path, "want a number of actors a second, 0.000001 to 100000, and it is %s; `rollout pause` stops evictions, and `unlimited` on the command line is 100000",
			clip(string(f.raw)))
	}
	micros := max(1, min(uint64(math.Round(v*1e6)), 1e5*1e6))
	return &micros, nil
}

func (f field) placement() (callboardv1.Placement, error) {
	var v string
	if err := json.Unmarshal(f.raw, &v); err == nil {
		switch v {
		case "spread":
			return callboardv1.Placement_PLACEMENT_SPREAD, nil
		case "binpack":
			return callboardv1.Placement_PLACEMENT_BINPACK, nil
		}
	}
	return 0, invalid(f.path, "want \"spread\" or \"binpack\"")
}
