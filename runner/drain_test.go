package runner

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const newerVersion = callboardv1.DrainCause_DRAIN_CAUSE_NEWER_VERSION

func noticeOf(n *callboardv1.DrainNotice) *callboardv1.ConnectResponse {
	return &callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_DrainNotice{DrainNotice: n}}
}

func drained(done bool) *callboardv1.ConnectResponse {
	return noticeOf(&callboardv1.DrainNotice{Cause: newerVersion, Drained: done})
}

func calledOff() *callboardv1.ConnectResponse {
	return noticeOf(&callboardv1.DrainNotice{Cancelled: true})
}

func TestDrained(t *testing.T) {
	for _, c := range []struct {
		name   string
		when   WhenDrained
		script func(s *fakeSession)
		ends   bool
	}{
		{"exits when the last actor has gone", Exit, func(s *fakeSession) {
			s.desire(&callboardv1.Desired{Complete: true, Start: []*callboardv1.StartActor{startOf("x", 1)}})
			s.send(drained(false))
			s.stop("x", 1, evict)
			time.Sleep(time.Second)
			s.send(drained(true))
		}, true},
		{"stays if told so", Stay, func(s *fakeSession) {
			s.desire(&callboardv1.Desired{Complete: true})
			s.send(drained(true))
		}, false},
		{"not before the last actor has gone", Exit, func(s *fakeSession) {
			s.desire(&callboardv1.Desired{Complete: true, Start: []*callboardv1.StartActor{startOf("x", 1)}})
			s.send(drained(true))
		}, false},
		{"not while an end is not acknowledged", Exit, func(s *fakeSession) {
			s.desire(&callboardv1.Desired{Complete: true, Start: []*callboardv1.StartActor{startOf("x", 1)}})
			synctest.Wait()
			s.engine.set(func(e *fakeEngine) { e.muteEvents = true })
			s.stop("x", 1, evict)
			s.send(drained(true))
		}, false},
		{"not after a call-off", Exit, func(s *fakeSession) {
			s.desire(&callboardv1.Desired{Complete: true, Start: []*callboardv1.StartActor{startOf("x", 1)}})
			s.send(drained(true))
			s.send(calledOff())
			s.stop("x", 1, evict)
		}, false},
		{"one that comes outdated stands by", Exit, func(s *fakeSession) {
			s.send(drained(false))
			s.desire(&callboardv1.Desired{Complete: true})
		}, false},
		{"a stand-by that ran an actor as a last resort is drained like any other", Exit, func(s *fakeSession) {
			s.send(drained(false))
			s.desire(&callboardv1.Desired{Complete: true})
			s.start("x")
			s.stop("x", 1, evict)
			s.send(drained(true))
		}, true},
		{"so is one that was called up", Exit, func(s *fakeSession) {
			s.send(drained(false))
			s.desire(&callboardv1.Desired{Complete: true})
			s.send(calledOff())
			s.send(drained(true))
		}, true},
		{"one that was drained behind a broken stream hears of it on the next", Exit, func(s *fakeSession) {
			s.send(drained(false))
			s.desire(&callboardv1.Desired{Complete: true})
			synctest.Wait()
			s.end <- nil
			s = s.engine.session(1)
			s.send(drained(true))
			s.desire(&callboardv1.Desired{Complete: true})
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				r := startRunner(t, n, Config{WhenDrained: c.when}, untilStopped)
				c.script(e.session(0))
				time.Sleep(time.Minute)
				if got := r.ended(); got != c.ends {
					t.Fatalf("ended: %v", got)
				}
				if last := e.session(e.sessionCount() - 1); c.ends && (r.err != nil || !last.saidGoodbye()) {
					t.Errorf("Run: %v, Goodbye %v", r.err, last.saidGoodbye())
				}
			})
		})
	}
}

// A runner on stand-by runs what it is given, as a last resort or because it is wanted again, and goes on standing by.
func TestStandBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		r := startRunner(t, n, Config{WhenDrained: Stay}, untilStopped)
		s := e.session(0)
		s.desire(&callboardv1.Desired{Complete: true})
		s.start("x")
		s.send(drained(false))
		s.stop("x", 1, evict)
		e.expect("running x/1", "stopped x/1 clean")
		s.send(drained(true))
		synctest.Wait()
		if !r.Status().Draining {
			t.Error("it does not know that it drains")
		}
		s.start("last-resort")
		s.stop("last-resort", 1, evict)
		e.expect("running last-resort/1", "stopped last-resort/1 clean")

		s.send(calledOff())
		synctest.Wait()
		if r.Status().Draining {
			t.Error("it does not know that the drain is called off")
		}
		s.start("y")
		e.expect("running y/1")
		s.send(drained(false))
		s.stop("y", 1, evict)
		s.send(drained(true))
		time.Sleep(time.Minute)
		e.expect("stopped y/1 clean")
		if r.ended() || s.saidGoodbye() {
			t.Error("it left")
		}
		r.Shutdown()
		if err := r.result(); err != nil || !s.saidGoodbye() {
			t.Errorf("Run: %v", err)
		}
	})
}

// moves looks at what an actor sees of its coming move.
type moves struct {
	t *testing.T
	a *Actor
}

func (m moves) none() {
	m.t.Helper()
	synctest.Wait()
	if d, ok := m.a.Drain(); ok || m.closed() {
		m.t.Errorf("a move is announced: %+v", d)
	}
}

func (m moves) coming(cause DrainCause, in time.Duration) {
	m.t.Helper()
	synctest.Wait()
	d, ok := m.a.Drain()
	if !ok || !m.closed() || d.Cause != cause {
		m.t.Errorf("%+v, %v; want a move for %s", d, ok, cause)
	}
	if d.Due.IsZero() != (in == 0) || in != 0 && time.Until(d.Due) != in {
		m.t.Errorf("due at %v (in %v); want in %v", d.Due, time.Until(d.Due), in)
	}
}

func (m moves) closed() bool {
	select {
	case <-m.a.Draining():
		return true
	default:
		return false
	}
}

func TestActorSeesAComingMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s, a := withActor(t)
		sees := moves{t, a}
		sees.none()
		s.send(noticeOf(&callboardv1.DrainNotice{Cause: newerVersion}))
		sees.coming(DrainNewerVersion, 0)
		s.send(noticeOf(&callboardv1.DrainNotice{Cause: callboardv1.DrainCause_DRAIN_CAUSE_OPERATOR, DeadlineMs: 60_000}))
		sees.coming(DrainOperator, time.Minute)
		s.desire(&callboardv1.Desired{Evict: []*callboardv1.EvictNotice{
			{Ref: &callboardv1.ActorRef{ActorId: "x", Generation: 2}, InMs: 1000}, // of a life that is over
			{Ref: &callboardv1.ActorRef{ActorId: "x", Generation: 3}, InMs: 4000},
		}})
		sees.coming(DrainOperator, 4*time.Second)
		s.send(noticeOf(&callboardv1.DrainNotice{Cause: newerVersion}))
		sees.coming(DrainNewerVersion, 4*time.Second) // its own time stays
		s.send(calledOff())
		sees.none()

		// Over a new stream what was known counts until the engine has told anew, or has told everything without a word of it.
		s.send(noticeOf(&callboardv1.DrainNotice{Cause: newerVersion}))
		sees.coming(DrainNewerVersion, 0)
		announced := a.Draining()
		s.end <- nil
		s = e.session(1)
		sees.coming(DrainNewerVersion, 0)
		s.send(noticeOf(&callboardv1.DrainNotice{Cause: newerVersion}))
		s.desire(&callboardv1.Desired{Complete: true, Evict: []*callboardv1.EvictNotice{
			{Ref: &callboardv1.ActorRef{ActorId: "x", Generation: 3}, InMs: 9000},
		}})
		sees.coming(DrainNewerVersion, 9*time.Second)
		if a.Draining() != announced {
			t.Error("the announcement was taken back and made again")
		}
		s.end <- nil
		s = e.session(2)
		if d, ok := a.Drain(); !ok || d.Cause != DrainNewerVersion {
			t.Errorf("%+v, %v", d, ok)
		}
		s.desire(&callboardv1.Desired{Complete: true})
		sees.none()
	})
}

// The runner's own shutdown comes before every other move, over all its streams.
func TestActorSeesTheShutdownFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		actors := make(chan *Actor, 1)
		r := startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
			actors <- a
			return untilStopped(ctx, a)
		})
		s := e.session(0)
		s.start("x")
		sees := moves{t, <-actors}
		s.send(noticeOf(&callboardv1.DrainNotice{Cause: newerVersion}))
		sees.coming(DrainNewerVersion, 0)
		r.Shutdown()
		sees.coming(DrainShutdown, 0)
		s.end <- nil
		s = e.session(1)
		sees.coming(DrainShutdown, 0)
		s.send(noticeOf(&callboardv1.DrainNotice{Cause: callboardv1.DrainCause_DRAIN_CAUSE_SHUTDOWN, DeadlineMs: 100_000}))
		s.desire(&callboardv1.Desired{Complete: true})
		sees.coming(DrainShutdown, 0)
		s.stop("x", 1, shutdownReason)
		if err := r.result(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
