package runner

import (
	"errors"
	"fmt"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// shutdown is the runner's own: the engine is told and moves the actors away, whether or not there is room elsewhere. What it
// has not asked to stop when its stop threshold is all that is left stops by itself.
type shutdown struct {
	deadline    time.Duration
	selfStopAt  time.Duration
	selfStopped bool
	reportBy    time.Duration // when to leave although ends are not acknowledged, or no stream is there for a Goodbye; 0: actors are still here
	leftBehind  int           // actors that were given up
}

// farewell is the Goodbye under way.
type farewell struct {
	link   *link
	until  time.Duration
	result error
}

func (l *loop) beginShutdown(why string) {
	if l.shutdown != nil || l.refused != nil {
		l.log.Warn("ending at once", "reason", why, "actors", len(l.actors))
		l.finish(l.outcome(len(l.actors) + len(l.unsettled)))
		return
	}
	now := l.clock.Now()
	grace := l.cfg.ShutdownGrace
	l.shutdown = &shutdown{
		deadline:   now + grace,
		selfStopAt: now + grace - min(l.stopThreshold, grace/2),
	}
	l.log.Info("shutting down", "reason", why, "actors", len(l.actors), "grace", grace)
	l.tellDrains()
	for _, a := range l.actors {
		a.hurry(grace - stopMargin) // one that stops already has no longer than that
	}
	l.announceShutdown(now)
}

func (l *loop) announceShutdown(now time.Duration) {
	if k := l.current; k != nil {
		l.send(now, k, &callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Draining{
			Draining: &callboardv1.Draining{DeadlineMs: milliseconds(l.shutdown.deadline - now)},
		}})
	}
}

// endings finds out whether the runner is done.
func (l *loop) endings(now time.Duration) {
	switch {
	case l.finished:
	case l.farewell != nil:
		if f := l.farewell; l.current != f.link || now >= f.until {
			l.finish(f.result)
		} else {
			l.due(f.until)
		}
	case l.refused != nil:
		if len(l.actors) == 0 {
			l.finish(l.refused)
		}
	case l.shutdown != nil:
		l.shutDown(now)
	case l.drained && l.cfg.WhenDrained == Exit && len(l.actors) == 0 && len(l.unsettled) == 0:
		l.log.Info("drained: its last actor has gone, and it gets no more")
		l.bye(now, nil)
	}
}

func (l *loop) shutDown(now time.Duration) {
	s := l.shutdown
	empty := len(l.actors) == 0
	switch {
	case empty && len(l.unsettled) == 0 && (l.current != nil || l.runnerID == "" || s.reportBy != 0 && now >= s.reportBy):
		l.bye(now, l.outcome(s.leftBehind))
	case now >= s.deadline:
		l.finish(l.outcome(max(len(l.actors)+len(l.unsettled), s.leftBehind)))
	case empty:
		if s.reportBy == 0 {
			s.reportBy = min(now+reportGrace, s.deadline)
		}
		if now >= s.reportBy {
			l.finish(l.outcome(len(l.unsettled)))
		}
		l.due(s.reportBy)
	case now >= s.selfStopAt && !s.selfStopped:
		s.selfStopped = true
		l.stopAll(StopShutdown, s.deadline-now-stopMargin)
		l.due(s.deadline)
	case !s.selfStopped:
		l.due(s.selfStopAt)
	default:
		l.due(s.deadline)
	}
}

// stopAll stops what the engine has not asked to stop.
func (l *loop) stopAll(reason StopReason, timeout time.Duration) {
	for _, a := range l.actors {
		if !a.stopping() {
			a.localStop = true
			a.ask(reason, max(timeout, 0))
		}
	}
}

// bye tells the engine that the runner is gone, and waits for the stream to end.
func (l *loop) bye(now time.Duration, result error) {
	k := l.current
	if k == nil || !l.send(now, k, &callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Goodbye{Goodbye: &callboardv1.Goodbye{}}}) {
		l.finish(result)
		return
	}
	l.farewell = &farewell{link: k, until: now + farewellTimeout, result: result}
	l.due(l.farewell.until)
}

// refuse ends the runner: the engine does not want it, and dialling again is pointless. Its actors stop in order while the lease
// lasts; the engine starts them elsewhere once it has ended.
func (l *loop) refuse(now time.Duration, e *callboardv1.Error) {
	if l.refused != nil {
		return
	}
	exit := &ExitError{Code: CodeRefused, Reason: reasonRefused, Err: refusalOf(e)}
	if e.GetCode() == codeReplaced {
		exit.Code, exit.Reason = CodeReplaced, reasonReplaced
	}
	l.log.Error(exit.Reason, "error", exit.Err, "actors", len(l.actors))
	l.refused = exit
	timeout := refusedStopTimeout
	if l.lease.valid(now) {
		timeout = min(timeout, l.lease.validUntil()-now)
	}
	l.stopAll(StopReplaced, timeout)
}

func (l *loop) outcome(left int) error {
	if left == 0 {
		return nil
	}
	return &ExitError{Code: CodeLeftActors, Reason: reasonLeftOver, Err: errors.New(plural(left, "actor was", "actors were") + " not handed over")}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
