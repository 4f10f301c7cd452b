package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

type idempotencyKey struct{}

// WithIdempotencyKey names the idempotency key of the one write made with the context. A key that the request itself names wins.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// request is a message made ready to be sent, perhaps several times.
type request struct {
	message proto.Message
	writes  bool
	key     string        // of a write that may be sent again
	waits   time.Duration // how long the engine is asked to wait before it answers
}

// safe tells whether sending it twice is the same as sending it once.
func (r *request) safe() bool { return !r.writes || r.key != "" }

// prepare fills in what the caller left out. The caller's message is not changed.
func (c *Client) prepare(ctx context.Context, args any) (*request, error) {
	original, ok := args.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a message", args)
	}
	m := proto.Clone(original).ProtoReflect()
	req := &request{message: m.Interface()}
	if f := textField(m, "namespace"); f != nil && m.Get(f).String() == "" {
		m.Set(f, protoreflect.ValueOfString(c.options.namespace))
	}
	if f := textField(m, "idempotency_key"); f != nil {
		req.writes = true
		if m.Get(f).String() == "" {
			m.Set(f, protoreflect.ValueOfString(newKey(ctx)))
		}
		req.key = m.Get(f).String()
	}
	if f := m.Descriptor().Fields().ByName("timeout_ms"); f != nil {
		req.waits = waitOf(m.Interface(), time.Duration(m.Get(f).Uint())*time.Millisecond)
	}
	switch m.Interface().(type) {
	case *callboardv1.AddVoterRequest, *callboardv1.RemovePeerRequest:
		req.writes = true // without a key: an unknown outcome stays unknown
	}
	return req, checkText(m)
}

// checkText refuses what cannot be sent, and would else come back from every attempt as an outcome that is not known.
func checkText(m protoreflect.Message) (err error) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		check := func(v protoreflect.Value) bool {
			switch v := v.Interface().(type) {
			case string:
				if !utf8.ValidString(v) {
					err = callboardv1.Refuse("api", "bad_request", "%s is not valid UTF-8: nothing was sent", f.Name()).With("field", string(f.Name()))
				}
			case protoreflect.Message:
				err = checkText(v)
			}
			return err == nil
		}
		switch {
		case f.IsMap():
			v.Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool { return check(key.Value()) && check(v) })
		case f.IsList():
			for i := 0; i < v.List().Len() && check(v.List().Get(i)); i++ {
			}
		default:
			check(v)
		}
		return err == nil
	})
	return err
}

// waitOf returns how long the engine may wait before it answers: a time-out of 0 means its default.
func waitOf(m proto.Message, timeout time.Duration) time.Duration {
	if get, ok := m.(*callboardv1.GetRequest); ok && !get.GetWaitRunning() {
		return 0
	}
	if timeout == 0 {
		return DefaultTimeout
	}
	return timeout
}

func newKey(ctx context.Context) string {
	if key, ok := ctx.Value(idempotencyKey{}).(string); ok && key != "" {
		return key
	}
	return "auto-" + rand.Text()
}

func textField(m protoreflect.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
	f := m.Descriptor().Fields().ByName(name)
	if f == nil || f.Kind() != protoreflect.StringKind || f.IsList() {
		return nil
	}
	return f
}
