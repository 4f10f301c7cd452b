package fsm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// The script language of the stories: one op a line, named and spelled as in the log, with its fields as key=value.
//
//	create-actor a1 pool=p name=counter key=k
//	actor-stopped a1/1 clean next=pending
//
// A word without "=" is the next field of the op that has not been given (a bool field is named). An id is written as a short text
// and filled up with zeros; a ref as actor/generation. What is left out of namespace, session, policy and the like gets a default that
// makes the op legal: see defaults.

// idOf makes an id of a short text; "-" is none, and a text in quotes is taken as it is, whatever its length.
func idOf(text string) []byte {
	if text == "-" {
		return nil
	}
	if raw, ok := strings.CutPrefix(text, `'`); ok {
		return []byte(strings.TrimSuffix(raw, `'`))
	}
	id := make([]byte, 16)
	if copy(id, text) < len(text) {
		panic("an id of more than 16 letters: " + text)
	}
	return id
}

// textOf is the way back.
func textOf(id ID) string {
	if id.IsZero() {
		return "-"
	}
	return strings.TrimRight(string(id[:]), "\x00")
}

// names are words for numbers, by field.
var names = map[protoreflect.Name][]string{
	"crash_policy": {"", "restart", "sleep", "destroy"},
	"reason":       {"none", "sleep", "destroy", "evict", "reschedule", "no_response", "replaced", "orphan", "shutdown"},
	"cause":        {"none", "newer_version", "operator", "shutdown", "replaced", "lost", "url_changed", "request_end"},
	"placement":    {"default", "spread", "binpack"},
	"state":        {"none", "open", "done", "called_off", "superseded"},
}

// parseOp reads a line of a story.
func parseOp(s *State, line string) (*logv1.Op, error) {
	words := splitWords(line)
	op := new(logv1.Op)
	field := op.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(strings.ReplaceAll(words[0], "-", "_")))
	if field == nil {
		return nil, fmt.Errorf("there is no op %q", words[0])
	}
	body := op.ProtoReflect().Mutable(field).Message()
	given := map[protoreflect.Name]bool{}
	for _, word := range words[1:] {
		if err := parseWord(body, word, given); err != nil {
			return nil, fmt.Errorf("%s: %w", word, err)
		}
	}
	defaults(s, body, given)
	return op, nil
}

// splitWords splits at spaces that are not inside quotes.
func splitWords(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '\'' || r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
}

func parseWord(body protoreflect.Message, word string, given map[protoreflect.Name]bool) error {
	fields := body.Descriptor().Fields()
	name, value, ok := strings.Cut(word, "=")
	if !ok {
		if f := fields.ByName(protoreflect.Name(word)); f != nil && f.Kind() == protoreflect.BoolKind {
			body.Set(f, protoreflect.ValueOfBool(true))
			return nil
		}
		if f := fields.ByName("evictions"); f != nil { // of PlanEvictions: actor/generation@turn
			ref, at, _ := strings.Cut(word, "@")
			planned := new(logv1.PlannedEviction)
			atMs, err := strconv.ParseInt(at, 10, 64)
			planned.AtMs, planned.Ref = atMs, new(logv1.Ref)
			body.Mutable(f).List().Append(protoreflect.ValueOfMessage(planned.ProtoReflect()))
			return errors.Join(err, setRef(planned.Ref.ProtoReflect(), ref))
		}
		for i := range fields.Len() {
			if f := fields.Get(i); !given[f.Name()] || f.IsList() {
				given[f.Name()] = true
				return setField(body, f, word)
			}
		}
		return fmt.Errorf("%s has no field left for it", body.Descriptor().Name())
	}
	for _, spelled := range []string{name, name + "_id", name + "_ms", name + "_json"} {
		if f := fields.ByName(protoreflect.Name(spelled)); f != nil {
			given[f.Name()] = true
			return setField(body, f, value)
		}
	}
	if values := fields.ByName("values"); values != nil { // of PutSettings
		setting := &logv1.SettingValue{Name: name, Reset_: value == "reset"}
		setting.Value, _ = strconv.ParseInt(value, 10, 64)
		body.Mutable(values).List().Append(protoreflect.ValueOfMessage(setting.ProtoReflect()))
		return nil
	}
	for _, nested := range []protoreflect.Name{"config", "decision", "serverless", "endpoint"} { // the last two: of a pool's config, and of PutEndpoint
		if f := fields.ByName(nested); f != nil && f.Message() != nil {
			given[nested] = true
			return parseWord(body.Mutable(f).Message(), word, map[protoreflect.Name]bool{})
		}
	}
	return fmt.Errorf("%s has no field %q", body.Descriptor().Name(), name)
}

func setField(body protoreflect.Message, f protoreflect.FieldDescriptor, text string) error {
	if f.IsList() && f.Kind() == protoreflect.MessageKind {
		return setRef(body.Mutable(f).List().AppendMutable().Message(), text)
	}
	if f.IsList() && f.Kind() == protoreflect.StringKind {
		for _, word := range strings.Split(text, ",") {
			body.Mutable(f).List().Append(protoreflect.ValueOfString(word))
		}
		return nil
	}
	if f.IsList() { // numbers of runners: the log holds differences
		list := body.Mutable(f).List()
		number, err := strconv.Atoi(text)
		for i := range list.Len() {
			number -= int(list.Get(i).Uint())
		}
		list.Append(protoreflect.ValueOfUint32(uint32(number)))
		return err
	}
	text = strings.Trim(text, `"`)
	switch f.Kind() {
	case protoreflect.BytesKind:
		value := []byte(text)
		if strings.HasSuffix(string(f.Name()), "_id") || f.Name() == "replaces" {
			value = idOf(text)
		} else if n, ok := strings.CutPrefix(text, "bytes:"); ok {
			size, err := strconv.Atoi(n)
			if err != nil {
				return err
			}
			value = make([]byte, size)
		}
		body.Set(f, protoreflect.ValueOfBytes(value))
	case protoreflect.StringKind:
		if n, ok := strings.CutPrefix(text, "letters:"); ok {
			size, err := strconv.Atoi(n)
			body.Set(f, protoreflect.ValueOfString(strings.Repeat("x", size)))
			return err
		}
		body.Set(f, protoreflect.ValueOfString(strings.Trim(text, "'")))
	case protoreflect.BoolKind:
		body.Set(f, protoreflect.ValueOfBool(text == "true"))
	case protoreflect.EnumKind:
		return setEnum(body, f, text)
	case protoreflect.MessageKind:
		return setRef(body.Mutable(f).Message(), text)
	case protoreflect.Int64Kind, protoreflect.Sfixed64Kind:
		n, err := strconv.ParseInt(text, 10, 64)
		body.Set(f, protoreflect.ValueOfInt64(n))
		return err
	default:
		return setNumber(body, f, text)
	}
	return nil
}

func setEnum(body protoreflect.Message, f protoreflect.FieldDescriptor, text string) error {
	for i := range f.Enum().Values().Len() {
		v := f.Enum().Values().Get(i)
		if strings.HasSuffix(string(v.Name()), "_"+strings.ToUpper(text)) {
			body.Set(f, protoreflect.ValueOfEnum(v.Number()))
			return nil
		}
	}
	return fmt.Errorf("%s has no value %q", f.Enum().Name(), text)
}

func setRef(ref protoreflect.Message, text string) error {
	actor, generation, ok := strings.Cut(text, "/")
	if !ok {
		return fmt.Errorf("%q is not a ref: actor/generation", text)
	}
	fields := ref.Descriptor().Fields()
	ref.Set(fields.ByName("actor_id"), protoreflect.ValueOfBytes(idOf(actor)))
	n, err := strconv.ParseUint(generation, 10, 64)
	ref.Set(fields.ByName("generation"), protoreflect.ValueOfUint64(n))
	return err
}

func setNumber(body protoreflect.Message, f protoreflect.FieldDescriptor, text string) error {
	if i := slices.Index(names[f.Name()], text); i >= 0 {
		text = strconv.Itoa(i)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if f.Kind() == protoreflect.Uint32Kind {
		if n > 1<<32-1 {
			return fmt.Errorf("%s does not fit", text)
		}
		body.Set(f, protoreflect.ValueOfUint32(uint32(n)))
		return err
	}
	body.Set(f, protoreflect.ValueOfUint64(n))
	return err
}

// defaults fills in what a story leaves out, so that the op is legal unless the story says otherwise.
func defaults(s *State, body protoreflect.Message, given map[protoreflect.Name]bool) {
	fields := body.Descriptor().Fields()
	set := func(name protoreflect.Name, value protoreflect.Value) {
		if f := fields.ByName(name); f != nil && !given[name] {
			body.Set(f, value)
		}
	}
	set("namespace_id", protoreflect.ValueOfBytes(idOf("default")))
	set("cluster_id", protoreflect.ValueOfBytes(idOf("default"))) // the default namespace has the cluster's id
	if name := body.Descriptor().Name(); name == "PutPool" {
		body.Mutable(fields.ByName("config"))
	} else if name == "CreateActor" {
		set("name", protoreflect.ValueOfString("counter"))
	}
	set("pool", protoreflect.ValueOfString("p"))
	set("crash_policy", protoreflect.ValueOfUint32(uint32(PolicyRestart)))
	set("version", protoreflect.ValueOfUint32(1))
	set("slots", protoreflect.ValueOfUint32(1))
	set("threshold_ms", protoreflect.ValueOfUint32(15_000))
	set("start_deadline_ms", protoreflect.ValueOfInt64(s.clockMs+30_000))
	set("stop_deadline_ms", protoreflect.ValueOfInt64(s.clockMs+30_000))
	if body.Descriptor().Name() == "StopActor" {
		set("deadline_ms", protoreflect.ValueOfInt64(s.clockMs+30_000))
	}
	if body.Descriptor().Name() == "ActorStopped" {
		set("cause", protoreflect.ValueOfEnum(logv1.StopCause_STOP_CAUSE_CONFIRMED.Number()))
	}
	set("session_id", protoreflect.ValueOfBytes(idOf("s1")))
	set("attempt", protoreflect.ValueOfUint32(1))
	if body.Descriptor().Name() == "OpenRequest" {
		set("node", protoreflect.ValueOfString("n1"))
		set("start_id", protoreflect.ValueOfBytes(idOf("start1")))
		set("send_by_ms", protoreflect.ValueOfInt64(s.clockMs+10_000))
		for i, name := range []protoreflect.Name{"replace_ms", "drain_ms", "expire_ms"} {
			set(name, protoreflect.ValueOfInt64(s.clockMs+int64(i+3)*100_000))
		}
	}
	set("join_by_ms", protoreflect.ValueOfInt64(s.clockMs+30_000))
	set("instance_id", protoreflect.ValueOfBytes(idOf("i1")))
	if f := fields.ByName("runner_id"); f != nil {
		if r := s.Runner(RunnerID(padded(body.Get(f).Bytes()))); r != nil {
			set("session_id", protoreflect.ValueOfBytes(r.Session[:]))
			set("attempt", protoreflect.ValueOfUint32(r.Attempt+1))
			set("last_seen_ms", protoreflect.ValueOfInt64(s.LastSeenMs(r)))
		}
	}
}

func padded(b []byte) ID {
	var id ID
	copy(id[:], b)
	return id
}

// mustOp is parseOp for tests in Go.
func mustOp(s *State, line string) *logv1.Op {
	op, err := parseOp(s, line)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", line, err))
	}
	return op
}

// play applies lines to a fresh state, one entry each, and panics when one is refused.
func play(lines ...string) *View {
	v := NewView()
	for _, line := range append([]string{"leader-established node=n1", "put-pool namespace=default name=p"}, lines...) {
		v = playOn(v, line)
	}
	return v
}

func playOn(v *View, lines ...string) *View {
	for i, line := range lines {
		tx := v.Begin(v.clockMs+10, v.wallMs+10)
		if i == 0 && v.clockMs == 0 {
			tx = v.Begin(1_000, 1_700_000_000_000)
		}
		if res := tx.Do(mustOp(&tx.State, line)); res.Code != CodeOK {
			panic(fmt.Sprintf("%s: %s", line, res.Code))
		}
		v = tx.Seal(v.index + 1)
	}
	return v
}
