package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
)

const (
	// maxBatchBytes bounds the inputs of one Step, but for a single large one. The rest of an entry is for what falls due.
	maxBatchBytes = scheduler.MaxInputBytes
	// maxBatch bounds how many inputs one Step takes: it keeps one entry's work on every node at some tens of milliseconds.
	maxBatch = 2048
	// tickEvery is how often the cluster clock moves at least while anything can fall due.
	tickEvery = time.Second
	// maxClockStep is what the cluster clock counts at most between two entries.
	maxClockStep = 2 * time.Second
	// stuckAfter is how many seconds an entry, or a turn of the loop, may take on the leader before its node gives up.
	stuckAfter = 10
	// enqueueTimeout is how long Raft may take to accept an entry into its queue.
	enqueueTimeout = 5 * time.Second
)

var (
	errEpochOver = errors.New("the epoch is over")
	errStuck     = errors.New("this node is stuck")
)

// decide is the scheduler's Step.
type decide func(tx *fsm.Tx, in scheduler.Input) scheduler.Output

// proposer is what the loop needs of Raft.
type proposer interface {
	Apply(data []byte, timeout time.Duration) raft.ApplyFuture
}

// loop is one epoch of leadership: it takes inputs, has the scheduler decide, and proposes one entry at a time. It owns all its
// fields; it ends with its epoch and is never used again.
type loop struct {
	log     *slog.Logger
	node    string // name of this node
	wall    func() time.Time
	decide  decide
	replica *replica
	raft    proposer
	inbox   *inbox
	metrics *loopMetrics
	events  *events

	turns      *turns // for who watches the loop
	carriers   *carriers
	carriersAt uint64 // version that was looked at last

	proposedAt time.Time  // up to where the cluster clock has counted real time
	carried    *request   // taken from the inbox, too large for the last batch
	singles    []*request // inputs of a batch that broke: one by one now
	sweep      bool
	chase      bool      // a follower waits for news of the last commit
	wakeAt     time.Time // zero: nothing can fall due, heartbeats apart
}

// run works until the epoch ends. Everything it took is answered when it returns.
func (l *loop) run(ctx context.Context) error {
	l.sweep, l.proposedAt = true, time.Now()
	defer l.abandon()
	for first := true; ; first = false {
		batch, ok := l.gather(ctx, first)
		if !ok {
			answerAll(batch.all(), outcome{err: callboardv1.ErrNoLeader})
			return nil
		}
		l.turns.begin()
		if err := l.turn(batch); err != nil {
			return err
		}
		l.turns.end()
	}
}

// batch is what one Step works on.
type batch struct {
	commands []*request
	reports  []*request
	barriers []*request
	chaser   bool // an empty entry, so that followers hear of the commit before it
}

func (b *batch) add(r *request) {
	switch {
	case r.barrier:
		b.barriers = append(b.barriers, r)
	case r.command != nil:
		b.commands = append(b.commands, r)
	default:
		b.reports = append(b.reports, r)
	}
}

func (b *batch) inputs() int { return len(b.commands) + len(b.reports) }

func (b *batch) all() []*request {
	all := append([]*request(nil), b.barriers...)
	return append(append(all, b.reports...), b.commands...)
}

// gather waits until there is something to do, then takes what is there, never waiting for more.
func (l *loop) gather(ctx context.Context, atOnce bool) (*batch, bool) {
	b := &batch{}
	if len(l.singles) > 0 {
		b.add(l.singles[0])
		l.singles = l.singles[1:]
		return b, ctx.Err() == nil
	}
	size := 0
	take := func(r *request) {
		size += r.size
		b.add(r)
	}
	if l.carried != nil {
		take(l.carried)
		l.carried = nil
	} else if !atOnce && !l.chase {
		if r := l.idle(ctx); r != nil {
			take(r)
		}
	}
	b.chaser, l.chase = l.chase, false
	for size < maxBatchBytes && b.inputs() < maxBatch {
		select {
		case r := <-l.inbox.requests:
			l.inbox.took(r)
			if size > 0 && size+r.size > maxBatchBytes {
				l.carried = r
				return b, ctx.Err() == nil
			}
			take(r)
			continue
		default:
		}
		break
	}
	return b, ctx.Err() == nil
}

// idle waits for an input, or until something falls due. A heartbeat is no reason to wake before heartbeats may be committed.
func (l *loop) idle(ctx context.Context) *request {
	timer := time.NewTimer(l.idleFor())
	defer timer.Stop()
	for {
		select {
		case r := <-l.inbox.requests:
			return l.inbox.took(r)
		case <-l.inbox.beats.news:
			timer.Reset(l.idleFor())
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// idleFor is how long there is nothing to do: until something falls due or waiting heartbeats may be committed, and no longer than a
// second after the last entry while anything can fall due, so that the clock moves.
func (l *loop) idleFor() time.Duration {
	at := l.wakeAt
	if !l.inbox.beats.none() {
		if due := l.beatsDue(); at.IsZero() || due.Before(at) {
			at = due
		}
	}
	if at.IsZero() {
		return time.Hour
	}
	return max(0, min(time.Until(at), time.Until(l.proposedAt.Add(tickEvery))))
}

// beatsDue is when waiting heartbeats may be committed: a second after the last.
func (l *loop) beatsDue() time.Time {
	v := l.replica.Current()
	if v.SeenMs() == 0 {
		return l.proposedAt
	}
	return l.proposedAt.Add(time.Duration(v.SeenMs()+scheduler.HeartbeatEveryMs-v.ClockMs()) * time.Millisecond)
}

// turn decides on one batch and proposes the entry. An error ends the epoch.
func (l *loop) turn(b *batch) error {
	began := time.Now()
	view := l.replica.Current()
	clockMs, upTo := l.clock(view, began)
	wallMs := l.wall().UnixMilli()
	in, waiting := l.input(b)
	in.WallBehindMs = max(0, view.WallMs()-wallMs)
	watch := l.metrics.stopwatch()
	in.Begins = watch.begins
	tx, out, err := l.decide.checked(view.Begin(clockMs, wallMs), in)
	watch.begins("")
	if err != nil {
		return l.isolate(b, err)
	}
	l.metrics.stepped(time.Since(began), len(out.Ops), b.inputs())
	if len(out.Ops) == 0 && b.inputs() == 0 && len(b.barriers) == 0 && out.Heartbeats == nil && out.WakeMs == 0 && !b.chaser {
		l.sweep, l.wakeAt = false, time.Time{}
		return nil // nothing to say, and nothing that the clock must run for
	}
	entry := &logv1.Entry{
		Format: fsm.EntryFormat, Epoch: view.Epoch(), Base: view.Base(), ClockMs: tx.ClockMs(), WallMs: tx.WallMs(), Ops: out.Ops,
	}
	l.proposedAt = upTo
	index, err := l.propose(entry)
	if err != nil {
		answerAll(b.all(), outcome{err: mapRaftError(err)})
		if errors.Is(err, errStuck) {
			return err
		}
		return fmt.Errorf("%w: %w", errEpochOver, err)
	}
	l.metrics.committed(time.Since(began))
	l.events.tell(view, l.replica.Current(), out.Ops)
	l.events.warn(out.Warnings)
	l.sweep = out.Unfinished
	l.schedule(out, tx.ClockMs())
	l.chase = (len(out.Ops) > 0 || b.inputs() > 0 || len(b.barriers) > 0) && l.followersWait(b, waiting)
	l.answer(index, b, waiting, out)
	return nil
}

// clock returns the cluster clock of the next entry: it counts real time since the last proposal, at most two seconds of it. What is
// less than a millisecond is carried over.
func (l *loop) clock(view *fsm.View, now time.Time) (clockMs int64, upTo time.Time) {
	elapsed := now.Sub(l.proposedAt)
	if elapsed > maxClockStep {
		return view.ClockMs() + maxClockStep.Milliseconds(), now
	}
	ms := max(0, elapsed.Milliseconds())
	return view.ClockMs() + ms, l.proposedAt.Add(time.Duration(ms) * time.Millisecond)
}

func (l *loop) input(b *batch) (in scheduler.Input, waiting []*request) {
	in.Sweep = l.sweep
	if l.carriers != nil {
		var version uint64
		if in.Carriers, in.CarriersKnown, version = l.carriers.now(time.Now()); version != l.carriersAt {
			in.Sweep, l.carriersAt = true, version
		}
	}
	_, _ = rand.Read(in.Seed[:]) // never fails
	for _, r := range b.commands {
		in.Commands = append(in.Commands, *r.command)
	}
	for _, r := range b.reports {
		in.Reports = append(in.Reports, r.report)
	}
	waiting = l.inbox.beats.all()
	for _, r := range waiting {
		in.Heartbeats = append(in.Heartbeats, r.report)
	}
	return in, waiting
}

// checked decides, and checks what that did. A panic or a broken invariant is an error: nothing poisonous reaches the log.
func (d decide) checked(tx *fsm.Tx, in scheduler.Input) (_ *fsm.Tx, out scheduler.Output, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("scheduler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	out = d(tx, in)
	in.Begins(phaseCheck)
	if err := tx.Check(); err != nil {
		return nil, out, fmt.Errorf("broken invariant: %w", err)
	}
	return tx, out, nil
}

// isolate finds the input that breaks the scheduler: each of a batch is tried alone, and one that breaks it alone is refused. When
// nothing but due work breaks it, the node stops: another one may do better, and an operator must know.
func (l *loop) isolate(b *batch, broken error) error {
	switch {
	case b.inputs() > 1:
		l.log.Error("a batch of inputs was refused by the invariants: trying them one by one", "inputs", b.inputs(), "error", broken)
		l.singles = append(l.singles, append(append([]*request(nil), b.reports...), b.commands...)...)
	case b.inputs() == 1:
		l.log.Error("an input was refused: it would have broken the state", "error", broken, "input", describe(b))
		l.metrics.poisoned()
		answerAll(append(b.reports, b.commands...), outcome{answer: scheduler.Answer{Refusal: callboardv1.Refuse("cluster", "internal_error",
			"the request would have broken an invariant of the state and was refused; please report this with the leader's log")}})
	default:
		answerAll(b.barriers, outcome{err: callboardv1.ErrNoLeader})
		return fmt.Errorf("the scheduler cannot go on: %w", broken)
	}
	l.singles = append(b.barriers, l.singles...)
	return nil
}

func describe(b *batch) string {
	if len(b.commands) == 1 {
		return fmt.Sprintf("%T", b.commands[0].command.Command.GetCommand())
	}
	return fmt.Sprintf("%T", b.reports[0].report.GetReport())
}

// followersWait tells whether another node waits for the entry that has just committed. A follower learns of a commit with the next
// append: an empty entry after it (the chaser, which is not chased) brings the news within a round trip.
func (l *loop) followersWait(b *batch, heartbeats []*request) bool {
	for _, r := range b.all() {
		if r.remote {
			return true
		}
	}
	for _, r := range heartbeats {
		if r.remote {
			return true
		}
	}
	v := l.replica.Current()
	for _, number := range v.Touched() {
		if r := v.RunnerByNumber(number); r != nil && r.Holder != l.node {
			return true
		}
	}
	return false
}

func (l *loop) schedule(out scheduler.Output, clockMs int64) {
	l.wakeAt = time.Time{}
	if out.WakeMs != 0 {
		// Not beyond a tick: an alarm may be thousands of years away, which is more nanoseconds than there are.
		waitMs := min(max(0, out.WakeMs-clockMs), tickEvery.Milliseconds())
		l.wakeAt = l.proposedAt.Add(time.Duration(waitMs) * time.Millisecond)
	}
}

func (l *loop) answer(index uint64, b *batch, waiting []*request, out scheduler.Output) {
	for _, r := range b.barriers {
		r.reply(outcome{index: index})
	}
	for i, r := range b.reports {
		r.reply(outcome{index: index, answer: scheduler.Answer{Session: out.Reports[i]}})
	}
	for i, r := range b.commands {
		r.reply(outcome{index: index, answer: out.Commands[i]})
	}
	if out.Heartbeats == nil {
		return
	}
	l.inbox.beats.drop(waiting)
	for i, r := range waiting {
		r.reply(outcome{index: index, answer: scheduler.Answer{Session: out.Heartbeats[i]}})
	}
}

// abandon answers what the loop took and did not propose.
func (l *loop) abandon() {
	nothing := outcome{err: callboardv1.ErrNoLeader}
	answerAll(l.singles, nothing)
	if l.carried != nil {
		l.carried.reply(nothing)
	}
}

func answerAll(requests []*request, o outcome) {
	for _, r := range requests {
		r.reply(o)
	}
}

// sessionAnswer makes the answer of a report from its outcome.
func sessionAnswer(o outcome) (*nodev1.SessionAnswer, error) {
	if o.err != nil {
		return nil, o.err
	}
	if o.answer.Session == nil {
		return &nodev1.SessionAnswer{Refusal: o.answer.Refusal, Retry: true}, nil
	}
	return o.answer.Session, nil
}
