package session

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func TestAHelloIsWelcomedAndToldTheWhole(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c := dial(t, host)
		c.hello()
		got := c.heard()
		if len(got) != 2 {
			t.Fatalf("heard %v, want a Welcome and a Desired", got)
		}
		w := got[0].GetWelcome()
		if w.GetHeartbeatIntervalMs() != 3_000 || w.GetLostThresholdMs() != 15_000 || w.GetStopThresholdMs() != 30_000 || w.GetResumed() || len(w.GetEngineAddrs()) != 2 {
			t.Errorf("Welcome %v", w)
		}
		if r := e.headRunner(w.GetRunnerId()); r == nil || r.Session.String() != w.GetSessionId() || r.Holder != "n1" || !r.Connected {
			t.Errorf("the state has %+v for %v", r, w)
		}
		if d := got[1].GetDesired(); d.GetSeq() != 1 || !d.GetComplete() || len(d.GetStart())+len(d.GetStop()) != 0 {
			t.Errorf("complete set %v", d)
		}
		c.wantOpen()
		if host.Streams() != 1 {
			t.Errorf("%d streams, want 1", host.Streams())
		}
	})
}

func TestAHelloInChunksIsOneHello(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c := dial(t, host)
		c.hello(func(h *callboardv1.Hello) {
			h.More = true
			for i := range 1_000 {
				running(&callboardv1.ActorRef{ActorId: testID(uint64(1_000 + i)).String(), Generation: 1})(h)
			}
		})
		if got := c.heard(); len(got) != 0 {
			t.Fatalf("heard %v before the last chunk", got)
		}
		time.Sleep(4 * time.Second)
		more := &callboardv1.Hello{More: true}
		running(&callboardv1.ActorRef{ActorId: testID(4_000).String(), Generation: 1})(more)
		c.say(helloMessage(more))
		time.Sleep(4 * time.Second)
		ended := &callboardv1.EndedActor{Ref: &callboardv1.ActorRef{ActorId: testID(5_000).String(), Generation: 1}, Clean: true}
		c.say(helloMessage(&callboardv1.Hello{Ended: []*callboardv1.EndedActor{ended}}))
		got := c.heard()
		if len(got) < 2 || got[0].GetWelcome() == nil {
			t.Fatalf("heard %v, want a Welcome", got)
		}
		e.mu.Lock()
		hello := e.reports[0].GetHello().GetHello()
		e.mu.Unlock()
		if len(hello.GetRunning()) != 1_001 || len(hello.GetEnded()) != 1 || hello.GetMore() || hello.GetKey() != "key-1" {
			t.Errorf("the leader got %d running, %d ended, more %v, key %q", len(hello.GetRunning()), len(hello.GetEnded()), hello.GetMore(), hello.GetKey())
		}
		if n := len(stops(got)); n != 1_001 {
			t.Errorf("%d actors that the engine does not know are told to stop, want 1001", n)
		}
	})
}

// TestATokenIsNotLookedAt, and the runner that shows one is told so; it does not leave the node.
func TestATokenIsNotLookedAt(t *testing.T) {
	for _, token := range []string{"", "dev"} {
		inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
			c := dial(t, host)
			c.hello(func(h *callboardv1.Hello) { h.Token = token })
			got := c.heard()
			if len(got) == 0 || got[0].GetWelcome() == nil {
				t.Fatalf("heard %v, want a Welcome", got)
			}
			if warned := strings.Contains(strings.Join(got[0].GetWelcome().GetWarnings(), " "), "no authentication"); warned != (token != "") {
				t.Errorf("with the token %q it is told %q", token, got[0].GetWelcome().GetWarnings())
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			if told := e.reports[0].GetHello().GetHello().GetToken(); told != "" {
				t.Errorf("the leader was told the token %q", told)
			}
		})
	}
}

func helloMessage(h *callboardv1.Hello) *callboardv1.ConnectRequest {
	return &callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Hello{Hello: h}}
}

func TestABadHelloEndsTheStream(t *testing.T) {
	ref := &callboardv1.ActorRef{ActorId: testID(1_000).String(), Generation: 1}
	more := func(h *callboardv1.Hello) { h.More = true }
	many := func(n int) func(*callboardv1.Hello) {
		return func(h *callboardv1.Hello) {
			for range n {
				running(ref)(h)
			}
		}
	}
	hello := func(change ...func(*callboardv1.Hello)) *callboardv1.ConnectRequest {
		h := testHello()
		for _, f := range change {
			f(h)
		}
		return helloMessage(h)
	}
	endless := make([]*callboardv1.ConnectRequest, 0, 30)
	for range 30 {
		endless = append(endless, hello(slots(1), more, many(1_000)))
	}
	long := &callboardv1.EndedActor{Ref: ref, Message: strings.Repeat("x", 1024)}
	heavy := make([]*callboardv1.ConnectRequest, 0, 60)
	for range 60 {
		heavy = append(heavy, hello(slots(1_000_000), more, func(h *callboardv1.Hello) { h.Ended = slices.Repeat([]*callboardv1.EndedActor{long}, 1_000) }))
	}
	tests := []struct {
		name      string
		says      []*callboardv1.ConnectRequest
		code      string
		reconnect bool
		waits     bool // until the time for a Hello is over
	}{
		{"silence", nil, "session.bad_hello", true, true},
		{"a heartbeat first", []*callboardv1.ConnectRequest{beat(1)}, "session.bad_hello", true, false},
		{"an empty message", []*callboardv1.ConnectRequest{{}}, "session.bad_hello", true, false},
		{"a chunk too large", []*callboardv1.ConnectRequest{hello(many(1_001))}, "session.bad_hello", true, false},
		{"an empty chunk that promises more", []*callboardv1.ConnectRequest{hello(more)}, "session.bad_hello", true, false},
		{"no second chunk", []*callboardv1.ConnectRequest{hello(more, many(1))}, "session.bad_hello", true, true},
		{"something else between chunks", []*callboardv1.ConnectRequest{hello(more, many(1)), beat(1)}, "session.bad_hello", true, false},
		{"more actors than there can be", endless, "session.bad_hello", true, false},
		{"more bytes than there can be", heavy, "session.bad_hello", true, false},
		{"a message too large", []*callboardv1.ConnectRequest{hello(func(h *callboardv1.Hello) { h.Namespace = strings.Repeat("x", 8<<20) })}, "session.bad_message", true, false},
		{"a text too long", []*callboardv1.ConnectRequest{hello(func(h *callboardv1.Hello) {
			h.Ended = []*callboardv1.EndedActor{{Ref: ref, Message: strings.Repeat("x", 1025)}}
		})}, "session.bad_hello", true, false},
		{"an actor without an id", []*callboardv1.ConnectRequest{hello(running(&callboardv1.ActorRef{ActorId: "x"}))}, "session.bad_hello", true, false},
		{"an actor without a ref", []*callboardv1.ConnectRequest{hello(running(nil))}, "session.bad_hello", true, false},
		{"another protocol", []*callboardv1.ConnectRequest{hello(func(h *callboardv1.Hello) { h.Protocol = 2 })}, "session.protocol_unsupported", false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
				c := dial(t, host)
				for _, m := range test.says {
					c.offer(m)
				}
				if test.waits {
					time.Sleep(4900 * time.Millisecond)
					c.wantOpen()
					time.Sleep(200 * time.Millisecond)
				}
				if err := c.wantEnd(test.code, test.reconnect); !errors.Is(err, callboardv1.Refuse("session", test.code[len("session."):], "")) {
					t.Errorf("Serve returned %v, want a status", err)
				}
				if n := e.reported(func(*nodev1.SessionReport) bool { return true }); n != 0 {
					t.Errorf("%d reports", n)
				}
			})
		})
	}
}

func TestARefusedHelloIsToldWhetherToDialAgain(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c := dial(t, host)
		c.hello(slots(0))
		if err := c.wantEnd("session.bad_slots", false); err != nil {
			t.Errorf("Serve returned %v, want a clean end", err)
		}
		if n := e.reported(isBroken); n != 0 {
			t.Error("a session that never was is reported broken")
		}
	})
}

// A runner of another cluster is sent away before anything of it is known to this one.
func TestARunnerOfAnotherClusterIsSentAway(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		belongs := func(cluster string) func(*callboardv1.Hello) {
			return func(h *callboardv1.Hello) { h.ClusterId = cluster }
		}
		own, other := fsm.ClusterID(testID(1)).String(), fsm.ClusterID(testID(2)).String()
		for _, strange := range []string{other, "x"} {
			c := dial(t, host)
			c.hello(belongs(strange), running(&callboardv1.ActorRef{ActorId: testID(1_000).String(), Generation: 1}))
			if err := c.wantEnd("session.other_cluster", true); err != nil {
				t.Errorf("Serve returned %v, want a clean end", err)
			}
			if n := e.reported(isHello); n != 0 {
				t.Fatalf("the leader was told of a runner of cluster %s", strange)
			}
		}
		_, w := welcomed(t, host, belongs(own))
		if w.GetClusterId() != own {
			t.Errorf("welcomed by cluster %q, want %q", w.GetClusterId(), own)
		}
		welcomed(t, host, key("key-2"), instance(2), belongs(""))
	})
}

func TestWithoutALeaderAHelloIsSentElsewhere(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		e.set(func(e *engine) { e.leaderless = true })
		c := dial(t, host)
		c.hello()
		_ = c.wantEnd("session.node_behind", true)
	})
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		e.set(func(e *engine) { e.overloaded = true })
		c := dial(t, host)
		c.hello()
		_ = c.wantEnd("cluster.overloaded", true)
	})
}

// A node that is behind would compare with an old state. It proposes nothing.
func TestANodeThatIsBehindProposesNothing(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		e.set(func(e *engine) { e.lagging = true })
		e.do(putDefaultPool())
		c := dial(t, host)
		c.hello()
		time.Sleep(1900 * time.Millisecond)
		c.wantOpen()
		time.Sleep(200 * time.Millisecond)
		_ = c.wantEnd("session.node_behind", true)
		if n := e.reported(isHello); n != 0 {
			t.Error("a node that is behind proposed a Hello")
		}

		c = dial(t, host)
		c.hello()
		time.Sleep(time.Second)
		e.set(func(e *engine) { e.lagging = false })
		if got := c.heard(); len(got) == 0 || got[0].GetWelcome() == nil {
			t.Errorf("heard %v once the node had caught up, want a Welcome", got)
		}
	})
}

func putDefaultPool() *logv1.Op {
	ns := testID(1)
	return &logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: ns[:], Name: "default", Config: &logv1.PoolConfig{}}}}
}

func TestNothingIsSentBeforeTheViewHasTheSession(t *testing.T) {
	lagAfterHello := func(t *testing.T, e *engine, host *Host) *client {
		e.set(func(e *engine) { e.lagging, e.early = true, true })
		c := dial(t, host)
		c.hello()
		if n := e.reported(isHello); n != 1 {
			t.Fatalf("%d Hellos reported", n)
		}
		time.Sleep(1900 * time.Millisecond)
		if got := c.heard(); len(got) != 0 {
			t.Fatalf("heard %v before the View had the session", got)
		}
		c.wantOpen()
		return c
	}
	t.Run("it comes in time", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
			c := lagAfterHello(t, e, host)
			e.set(func(e *engine) { e.lagging = false })
			if got := c.heard(); len(got) != 2 || got[0].GetWelcome() == nil {
				t.Errorf("heard %v, want a Welcome and the complete set", got)
			}
		})
	})
	t.Run("the runner resumes, and the View has an earlier session", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
			first := dial(t, host)
			first.hello()
			first.heard()
			first.cut()
			time.Sleep(time.Second)
			e.set(func(e *engine) { e.lagging, e.early = true, true })
			again := dial(t, host)
			again.hello()
			time.Sleep(time.Second)
			if got := again.heard(); len(got) != 0 {
				t.Errorf("heard %v before the View had the session", got)
			}
			e.set(func(e *engine) { e.lagging = false })
			if got := again.heard(); len(got) != 2 || !got[0].GetWelcome().GetResumed() {
				t.Errorf("heard %v, want a Welcome that resumes and the complete set", got)
			}
		})
	})
	t.Run("it does not", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
			c := lagAfterHello(t, e, host)
			time.Sleep(200 * time.Millisecond)
			_ = c.wantEnd("session.node_behind", true)
			if n := e.reported(isBroken); n != 1 {
				t.Errorf("%d times reported broken, want once", n)
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			r := e.head.RunnerByNumber(1)
			if r == nil || r.Connected || r.End != fsm.NotEnded {
				t.Errorf("the leader has %+v, want a runner with a broken stream", r)
			}
		})
	})
}

// The session exists in the state although its stream has gone: somebody must say so.
func TestAStreamThatBreaksDuringItsHelloIsReportedBroken(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		e.set(func(e *engine) { e.delay = 500 * time.Millisecond })
		c := dial(t, host)
		c.hello()
		time.Sleep(100 * time.Millisecond)
		c.cut()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := e.reported(isBroken); n != 1 {
			t.Errorf("%d times reported broken, want once", n)
		}
	})
}

func TestANodeHoldsSoManyStreams(t *testing.T) {
	inBubble(t, Config{MaxStreams: 2}, func(t *testing.T, e *engine, host *Host) {
		first, _ := welcomed(t, host)
		welcomed(t, host, key("key-2"), instance(2))
		third := dial(t, host)
		if err := third.wantEnd("session.limit_reached", true); !errors.Is(err, callboardv1.Refuse("session", "limit_reached", "")) {
			t.Errorf("Serve returned %v, want a status", err)
		}
		first.cut()
		<-first.ended
		welcomed(t, host, key("key-3"), instance(3))
	})
}

func TestShutdownSendsRunnersElsewhere(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, w := welcomed(t, host)
		silent := dial(t, host)
		synctest.Wait()
		host.Shutdown(t.Context())
		if err := c.wantEnd("session.node_leaving", true); err != nil {
			t.Errorf("Serve returned %v", err)
		}
		_ = silent.wantEnd("session.node_leaving", true)
		if e.headRunner(w.GetRunnerId()).Connected {
			t.Error("the leader was not told that the stream has ended")
		}
		late := dial(t, host)
		_ = late.wantEnd("session.node_leaving", true)
	})
}

func TestShutdownDoesNotWaitForTheDeafNorForALeader(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		deaf, _ := welcomed(t, host)
		resume := deaf.stopListening()
		defer resume()
		for range 4 {
			e.create(nil)
			synctest.Wait()
		}
		cut, _ := welcomed(t, host, key("key-2"), instance(2))
		e.set(func(e *engine) { e.leaderless = true })
		cut.cut()
		ctx, cancel := contextWithTimeout(t, time.Second)
		defer cancel()
		begin := time.Now()
		host.Shutdown(ctx)
		if took := time.Since(begin); took > 1100*time.Millisecond {
			t.Errorf("Shutdown took %v", took)
		}
		if host.Streams() != 0 {
			t.Errorf("%d streams are left", host.Streams())
		}
	})
}
