package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

var somePool = callboardv1.Refuse("pool", "not_found", "no pool x")

func TestCallsReachANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town := newTown(t)
		client := town.client()
		defer town.serve("n1:1", &loop{submit: func(*nodev1.SubmitRequest) (*nodev1.SubmitResponse, error) {
			return &nodev1.SubmitResponse{Index: 9}, nil
		}})()
		submitted, err := client.Submit(t.Context(), "n1:1", &nodev1.SubmitRequest{})
		if err != nil || submitted.GetIndex() != 9 {
			t.Errorf("submit: %v, %v", submitted, err)
		}
		read, err := client.ReadIndex(t.Context(), "n1:1")
		if err != nil || read.GetIndex() != 42 || read.GetEpoch() != 3 {
			t.Errorf("read index: %v, %v", read, err)
		}
		described, err := client.Describe(t.Context(), "n1:1")
		if err != nil || described.GetName() != "n1" {
			t.Errorf("describe: %v, %v", described, err)
		}
		if _, err := client.ChangeMembership(t.Context(), "n1:1", &nodev1.ChangeMembershipRequest{}); !errors.Is(err, ErrNotLeader) {
			t.Errorf("change membership: %v", err)
		}
	})
}

// What a leader's loop answers is what the caller gets; an error that is no refusal is an unknown outcome.
func TestRefusalsTravelWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town := newTown(t)
		client := town.client()
		var answer error
		defer town.serve("n1:1", &loop{submit: func(*nodev1.SubmitRequest) (*nodev1.SubmitResponse, error) { return nil, answer }})()
		for _, test := range []struct{ answer, want error }{
			{ErrNotLeader, ErrNotLeader},
			{fmt.Errorf("at the door: %w", ErrNotLeader), ErrNotLeader},
			{callboardv1.ErrOverloaded, callboardv1.ErrOverloaded},
			{somePool.With("pool", "x"), somePool},
			{callboardv1.ErrOutcomeUnknown, callboardv1.ErrOutcomeUnknown},
			{io.ErrUnexpectedEOF, callboardv1.ErrOutcomeUnknown},
			{context.Canceled, callboardv1.ErrOutcomeUnknown},
		} {
			answer = test.answer
			_, err := client.Submit(t.Context(), "n1:1", &nodev1.SubmitRequest{})
			if !errors.Is(err, test.want) {
				t.Errorf("%v arrived as %v", test.answer, err)
			}
			if refusal, ok := callboardv1.AsRefusal(err); !ok || errors.Is(test.want, somePool) && refusal.GetMetadata()["pool"] != "x" {
				t.Errorf("%v lost its details: %v", test.answer, err)
			}
		}
	})
}

func TestWhatNeverLeftIsNotUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town := newTown(t)
		client := town.client()
		for name, ctx := range map[string]func() (context.Context, context.CancelFunc){
			"nobody listens": func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) },
			"no time left":   func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), 0) },
		} {
			ctx, cancel := ctx()
			if _, err := client.Submit(ctx, "n2:1", &nodev1.SubmitRequest{}); !errors.Is(err, ErrUnreachable) {
				t.Errorf("%s: %v", name, err)
			}
			cancel()
		}
		huge := &nodev1.SubmitRequest{IdempotencyKey: strings.Repeat("x", MaxMessageBytes)}
		defer town.serve("n1:1", &loop{})()
		if _, err := client.Submit(t.Context(), "n1:1", huge); !errors.Is(err, ErrUnreachable) {
			t.Errorf("a message too large: %v", err)
		}
	})
}

func TestWhatLeftAndCameToNothingIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town := newTown(t)
		client := town.client()
		end := make(chan struct{})
		defer close(end)
		stuck := &loop{submit: func(*nodev1.SubmitRequest) (*nodev1.SubmitResponse, error) {
			<-end
			return nil, io.EOF
		}}
		kill := town.serve("n1:1", stuck)
		defer kill()
		for name, spoil := range map[string]func(cancel context.CancelFunc){
			"the caller gives up": func(cancel context.CancelFunc) { cancel() },
			"the connection":      func(context.CancelFunc) { town.hangUp("n1:1") },
			"the client":          func(context.CancelFunc) { client.Keep() },
			"the deadline":        func(context.CancelFunc) {},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			time.AfterFunc(time.Second, func() { spoil(cancel) })
			if _, err := client.Submit(ctx, "n1:1", &nodev1.SubmitRequest{}); !errors.Is(err, callboardv1.ErrOutcomeUnknown) {
				t.Errorf("%s: %v", name, err)
			}
			cancel()
		}
		time.AfterFunc(time.Second, kill)
		if _, err := client.Submit(t.Context(), "n1:1", &nodev1.SubmitRequest{}); !errors.Is(err, callboardv1.ErrOutcomeUnknown) {
			t.Errorf("the node was killed: %v", err)
		}
	})
}

func TestAClientFindsANodeAgainWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town := newTown(t)
		client := town.client()
		_, _ = client.Describe(t.Context(), "n1:1")
		for range 30 { // long enough for the back-off to grow as far as it may
			time.Sleep(time.Second)
			if _, err := client.Describe(t.Context(), "n1:1"); !errors.Is(err, ErrUnreachable) {
				t.Fatal(err)
			}
		}
		defer town.serve("n1:1", &loop{})()
		time.Sleep(1200 * time.Millisecond) // a second, and a fifth of jitter
		if _, err := client.Describe(t.Context(), "n1:1"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	client := newTown(t).client()
	for i := range maxConnections {
		if _, err := client.node(fmt.Sprintf("n%d:1", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.node("new:1"); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("one too many: %v", err)
	}
	client.Keep("n1:1")
	if _, err := client.node("new:1"); err != nil || len(client.connections) != 2 {
		t.Fatalf("%v, %d connections", err, len(client.connections))
	}
	client.Close()
	if _, err := client.node("n1:1"); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("after Close: %v", err)
	}
}

// A node at an address that was another's does nothing for a caller of another cluster, and one without a cluster may ask it.
func TestANodeOfAnotherClusterDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		desk.submit = func(*nodev1.SubmitRequest) (*nodev1.SubmitResponse, error) {
			t.Error("a write of another cluster was taken")
			return &nodev1.SubmitResponse{}, nil
		}
		defer town.serve("n1:1", desk)()
		town.cluster = "cluster-2"
		client := town.client()
		if _, err := client.Submit(t.Context(), "n1:1", &nodev1.SubmitRequest{}); !errors.Is(err, ErrNotLeader) {
			t.Errorf("Submit: %v", err)
		}
		if _, err := client.ReadIndex(t.Context(), "n1:1"); !errors.Is(err, ErrNotLeader) {
			t.Errorf("ReadIndex: %v", err)
		}
		if _, err := client.Describe(t.Context(), "n1:1"); !errors.Is(err, ErrNotLeader) {
			t.Errorf("Describe: %v", err)
		}
		if _, err := client.ChangeMembership(t.Context(), "n1:1", &nodev1.ChangeMembershipRequest{}); !errors.Is(err, ErrNotLeader) {
			t.Errorf("ChangeMembership: %v", err)
		}
		office := newOffice(t, town, newCompass("n1:1"))
		office.report("a")
		pass(time.Minute)
		office.expect("a?")
		desk.expect(t)
		office.stop()
		town.cluster = ""
		if _, err := client.ReadIndex(t.Context(), "n1:1"); err != nil {
			t.Errorf("ReadIndex of a node without a cluster: %v", err)
		}
	})
}

// A process that is not the node that it calls itself is refused, whatever it asks; one that cannot be judged yet may ask again.
func TestOnlyTheStartThatCountsIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town := newTown(t)
		town.judge = func(_ context.Context, caller string) error {
			switch caller {
			case "n2#1":
				return fmt.Errorf("judged: %w", ErrOtherStart)
			case "n2#3":
				return errors.New("who knows")
			}
			return nil
		}
		defer town.serve("n1:1", &loop{submit: func(*nodev1.SubmitRequest) (*nodev1.SubmitResponse, error) {
			return &nodev1.SubmitResponse{}, nil
		}})()
		for caller, want := range map[string]error{"": nil, "n2#2": nil, "n2#1": ErrOtherStart, "n2#3": ErrNotLeader} {
			town.caller = caller
			client := town.client()
			_, submitted := client.Submit(t.Context(), "n1:1", &nodev1.SubmitRequest{})
			_, read := client.ReadIndex(t.Context(), "n1:1")
			_, described := client.Describe(t.Context(), "n1:1")
			_, member := client.Membership(t.Context(), "n1:1", &nodev1.MembershipRequest{})
			for what, err := range map[string]error{"Submit": submitted, "ReadIndex": read, "Describe": described, "Membership": member} {
				if !errors.Is(err, want) {
					t.Errorf("%s of %q: %v, want %v", what, caller, err, want)
				}
			}
		}
	})
}
