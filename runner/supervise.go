package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// begin runs the handler. The supervisor begins with the first change of what the actor's goroutines tell each other, which may be
// days later: an actor that only runs costs one goroutine.
func (a *Actor) begin() {
	go guard(a.handle, a.handlerReturned)
	if a.reg.sleepTimeout != 0 {
		a.update(func(*shared) {}) // it minds the idle timer
	}
}

// supervise lives until the actor has ended: it leads the handler through a stop, and tells the loop how it ended.
//
//	handler runs ─asked to stop→ handler's context ends ─returned, or RunStopTimeout→ hooks, tasks, holds ─done, or SleepGrace→ end
//	             ─returned by itself→ tasks ──────────────────────────────────────────────────────────────────────────────→ end
//	             ─fenced→ every context ends ──────────────────────────────────────────────────────────────────────────────→ end
//
// Code that has not returned by the last deadline is abandoned: its goroutines are all that is left behind.
func (a *Actor) supervise() {
	defer a.supervised()
	a.watch()
	a.mu.Lock()
	asked, killed, crashed := a.shared.stop != nil, a.shared.killed != nil, a.shared.failure != nil || a.shared.handlerErr != nil
	a.mu.Unlock()
	switch {
	case killed:
	case asked:
		a.leave()
	case !crashed:
		// The handler has returned by itself; what it left in the background may finish.
		a.wait(a.after(a.reg.sleepGrace), func(s *shared) bool { return s.tasks == 0 || s.failure != nil })
	}
	a.endContexts()
	a.collect()
	a.loop.post(actorEnded{actor: a, end: a.verdict(asked)})
}

// handle is the actor's main goroutine.
func (a *Actor) handle() error {
	if a.reg.onWake != nil {
		if err := a.reg.onWake(a.ctx, a); err != nil {
			return fmt.Errorf("OnWake: %w", err)
		}
	}
	a.loop.post(actorRunning{actor: a})
	return a.reg.handler(a.ctx, a)
}

func (a *Actor) handlerReturned(err error) {
	a.logPanic("the handler", err)
	a.update(func(s *shared) { s.handlerDone, s.handlerErr = true, err })
}

func (a *Actor) taskDone(err error) {
	a.logPanic("a WaitUntil function", err)
	var p *panicError
	if err != nil && !errors.As(err, &p) {
		a.log.Warn("a WaitUntil function failed", "error", err)
	}
	a.update(func(s *shared) {
		s.tasks--
		s.touched = time.Now()
		if p != nil && s.failure == nil {
			s.failure = p
		}
	})
}

// watch waits until the actor's life is over, one way or the other, and minds the idle timer.
func (a *Actor) watch() {
	over := func(s *shared) bool {
		return s.killed != nil || s.stop != nil || s.failure != nil ||
			s.handlerDone && (s.handlerErr != nil || !s.sleepAsked) // one that asked for sleep and returned waits for its stop
	}
	idleUntil := func(s *shared) time.Time {
		if a.reg.sleepTimeout == 0 || s.sleepAsked || s.holds > 0 || s.tasks > 0 {
			return time.Time{}
		}
		return s.touched.Add(a.reg.sleepTimeout)
	}
	for !a.wait(idleUntil, over) {
		a.Sleep()
	}
}

// leave is the orderly stop.
func (a *Actor) leave() {
	a.mu.Lock()
	stop := *a.shared.stop
	a.mu.Unlock()
	a.cancel(&StopError{Reason: stop.reason})
	// A deadline too short for both is shared out, so that a handler that hangs does not take the hooks' time.
	run, sleep := a.reg.runStopTimeout, a.reg.sleepGrace
	if left := time.Until(stop.deadline); left < run+sleep {
		run = time.Duration(float64(left) * float64(run) / float64(run+sleep))
	}
	a.wait(a.after(run), func(s *shared) bool { return s.handlerDone || s.killed != nil })

	grace := a.after(sleep)
	a.update(func(s *shared) { s.hooksBusy = true })
	go guard(func() error { return a.runHooks(grace) }, a.hooksReturned)
	a.wait(grace, func(s *shared) bool {
		return s.killed != nil || s.failure != nil || !s.hooksBusy && s.tasks == 0 && s.holds <= 0
	})
}

func (a *Actor) runHooks(grace func(*shared) time.Time) error {
	a.mu.Lock()
	hooks := slices.Clone(a.shared.hooks)
	until := grace(&a.shared)
	a.mu.Unlock()
	ctx, cancel := context.WithDeadline(a.tasksCtx, until)
	defer cancel()
	for _, hook := range slices.Backward(hooks) {
		if a.tasksCtx.Err() != nil {
			break
		}
		hook(ctx)
	}
	return nil
}

func (a *Actor) hooksReturned(err error) {
	a.logPanic("an OnSleep hook", err)
	a.update(func(s *shared) {
		s.hooksBusy = false
		if err != nil && s.failure == nil {
			s.failure = fmt.Errorf("OnSleep: %w", err)
		}
	})
}

// after is a deadline d from now, or that of the stop if it is earlier.
func (a *Actor) after(d time.Duration) func(*shared) time.Time {
	t := time.Now().Add(d)
	return func(s *shared) time.Time {
		if s.stop != nil && s.stop.deadline.Before(t) {
			return s.stop.deadline
		}
		return t
	}
}

// collect waits until all of the actor's code has returned, or gives it up: at the stop's deadline or, for a handler that ended
// by itself, after RunStopTimeout. What was fenced is given up by the loop.
func (a *Actor) collect() {
	last := a.after(a.reg.runStopTimeout)
	a.mu.Lock()
	if s := a.shared.stop; s != nil {
		// With a long deadline (the engine's stop threshold may be 30 min) the actor's own time-outs say when it is stuck.
		last = a.after(max(time.Until(s.asked.Add(a.reg.runStopTimeout+a.reg.sleepGrace)), 0) + stopMargin)
	}
	a.mu.Unlock()
	until := func(s *shared) time.Time {
		if s.killed != nil {
			return time.Time{}
		}
		return last(s)
	}
	if !a.wait(until, func(s *shared) bool { return s.abandoned || s.returned() }) {
		a.kill(ErrAbandoned)
		a.giveUp()
	}
	a.kill(ErrEnded)
}

// verdict says how the life ended. asked tells whether it was led through a stop; otherwise a clean end is its own.
func (a *Actor) verdict(asked bool) ending {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.shared
	end := ending{ref: a.ref}
	switch {
	case s.abandoned:
		end.abandoned = true
		end.fenced = !errors.Is(s.killed, ErrAbandoned)
		end.message = s.killed.Error() + "; its code has not returned"
	case !s.settled && !errors.Is(s.killed, ErrEnded):
		end.fenced = true
		end.message = s.killed.Error()
	case s.failure != nil:
		end.message = s.failure.Error()
	case s.handlerErr == nil, s.stop != nil && isStop(s.handlerErr):
		end.clean, end.finished = true, !asked
	default:
		end.message = s.handlerErr.Error()
	}
	end.message = cut(end.message, maxReasonBytes)
	return end
}

// isStop tells that an error only repeats that the context has ended.
func isStop(err error) bool {
	var stop *StopError
	return errors.Is(err, context.Canceled) || errors.As(err, &stop)
}

// ask tells the actor to stop. The earliest deadline and the last reason count.
func (a *Actor) ask(reason StopReason, timeout time.Duration) {
	now := time.Now()
	a.update(func(s *shared) {
		order := &stopOrder{reason: reason, asked: now, deadline: now.Add(timeout)}
		if s.stop != nil {
			order.asked = s.stop.asked
			if s.stop.deadline.Before(order.deadline) {
				order.deadline = s.stop.deadline
			}
		}
		s.stop = order
	})
}

// hurry brings the deadline of a stop under way forward.
func (a *Actor) hurry(timeout time.Duration) {
	deadline := time.Now().Add(max(timeout, 0))
	a.update(func(s *shared) {
		if s.stop != nil && deadline.Before(s.stop.deadline) {
			order := *s.stop
			order.deadline = deadline
			s.stop = &order
		}
	})
}

// kill takes the actor's say away and ends its contexts; the first reason counts.
func (a *Actor) kill(why error) {
	first := false
	a.update(func(s *shared) {
		if first = s.killed == nil; first {
			s.killed = why
			s.settled = s.returned() && (s.stop != nil || !s.sleepAsked)
			close(a.dead)
		}
	})
	if first {
		a.endContexts()
	}
}

// endContexts ends what is left of the actor's contexts, with the reason why it has no say, if there is one already.
func (a *Actor) endContexts() {
	a.mu.Lock()
	why := a.shared.killed
	a.mu.Unlock()
	if why == nil {
		why = ErrEnded
	}
	a.cancel(why)
	a.cancelTasks(why)
}

// giveUp lets the supervisor end without the code that has not returned.
func (a *Actor) giveUp() { a.update(func(s *shared) { s.abandoned = !s.returned() }) }

// returned tells that none of the actor's code is running any more.
func (a *Actor) returned() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shared.returned()
}

func (a *Actor) stopping() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shared.stop != nil || a.shared.killed != nil
}

// sleepRefused is the engine's answer to Sleep. A handler that has returned already has nothing to go on with.
func (a *Actor) sleepRefused(err error) {
	a.log.Warn("the engine does not put the actor to sleep", "error", err)
	a.update(func(s *shared) {
		s.sleepAsked, s.touched = false, time.Now()
		if s.handlerDone && s.stop == nil && s.failure == nil {
			s.failure = fmt.Errorf("the handler returned after Sleep, which was refused: %w", err)
		}
	})
}

func (a *Actor) update(change func(*shared)) {
	a.mu.Lock()
	change(&a.shared)
	first := !a.shared.supervising
	a.shared.supervising = true
	late := a.shared.abandoned && !a.shared.late && a.shared.returned()
	a.shared.late = a.shared.late || late
	a.mu.Unlock()
	if late {
		a.loop.post(codeReturned{actor: a})
	}
	if first {
		go a.supervise()
		return
	}
	select {
	case a.changed <- struct{}{}:
	default: // the supervisor will look anyway
	}
}

// wait returns true when ready says so, and false when the time that until names has come. A zero time never comes. Both are
// asked again after each change.
func (a *Actor) wait(until func(*shared) time.Time, ready func(*shared) bool) bool {
	var timer *time.Timer
	for {
		a.mu.Lock()
		ok, at := ready(&a.shared), until(&a.shared)
		a.mu.Unlock()
		if ok {
			return true
		}
		var due <-chan time.Time
		if !at.IsZero() {
			d := time.Until(at)
			if d <= 0 {
				return false
			}
			if timer == nil {
				timer = time.NewTimer(d)
				defer timer.Stop()
			} else {
				timer.Reset(d)
			}
			due = timer.C
		}
		select {
		case <-a.changed:
		case <-due:
		}
	}
}

func (a *Actor) logPanic(what string, err error) {
	var p *panicError
	if errors.As(err, &p) {
		a.log.Error(what+" panicked", "error", p, slog.String("stack", string(p.stack)))
	}
}

// panicError is a panic, or a runtime.Goexit, in an actor's code.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string {
	if p.value == nil {
		return "its goroutine was ended by runtime.Goexit"
	}
	return fmt.Sprintf("panic: %v", p.value)
}

// guard runs an actor's code and always reports how it ended: also a panic, which must not take the process down.
func guard(fn func() error, done func(error)) {
	var err error
	finished := false
	defer func() {
		if !finished {
			err = &panicError{value: recover(), stack: debug.Stack()}
		}
		done(err)
	}()
	err = fn()
	finished = true
}

func killReason(why error) StopReason {
	switch {
	case errors.Is(why, ErrLeaseLost):
		return StopLeaseLost
	case errors.Is(why, ErrSuperseded):
		return StopSuperseded
	case errors.Is(why, ErrAbandoned):
		return StopAbandoned
	case errors.Is(why, ErrRunnerStopped):
		return StopShutdown
	default:
		return StopNone
	}
}

// cut makes a sentence fit for the wire: valid UTF-8 and not too long.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	const mark = "…"
	n := limit - len(mark)
	for n > 0 && s[n]&0xC0 == 0x80 { // not in the middle of a rune
		n--
	}
	return s[:n] + mark
}
