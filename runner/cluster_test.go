package runner

import (
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// stranger is a node of another cluster, at an address that the runner may dial.
func stranger(t *testing.T, n *fakeNet, addr string, says func(*callboardv1.Hello) *callboardv1.ConnectResponse) *fakeEngine {
	e := newFakeEngine(t, n, addr)
	e.set(func(e *fakeEngine) { e.cluster, e.welcome = "cluster-2", says })
	return e
}

func strangersDisconnect(code string, reconnect bool, addrs ...string) *callboardv1.ConnectResponse {
	return &callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_Disconnect{Disconnect: &callboardv1.Disconnect{
		Error: callboardv1.Refuse("session", code, "said by the test"), Reconnect: reconnect, ClusterId: "cluster-2", EngineAddrs: addrs,
	}}}
}

// While its own node is away a runner comes to a node of another cluster, whatever that says: its actors run on, and it goes back.
func TestAnotherClusterHasNoSay(t *testing.T) {
	welcome := func(*callboardv1.Hello) *callboardv1.ConnectResponse {
		m := welcomeMessage(testThreshold, false)
		m.GetWelcome().ClusterId, m.GetWelcome().EngineAddrs = "cluster-2", []string{"c:1"}
		return m
	}
	for name, says := range map[string]func(*callboardv1.Hello) *callboardv1.ConnectResponse{
		"a Welcome": welcome,
		"a Welcome without its name": func(h *callboardv1.Hello) *callboardv1.ConnectResponse {
			m := welcome(h)
			m.GetWelcome().ClusterId = ""
			return m
		},
		"its refusal": func(*callboardv1.Hello) *callboardv1.ConnectResponse {
			return strangersDisconnect("other_cluster", true, "c:1")
		},
		"a refusal for good": func(*callboardv1.Hello) *callboardv1.ConnectResponse {
			return strangersDisconnect("namespace_not_found", false, "c:1")
		},
		"that it was replaced": func(*callboardv1.Hello) *callboardv1.ConnectResponse {
			return strangersDisconnect(codeReplaced, false)
		},
		"nothing": func(*callboardv1.Hello) *callboardv1.ConnectResponse { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				own := newFakeEngine(t, n, "a:1")
				other := stranger(t, n, "b:1", says)
				own.set(func(e *fakeEngine) { e.addrs = []string{"b:1"} })
				r := startRunner(t, n, Config{Endpoint: "a:1"}, untilStopped)
				s := own.session(0)
				s.start("x", "y")
				own.expectSet("running x/1", "running y/1")
				own.away(true)
				s.end <- nil
				at := other.session(0)
				if got := at.hello.GetClusterId(); got != testCluster {
					t.Errorf("the Hello names cluster %q", got)
				}
				at.stop("x", 1, callboardv1.StopReason_STOP_REASON_ORPHAN)
				time.Sleep(time.Second)
				own.away(false)
				own.session(1)
				time.Sleep(time.Minute)
				own.expect()
				if got := other.reported(); len(got) > 0 {
					t.Errorf("the stranger was told %q", got)
				}
				for _, addr := range n.dialled() {
					if addr == "c:1" {
						t.Error("the runner dialled what a stranger told it")
					}
				}
				if got := r.Status(); got.Actors != 2 || got.Address != "a:1" || r.ended() {
					t.Errorf("status %+v", got)
				}
			})
		})
	}
}

// A status without a word may come from whatever program has the address now.
func TestAStrangersStatusEndsNoRunner(t *testing.T) {
	for _, code := range []codes.Code{codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument} {
		synctest.Test(t, func(t *testing.T) {
			n := &fakeNet{}
			own := newFakeEngine(t, n, "a:1")
			other := stranger(t, n, "b:1", func(*callboardv1.Hello) *callboardv1.ConnectResponse { return nil })
			own.set(func(e *fakeEngine) { e.addrs = []string{"b:1"} })
			r := startRunner(t, n, Config{Endpoint: "a:1"}, untilStopped)
			s := own.session(0)
			s.start("x")
			own.expect("running x/1")
			own.away(true)
			s.end <- nil
			other.session(0).end <- status.Error(code, "not here")
			time.Sleep(time.Second)
			own.away(false)
			own.session(1)
			if r.ended() || r.Status().Actors != 1 {
				t.Errorf("%v: ended %v, status %+v", code, r.ended(), r.Status())
			}
		})
	}
}

// Without a lease and without actors there is nothing to lose: at an address of its configuration a runner joins the cluster that was
// made in the place of its own; at one that it was told of it names its own still.
func TestANewClusterIsJoinedWithEmptyHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		own := newFakeEngine(t, n, "a:1")
		own.set(func(e *fakeEngine) { e.addrs = []string{"b:1"} })
		startRunner(t, n, Config{Endpoint: "a:1"}, untilStopped)
		s := own.session(0)
		other := stranger(t, n, "b:1", func(h *callboardv1.Hello) *callboardv1.ConnectResponse {
			return strangersDisconnect("other_cluster", true)
		})
		s.start("x")
		own.expect("running x/1")
		own.set(func(e *fakeEngine) { e.cluster = "cluster-3" })
		s.end <- nil
		time.Sleep(testThreshold)
		synctest.Wait()
		last := own.session(own.sessionCount() - 1)
		if got := last.hello; got.GetClusterId() != "" || len(got.GetRunning()) > 0 {
			t.Errorf("the last Hello names cluster %q and runs %v", got.GetClusterId(), inHello(got))
		}
		last.startAt(1, "z")
		own.expect("running z/1")
		for i := range other.sessionCount() {
			if got := other.session(i).hello.GetClusterId(); got != testCluster {
				t.Errorf("Hello %d at an address that was learnt names cluster %q", i, got)
			}
		}
		if other.sessionCount() < 2 {
			t.Errorf("%d Hellos at the address that was learnt", other.sessionCount())
		}
	})
}
