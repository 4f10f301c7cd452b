package scheduler

import (
	"crypto/sha256"
	"math"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// A forecast runs the scheduler ahead in virtual time on a copy of the state, as if nothing else happened: nobody asks for anything,
// runners live and answer at once, actors stop and start in no time. It is how rollouts are planned and their ends foretold.

// reach is how far a forecast goes step by step. From there on it goes in one stride: as fast as the pool's pace, as far as there is room.
type reach struct {
	steps, ops int
}

// The reaches, in which a core is busy for a tenth of a second or two.
var (
	statusReach = reach{steps: 300, ops: 3_000}
	planReach   = reach{steps: 1_500, ops: 6_000}
)

// forecast is what a run ahead came to. Times are cluster clock.
type forecast struct {
	startMs  int64
	turns    []int64 // when actors were evicted, in order
	endMs    int64   // when the last one had left
	left     uint32  // actors that are on outdated runners still
	runners  uint32  // that drained
	blocked  bool    // nothing moves any more, and something is left
	estimate bool    // what is behind the reach was foretold in one stride
	noRoom   bool    // that stride ended because there is no room for more
	view     *fsm.View
}

// foretell runs ahead until every outdated runner of a pool has given up its actors, or nothing moves any more.
func foretell(v *fsm.View, pool fsm.PoolID, far reach, setUp func(*fsm.Tx)) forecast {
	f := forecast{startMs: v.ClockMs(), endMs: v.ClockMs()}
	at, wall := v.ClockMs(), v.WallMs()
	seed := sha256.Sum256([]byte(pool.Name))
	toAnswer := onTheWay(v, v.Pool(pool))
	hearAt, ops := at, 0
	for n := 0; ; n++ {
		tx := v.Begin(at, wall+at-f.startMs)
		s := newStep(tx, seed)
		s.draws = uint64(n) << 32
		if n == 0 && setUp != nil {
			setUp(tx)
		}
		p := tx.Pool(pool)
		if at >= hearAt {
			s.hearAll(p)
			hearAt = at + patienceMs/heartbeatsPerThreshold
		}
		if s.answerAll(toAnswer) {
			f.endMs = at
		}
		s.endWait(p)
		if until := s.tx.Await(p).UntilMs; until != 0 && until <= at {
			s.awaitOver(p)
		}
		s.rollouts()
		s.drain()
		s.evictPool(tx.Pool(pool))
		s.place()
		toAnswer, ops = f.count(s.out.Ops, at), ops+len(s.out.Ops)
		v = tx.Seal(v.Index() + 1)
		switch waits := v.RolloutWaitMs(v.Pool(pool)); {
		case len(toAnswer) > 0:
			at++ // the next step answers
		case !s.out.Unfinished && upToDate(v, v.Pool(pool)):
			f.view = v
			return f
		case s.out.Unfinished:
			at++
		default:
			next := int64(math.MaxInt64)
			look, some := v.NextLookMs()
			move, any := v.NextDrainWorkMs()
			if some {
				next = look
			}
			if any {
				next = min(next, move)
			}
			if waits > at {
				next = min(next, waits)
			}
			if until := v.Await(v.Pool(pool)).UntilMs; until > at {
				next = min(next, until)
			}
			if next == math.MaxInt64 {
				f.view, f.left, f.blocked = v, outdatedActors(v, v.Pool(pool)), true
				return f
			}
			at = next
		}
		if n >= far.steps || n > 0 && ops >= far.ops {
			return f.stride(v, v.Pool(pool))
		}
	}
}

// count notes what a step decided, and returns the actors that it started or stopped.
func (f *forecast) count(ops []*logv1.Op, at int64) []fsm.ActorID {
	var ids []fsm.ActorID
	for _, op := range ops {
		switch o := op.GetOp().(type) {
		case *logv1.Op_EvictActor:
			f.turns = append(f.turns, at)
			ids = append(ids, fsm.ActorID(o.EvictActor.GetRef().GetActorId()))
		case *logv1.Op_AssignActor:
			ids = append(ids, fsm.ActorID(o.AssignActor.GetRef().GetActorId()))
		case *logv1.Op_StartDrain:
			f.runners++
		}
	}
	return ids
}

// patienceMs is the lost threshold that runners have in a forecast: one that hears ten thousand of them every few seconds of its time
// would do little else.
const patienceMs = math.MaxUint32

// hearAll lets every connected runner of a pool be heard, and not be missed for long.
func (s *step) hearAll(p *fsm.Pool) {
	s.tx.Do(&logv1.Op{Op: &logv1.Op_PutSettings{PutSettings: &logv1.PutSettings{
		Values: []*logv1.SettingValue{{Name: fsm.Settings()[fsm.RunnerEligibleThreshold].Name, Reset_: true}},
	}}})
	var connected []*fsm.Runner
	for r := range s.tx.PoolRunners(p) {
		if r.Connected {
			connected = append(connected, r)
		}
	}
	numbers := make([]uint32, len(connected))
	for i, r := range connected {
		numbers[i] = r.Number
		s.tx.Do(&logv1.Op{Op: &logv1.Op_SetRunnerThreshold{SetRunnerThreshold: &logv1.SetRunnerThreshold{
			RunnerId: r.ID[:], SessionId: r.Session[:], ThresholdMs: patienceMs,
		}}})
	}
	s.seen(numbers)
}

// onTheWay lists the actors of a pool that are stopping.
func onTheWay(v *fsm.View, p *fsm.Pool) []fsm.ActorID {
	var ids []fsm.ActorID
	for r := range v.PoolRunners(p) {
		if r.Stopping == 0 {
			continue
		}
		for a := range v.ActorsOf(r, 0) {
			if a.Phase == fsm.Stopping {
				ids = append(ids, a.ID)
			}
		}
	}
	return ids
}

// answerAll lets runners answer: what was told to stop has stopped, what was started runs.
func (s *step) answerAll(ids []fsm.ActorID) (stopped bool) {
	for _, id := range ids {
		switch a := s.tx.Actor(id); {
		case a == nil:
		case a.Phase == fsm.Stopping:
			stopped = s.endLife(a, ending{clean: true, cause: logv1.StopCause_STOP_CAUSE_CONFIRMED}) || stopped
		case a.Phase == fsm.Starting:
			s.do(&logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: refOp(a.Ref())}}})
		}
	}
	return stopped
}

func (s *step) endWait(p *fsm.Pool) {
	if until := s.tx.RolloutWaitMs(p); until != 0 && until <= s.tx.ClockMs() {
		s.do(&logv1.Op{Op: &logv1.Op_EndRolloutWait{EndRolloutWait: &logv1.EndRolloutWait{NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name}}})
	}
}

// upToDate tells whether no runner of a pool is outdated that has actors to give up.
func upToDate(v *fsm.View, p *fsm.Pool) bool {
	if v.PoolStats(p).Unfinished > 0 {
		return false // none is that has nothing left: a Step has told it so
	}
	oldest, some := v.OldestVersion(p)
	newest, _ := v.NewestVersion(p)
	return !some || !p.DrainOn() || oldest >= newest || outdatedActors(v, p) == 0
}

// outdatedActors counts the actors on runners that drain for a newer version, or will when the pool has waited long enough.
func outdatedActors(v *fsm.View, p *fsm.Pool) uint32 {
	var n uint32
	newest, _ := v.NewestVersion(p)
	for r := range v.PoolRunners(p) {
		if r.Drain.Cause == fsm.DrainNewerVersion || p.DrainOn() && !r.Draining() && r.Version < newest {
			n += r.Held
		}
	}
	return n
}
