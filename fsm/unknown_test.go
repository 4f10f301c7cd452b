package fsm

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// TestWhatANewerBuildWroteIsNotPassedOver: an op with a field that this build does not know, in itself or in any message inside it, was
// written by a newer one. Applied without it, this node would part from the others: it stops, and says what to do. A leader never proposes
// one either: it is the same Do.
func TestWhatANewerBuildWroteIsNotPassedOver(t *testing.T) {
	refused := 0
	inOp := new(logv1.Op).ProtoReflect().Descriptor().Oneofs().Get(0)
	for i := range inOp.Fields().Len() {
		f := inOp.Fields().Get(i)
		for _, path := range messagesIn(f.Message()) {
			op := new(logv1.Op)
			m := op.ProtoReflect().Mutable(f).Message()
			for _, step := range path {
				if step.IsList() {
					m = m.Mutable(step).List().AppendMutable().Message()
				} else {
					m = m.Mutable(step).Message()
				}
			}
			m.SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
			refused++
			wantPanic(t, op, fmt.Sprintf("%s has the field 1000, which this build does not know", m.Descriptor().Name()))
		}
	}
	if refused < inOp.Fields().Len()+10 {
		t.Errorf("only %d messages were looked at", refused)
	}
	wantPanic(t, &logv1.Op{}, "says nothing that this build knows")
	future := new(logv1.Op)
	if err := proto.Unmarshal(protowire.AppendBytes(protowire.AppendTag(nil, 1000, protowire.BytesType), nil), future); err != nil {
		t.Fatal(err)
	}
	wantPanic(t, future, "Op has the field 1000")
	wantPanic(t, &logv1.Op{Op: &logv1.Op_ActorStopped{ActorStopped: &logv1.ActorStopped{Cause: 1000}}}, "ActorStopped has the cause 1000")
}

// messagesIn returns the way to every message inside one, and to itself.
func messagesIn(m protoreflect.MessageDescriptor) [][]protoreflect.FieldDescriptor {
	ways := [][]protoreflect.FieldDescriptor{nil}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if f.Message() == nil {
			continue
		}
		for _, way := range messagesIn(f.Message()) {
			ways = append(ways, append([]protoreflect.FieldDescriptor{f}, way...))
		}
	}
	return ways
}

func wantPanic(t *testing.T, op *logv1.Op, text string) {
	t.Helper()
	v := play()
	defer func() {
		if p := fmt.Sprint(recover()); !strings.Contains(p, text) {
			t.Errorf("%v: it panics with %q, want one with %q", op, p, text)
		}
	}()
	term := v.epoch
	if op.GetLeaderEstablished() != nil {
		term++ // or it would be refused as a stale leader's
	}
	v.Apply(v.index+1, term, &logv1.Entry{Format: EntryFormat, Epoch: v.epoch, Base: v.base, Ops: []*logv1.Op{op}})
}

// An entry that has something of its own that this build does not know stops the node even before its leader is looked at.
func TestAnUnknownFieldOfAnEntryIsNotPassedOver(t *testing.T) {
	entry := &logv1.Entry{Format: EntryFormat}
	entry.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 7, protowire.VarintType), 1))
	defer func() {
		if p := fmt.Sprint(recover()); !strings.Contains(p, "Entry has the field 7") {
			t.Errorf("it panics with %q", p)
		}
	}()
	NewView().Apply(1, 1, entry)
}
