package session

import (
	"errors"
	"fmt"
	"testing"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func TestAGapOrARepeatEndsTheStream(t *testing.T) {
	for _, seqs := range [][]uint64{{2}, {0}, {1, 1}, {1, 3}} {
		t.Run(fmt.Sprint(seqs), func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
				c, w := welcomed(t, host)
				for _, seq := range seqs {
					c.say(batch(seq))
				}
				if err := c.wantEnd("session.sequence_gap", true); !errors.Is(err, callboardv1.Refuse("session", "sequence_gap", "")) {
					t.Errorf("Serve returned %v, want a status", err)
				}
				if e.headRunner(w.GetRunnerId()).Connected || e.reported(isBroken) != 1 {
					t.Error("the end of the stream is not reported once")
				}
			})
		})
	}
}

func TestAMalformedMessageEndsTheStream(t *testing.T) {
	ref := &callboardv1.ActorRef{ActorId: testID(9).String(), Generation: 1}
	many := make([]*callboardv1.ActorEvent, 1_001)
	for i := range many {
		many[i] = runs(ref)
	}
	tests := map[string]*callboardv1.ConnectRequest{
		"nothing":          {},
		"an empty oneof":   {Message: &callboardv1.ConnectRequest_Events{}},
		"a second Hello":   helloMessage(testHello()),
		"too many events":  batch(1, many...),
		"a nil event":      batch(1, nil),
		"an empty event":   batch(1, &callboardv1.ActorEvent{Ref: ref}),
		"an event of none": batch(1, runs(nil)),
		"a bad id":         batch(1, runs(&callboardv1.ActorRef{ActorId: "0190a1b2"})),
		"a state too large": batch(1, &callboardv1.ActorEvent{Ref: ref, Event: &callboardv1.ActorEvent_Save{
			Save: &callboardv1.SaveEvent{State: make([]byte, 64<<10+1)},
		}}),
		"a message too long": batch(1, &callboardv1.ActorEvent{Ref: ref, Event: &callboardv1.ActorEvent_Stopped{
			Stopped: &callboardv1.StoppedEvent{Message: string(make([]byte, 1025))},
		}}),
		"a receipt of nothing": {Message: &callboardv1.ConnectRequest_CommandsAck{CommandsAck: &callboardv1.CommandsAck{Seq: 7}}},
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
				c, _ := welcomed(t, host)
				c.say(m)
				code := "session.bad_message"
				if name == "an empty oneof" {
					code = "session.sequence_gap" // a batch without a seq
				}
				_ = c.wantEnd(code, true)
				if c.result == nil {
					t.Error("Serve returned nil, want a status")
				}
			})
		})
	}
}
