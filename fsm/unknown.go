package fsm

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// What a newer build wrote into a log or a snapshot and this one does not know. Passing over it would part this node from the others: it
// stops instead.

// shape is what of a kind of message has to be looked into.
type shape struct {
	oneof   protoreflect.OneofDescriptor // nil: none
	choices map[protoreflect.FieldNumber]*shape
	inside  []insideField
}

type insideField struct {
	field protoreflect.FieldDescriptor
	shape *shape // nil: an enum
}

var (
	opShape     = shapeOf(new(logv1.Op).ProtoReflect().Descriptor())
	recordShape = shapeOf(new(logv1.Record).ProtoReflect().Descriptor())
)

func shapeOf(m protoreflect.MessageDescriptor) *shape {
	s := new(shape)
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		switch in := f.ContainingOneof(); {
		case in != nil && !in.IsSynthetic():
			if s.oneof == nil {
				s.oneof, s.choices = in, map[protoreflect.FieldNumber]*shape{}
			}
			s.choices[f.Number()] = shapeOf(f.Message())
		case f.Message() != nil:
			s.inside = append(s.inside, insideField{f, shapeOf(f.Message())})
		case f.Enum() != nil:
			s.inside = append(s.inside, insideField{f, nil})
		}
	}
	return s
}

// unknown says what a message, or one inside it, has that this build does not know; empty: nothing.
func (s *shape) unknown(m protoreflect.Message) string {
	if what := unknownField(m); what != "" {
		return what
	}
	if s.oneof != nil {
		if f := m.WhichOneof(s.oneof); f != nil {
			return s.choices[f.Number()].unknown(m.Get(f).Message())
		}
	}
	for _, in := range s.inside {
		if what := in.unknown(m); what != "" {
			return what
		}
	}
	return ""
}

func (in insideField) unknown(m protoreflect.Message) string {
	switch {
	case !m.Has(in.field):
	case in.shape == nil:
		if n := m.Get(in.field).Enum(); in.field.Enum().Values().ByNumber(n) == nil {
			return fmt.Sprintf("%s has the %s %d, which this build does not know", m.Descriptor().Name(), in.field.Name(), n)
		}
	case in.field.IsList():
		list := m.Get(in.field).List()
		for i := range list.Len() {
			if what := in.shape.unknown(list.Get(i).Message()); what != "" {
				return what
			}
		}
	default:
		return in.shape.unknown(m.Get(in.field).Message())
	}
	return ""
}

// unknownField is about the message itself.
func unknownField(m protoreflect.Message) string {
	rest := m.GetUnknown()
	if len(rest) == 0 {
		return ""
	}
	number, _, _ := protowire.ConsumeTag(rest)
	return fmt.Sprintf("%s has the field %d, which this build does not know", m.Descriptor().Name(), number)
}
