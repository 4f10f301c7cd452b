package runner

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Actor is one life (generation) of an actor on this runner. Its methods may be called from any goroutine.
type Actor struct {
	ref          *callboardv1.ActorRef
	name         string
	key          *string
	namespace    string
	pool         string
	input        []byte
	state        []byte
	stateVersion uint32
	created      time.Time
	reg          *registration
	loop         inbox
	supervised   func() // told when the supervisor has ended
	log          *slog.Logger

	ctx         context.Context // the handler's: ends when the actor is asked to stop
	cancel      context.CancelCauseFunc
	tasksCtx    context.Context // of hooks and WaitUntil functions: ends with the actor
	cancelTasks context.CancelCauseFunc
	dead        chan struct{} // closed when the actor has no say any more
	calls       chan struct{} // room for one: a Save or alarm under way
	changed     chan struct{} // room for one: wakes the supervisor

	// A mutex and not a loop: handlers, hooks and the loop touch these few words from many goroutines, and none waits for
	// another while it holds them.
	mu     sync.Mutex
	shared shared

	// What follows belongs to the loop.
	running   bool          // Running was queued
	localStop bool          // asked to stop by this runner, not by the engine
	abandonAt time.Duration // when it is given up; 0: not killed
	evictAt   time.Time     // when its stop is planned, as the engine told ahead; zero: not told
	successor *waitingStart // a newer generation which waits for the end of this one, or for its code
	heldUntil time.Duration // how long the successor waits for abandoned code
	ending    *ending
}

// shared is what an actor's goroutines tell each other.
type shared struct {
	supervising bool // the supervisor has begun
	handlerDone bool
	handlerErr  error
	failure     error // of a hook or WaitUntil function: a crash

	stop      *stopOrder
	killed    error // why it has no say any more
	settled   bool  // its code had returned before that, so its own end counts
	abandoned bool
	late      bool // it has returned after all

	sleepAsked bool
	hooks      []func(ctx context.Context)
	hooksBusy  bool
	tasks      int
	holds      int
	touched    time.Time

	drain   *Drain
	drained chan struct{} // closed while drain is set
}

// returned tells that none of the actor's code is running any more.
func (s *shared) returned() bool { return s.handlerDone && !s.hooksBusy && s.tasks == 0 }

type stopOrder struct {
	reason   StopReason
	asked    time.Time
	deadline time.Time
}

// ID is the actor's id, the same in all its lives.
func (a *Actor) ID() string { return a.ref.GetActorId() }

// Generation counts the actor's lives from 1. It is a fencing token: storage of the actor's own should refuse writes of an
// older generation than it has seen.
func (a *Actor) Generation() uint64 { return a.ref.GetGeneration() }

// Name is the name under which the actor was created, and the handler registered.
func (a *Actor) Name() string { return a.name }

// Key is the actor's key, if it has one.
func (a *Actor) Key() (key string, ok bool) {
	if a.key == nil {
		return "", false
	}
	return *a.key, true
}

// Namespace is the namespace of the actor and its runner.
func (a *Actor) Namespace() string { return a.namespace }

// Pool is the pool of its runner.
func (a *Actor) Pool() string { return a.pool }

// CreatedAt is when the actor was created.
func (a *Actor) CreatedAt() time.Time { return a.created }

// Input is what the actor was created with. It must not be modified.
func (a *Actor) Input() []byte { return a.input }

// State is what an earlier life saved last, with the version of the runner that wrote it; nil when nothing was saved. It is what
// this life was started with and does not follow its own Saves. It must not be modified.
func (a *Actor) State() (state []byte, version uint32) { return a.state, a.stateVersion }

// Save replicates the actor's state, at most MaxStateBytes. It returns nil once the engine has committed it: the next life
// starts with it, wherever it runs. One Save or alarm is under way at a time; others wait for it.
//
// A refusal of the engine is a *Refusal. ErrUnknownOutcome in the error means that the save may still take effect. Save works
// while the actor stops, with a live ctx (that of an OnSleep hook, or context.WithoutCancel), and no longer once the lease is
// lost or the actor was given up.
func (a *Actor) Save(ctx context.Context, state []byte) error {
	if len(state) > MaxStateBytes {
		return &Refusal{
			Group: "actor", Code: "state_too_large",
			Message: fmt.Sprintf("the state has %d bytes, at most %d are saved; keep more elsewhere and save where", len(state), MaxStateBytes),
		}
	}
	return a.call(ctx, &callboardv1.ActorEvent{
		Ref:   a.ref,
		Event: &callboardv1.ActorEvent_Save{Save: &callboardv1.SaveEvent{State: bytes.Clone(state)}},
	})
}

// SetAlarm wakes the actor at t, by the engine's wall clock. An actor has one alarm, the last one set, and it outlives this life.
// If it is due while the actor runs it waits until the actor sleeps. Answers as Save does.
func (a *Actor) SetAlarm(ctx context.Context, t time.Time) error {
	ms := t.UnixMilli()
	return a.setAlarm(ctx, &callboardv1.AlarmEvent{AtUnixMs: &ms})
}

// ClearAlarm takes the alarm away. Answers as Save does.
func (a *Actor) ClearAlarm(ctx context.Context) error {
	return a.setAlarm(ctx, &callboardv1.AlarmEvent{})
}

func (a *Actor) setAlarm(ctx context.Context, alarm *callboardv1.AlarmEvent) error {
	return a.call(ctx, &callboardv1.ActorEvent{Ref: a.ref, Event: &callboardv1.ActorEvent_Alarm{Alarm: alarm}})
}

// call hands an event to the loop and waits for the engine's answer.
func (a *Actor) call(ctx context.Context, body *callboardv1.ActorEvent) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-a.dead:
		return a.whyDead()
	default:
	}
	select {
	case a.calls <- struct{}{}: // the loop gives it back with its answer
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-a.dead:
		return a.whyDead()
	}
	reply := make(chan error, 1)
	if !a.loop.post(actorSays{actor: a, body: body, reply: reply}) {
		return ErrRunnerStopped
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, context.Cause(ctx))
	case <-a.dead:
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, a.whyDead())
	}
}

func (a *Actor) whyDead() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.shared.killed == nil {
		return ErrEnded
	}
	return a.shared.killed
}

// Sleep asks the engine to put the actor to sleep. A stop with the reason StopSleep follows; the handler may also return nil at
// once. The actor wakes by an alarm, or when somebody asks for it.
func (a *Actor) Sleep() {
	a.mu.Lock()
	asked := a.shared.sleepAsked
	a.shared.sleepAsked = true
	a.mu.Unlock()
	if !asked {
		a.loop.post(actorSays{actor: a, body: &callboardv1.ActorEvent{
			Ref:   a.ref,
			Event: &callboardv1.ActorEvent_Sleep{Sleep: &callboardv1.SleepEvent{}},
		}})
	}
}

// OnSleep adds a hook that runs when the actor is asked to stop, whatever the reason (see StopReason), after the handler has
// returned or its RunStopTimeout has passed. Hooks run one after the other, the last added first, within SleepGrace; ctx ends
// with it. They do not run when the handler ends by itself, nor when the lease is lost.
func (a *Actor) OnSleep(hook func(ctx context.Context)) {
	a.mu.Lock()
	room := len(a.shared.hooks) < maxHooks
	if room {
		a.shared.hooks = append(a.shared.hooks, hook)
	}
	a.mu.Unlock()
	if room {
		return
	}
	a.log.Error("an OnSleep hook was dropped: there are too many", "limit", maxHooks)
}

// WaitUntil runs fn beside the handler. A stop waits for it, within SleepGrace, and so does the end of the handler; ctx ends
// after that, or when the lease is lost. An error is logged; a panic is a crash of the actor. The error of WaitUntil itself says
// that fn was not begun.
func (a *Actor) WaitUntil(fn func(ctx context.Context) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.dead:
		if a.shared.killed != nil {
			return a.shared.killed
		}
		return ErrEnded
	default:
	}
	if a.shared.tasks >= maxBackgroundTasks {
		return &Refusal{
			Group: "actor", Code: "too_many_tasks",
			Message: fmt.Sprintf("%d WaitUntil functions are running already", maxBackgroundTasks),
		}
	}
	a.shared.tasks++
	go guard(func() error { return fn(a.tasksCtx) }, a.taskDone) // the supervisor waits for it
	return nil
}

// PreventSleep keeps the idle timer from running out, and makes a stop wait, within SleepGrace, until release is called.
func (a *Actor) PreventSleep() (release func()) {
	a.update(func(s *shared) { s.holds++ })
	return sync.OnceFunc(func() {
		a.update(func(s *shared) { s.holds--; s.touched = time.Now() })
	})
}

// Touch starts the idle time of SleepTimeout anew.
func (a *Actor) Touch() {
	a.mu.Lock()
	a.shared.touched = time.Now()
	a.mu.Unlock()
}

// StopReason tells why the actor stops; StopNone while it does not.
func (a *Actor) StopReason() StopReason {
	a.mu.Lock()
	defer a.mu.Unlock()
	if reason := killReason(a.shared.killed); reason != StopNone {
		return reason
	}
	if a.shared.stop != nil {
		return a.shared.stop.reason
	}
	return StopNone
}

// Drain announces that an actor will be moved away from this runner.
type Drain struct {
	Cause DrainCause
	Due   time.Time // when its stop is planned; zero while that is not known
}

// Draining is closed while a move is announced; Drain tells which. After a call-off a new call returns an open channel again.
func (a *Actor) Draining() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shared.drained
}

// Drain tells about the announced move, if there is one.
func (a *Actor) Drain() (d Drain, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.shared.drain == nil {
		return Drain{}, false
	}
	return *a.shared.drain, true
}

func (a *Actor) setDrain(d *Drain) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case d != nil && a.shared.drain == nil:
		close(a.shared.drained)
	case d == nil && a.shared.drain != nil:
		a.shared.drained = make(chan struct{})
	}
	a.shared.drain = d
}
