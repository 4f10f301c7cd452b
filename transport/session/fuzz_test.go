package session

import (
	"testing"

	"google.golang.org/protobuf/proto"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Whatever bytes a runner sends: they are taken, or end the stream with a reason. They never panic.
func FuzzAnyMessage(f *testing.F) {
	ref := &callboardv1.ActorRef{ActorId: testID(9).String(), Generation: 1}
	for _, m := range []*callboardv1.ConnectRequest{helloMessage(testHello()), beat(1), batch(1, runs(ref), stopped(ref)), batch(1, nil), {}} {
		seed, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		m := &callboardv1.ConnectRequest{}
		if proto.Unmarshal(bytes, m) != nil {
			return
		}
		s := &session{}
		if err := s.take(m); err == nil && len(s.up.events) > 0 {
			for _, event := range s.up.events[0].GetEvents() {
				if _, err := parseRef(event.GetRef()); err != nil {
					t.Errorf("taken: %v", event)
				}
			}
		}
		hello, err := joinHello(nil, m.GetHello())
		if err != nil {
			return
		}
		if refs, err := claimed(hello); err == nil && len(refs) > len(hello.GetRunning())+len(hello.GetEnded()) {
			t.Errorf("%d refs of %v", len(refs), hello)
		}
	})
}
