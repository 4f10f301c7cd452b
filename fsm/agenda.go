package fsm

import "math"

// DueKind says what falls due.
type DueKind uint8

// The kinds, in the order in which things due at the same time are handled.
const (
	DueStop          DueKind = iota // a stop without any report
	DueStart                        // a start without a Running event
	DueLost                         // a silent runner
	DueDrain                        // the deadline of an operator's drain, or of a runner's own shutdown
	DueTurn                         // of an actor that was moved off a lost runner and waits for it
	DueRolloutWait                  // the end of the wait after a rollout that was called off
	DueForgetActor                  // an ended actor, an hour later
	DueForgetRunner                 // an ended runner, an hour later
	DueForgetRollout                // an ended rollout, an hour later
	DueRequest                      // what follows in the life of a request
	DueEndpoint                     // the end of a serverless pool's back-off, or the next request that it may open
	DueForgetDrain                  // a drain that outlived its runner, a week later
	DueAwait                        // the end of the wait for a runner of a newer version
)

// Due is one thing that falls due: of an actor, a runner, a rollout, a request or a pool. Alarms and back-offs have agendas of their own: very many of them may
// be due at once, and nothing else is to wait behind them.
type Due struct {
	AtMs    int64
	Kind    DueKind
	Actor   *Actor
	Runner  *Runner
	Rollout *Rollout
	Request *Request
	Pool    *Pool // of an endpoint or a wait
	Drain   *KeptDrain
}

// agendaKey orders what falls due at the same time by something that survives a restore: ordinals do not, and a leader that was restored
// must not decide in another order.
type agendaKey struct {
	atMs int64
	seq  uint64 // of the actor or request, id of the rollout, hash of the pool's names; 0 for a runner
	kind DueKind
	row  uint32 // ordinal of the actor, request or pool, number of the runner
}

func agendaLess(a, b agendaKey) bool {
	if a.atMs != b.atMs {
		return a.atMs < b.atMs
	}
	if a.kind != b.kind {
		return a.kind < b.kind
	}
	if a.seq != b.seq {
		return a.seq < b.seq
	}
	return a.row < b.row
}

// Due returns what is due at the state's clock, oldest first, at most limit.
func (s *State) Due(limit int) []Due {
	var due []Due
	for key := range s.agenda.From(agendaKey{atMs: math.MinInt64}) {
		if key.atMs > s.clockMs || len(due) == limit {
			break
		}
		d := Due{AtMs: key.atMs, Kind: key.kind}
		switch key.kind {
		case DueLost, DueDrain, DueForgetRunner:
			d.Runner = s.runners.Get(key.row)
		case DueForgetRollout, DueRolloutWait:
			d.Rollout = s.rollout(key.row, key.seq)
		case DueRequest:
			d.Request = s.requests.Get(key.row)
		case DueEndpoint, DueAwait:
			d.Pool = s.pools.Get(key.row)
		case DueForgetDrain:
			d.Drain = s.keptDrainOf(key.row, key.seq)
		default:
			d.Actor = s.actorAt(key.row)
		}
		due = append(due, d)
	}
	return due
}

// NextDueMs returns when the next thing falls due on the cluster clock. Of the runners that are not silent it knows only the first that
// will be: one that is silent later, and has less time then, is on the agenda long before it is lost.
func (s *State) NextDueMs() (atMs int64, ok bool) {
	key, ok := s.agenda.First(agendaKey{atMs: math.MinInt64})
	if first, heard := s.heard.First(heardKey{}); heard {
		r := s.runners.Get(first.number)
		if lostMs := r.lostMs(s.seen.Get(r.Number)); !ok || lostMs < key.atMs {
			return lostMs, true
		}
	}
	return key.atMs, ok
}

// LostDue tells whether a runner's silence falls due at the state's clock. Verdicts wait for the heartbeats that are there.
func (s *State) LostDue() bool {
	for key := range s.agenda.From(agendaKey{atMs: math.MinInt64}) {
		if key.atMs > s.clockMs {
			return false
		}
		if key.kind == DueLost {
			return true
		}
	}
	return false
}

// DueBackoffs returns actors whose back-off is over at the state's clock, oldest first, at most limit.
func (s *State) DueBackoffs(limit int) []*Actor {
	var due []*Actor
	for key := range s.backoffs.From(agendaKey{atMs: math.MinInt64}) {
		if key.atMs > s.clockMs || len(due) >= limit {
			break
		}
		due = append(due, s.actorAt(key.row))
	}
	return due
}

// NextBackoffMs returns when the next back-off is over, on the cluster clock.
func (s *State) NextBackoffMs() (atMs int64, ok bool) {
	key, ok := s.backoffs.First(agendaKey{atMs: math.MinInt64})
	return key.atMs, ok
}
