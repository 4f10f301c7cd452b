package scheduler

import (
	"crypto/sha256"
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// How much one Step decides by itself, beyond its inputs. What is left over is taken up by the next one.
const (
	maxDuePerStep    = 2_000
	maxStopsPerStep  = 2_000
	maxForcedPerStep = maxStopsPerStep * 3 / 4 // the others are left to the planned ones
	maxPlacedPerStep = 4_000
	maxAlarmsPerStep = 1_000
	maxDrainsPerStep = 2_000 // of one pool, for one newer version
	// placedPerTurn is how many actors of one pool are placed before another pool has its turn.
	placedPerTurn = 100
)

const (
	// MaxOpBytes is about how many bytes of ops a Step proposes: it stops taking up due work beyond it. One input may exceed it.
	MaxOpBytes = 1 << 20
	// MinDueBytes is what due work may take however many bytes the inputs of the Step brought: callers who fill every entry hold up
	// neither a verdict nor a placement.
	MinDueBytes = MaxOpBytes / 4
	// MaxInputBytes is how many bytes of inputs leave room for that in an entry.
	MaxInputBytes = 768 << 10 // MaxOpBytes less MinDueBytes
)

// Command is a write that a caller asks for.
type Command struct {
	Command        *nodev1.Command
	IdempotencyKey string // empty: none
	Principal      string
}

// Input is what a Step decides on, beside the state.
type Input struct {
	Seed       [32]byte // all randomness there is
	Commands   []Command
	Reports    []*nodev1.SessionReport // but for heartbeats
	Heartbeats []*nodev1.SessionReport // every one that waits
	// Carriers are the processes of nodes that can carry requests to serverless pools. A Step with Sweep ends the requests of all others, if
	// CarriersKnown says that those that are not named are gone.
	Carriers      []Carrier
	CarriersKnown bool
	Sweep         bool // look at every pool: after an election, or when the last Step left work
	// WallBehindMs is how far the leader's wall clock is behind the state's, which never goes back: no alarm can come sooner.
	WallBehindMs int64
	// Begins is told when a phase begins, for whoever measures them; nil: nobody. It decides nothing.
	Begins func(Phase)
}

// Phase is a part of a Step, in the order in which they come.
type Phase string

// The phases.
const (
	Admit  Phase = "admit"  // what callers and runners asked or reported
	Judge  Phase = "judge"  // verdicts next: they free actors
	Drain  Phase = "drain"  // the newest version wins its pool; runners that must give up their actors
	Evict  Phase = "evict"  // bounded by the bucket; Do enforces it again
	Place  Phase = "place"  // oldest pending first, newest version first
	Wake   Phase = "wake"   // requests to the endpoints of serverless pools
	Finish Phase = "finish" // what is kept no longer, and when there is work again
)

func (in *Input) begins(p Phase) {
	if in.Begins != nil {
		in.Begins(p)
	}
}

// Answer is what an input came to. It must not leave before the entry has committed.
type Answer struct {
	Success *nodev1.Success
	Refusal *callboardv1.Error
	Session *nodev1.SessionAnswer // to a report
}

// Output is what a Step decided.
type Output struct {
	Ops        []*logv1.Op
	Commands   []Answer // Commands[i] belongs to Input.Commands[i]
	Reports    []*nodev1.SessionAnswer
	Heartbeats []*nodev1.SessionAnswer // nil: not taken, they wait on
	WakeMs     int64                   // cluster clock at which there is work again; 0: never
	Unfinished bool                    // the next Step should sweep, and soon
	Warnings   []Warning               // for the leader's log, once the entry has committed
}

// Step decides what the cluster does next. Equal inputs give equal ops.
func Step(tx *fsm.Tx, in Input) Output {
	s := newStep(tx, in.Seed)
	if in.Sweep {
		tx.DirtyAllPools()
	}
	in.begins(Admit)
	s.carry(in)
	s.admit(in)
	s.admitted = len(s.out.Ops)
	most := max(MaxOpBytes, s.bytes+MinDueBytes)
	s.maxBytes = most - MinDueBytes/2 // the other half is for moves and placements
	in.begins(Judge)
	s.judge()
	s.maxBytes = most
	in.begins(Drain)
	s.rollouts()
	s.drain()
	in.begins(Evict)
	s.evict()
	in.begins(Place)
	s.place()
	in.begins(Wake)
	s.serverless()
	s.lead() // who was given an actor as a last resort gives it up again
	in.begins(Finish)
	return s.finish(in)
}

// step is one run of Step.
type step struct {
	tx     *fsm.Tx
	seed   [32]byte
	draws  uint64
	out    Output
	bytes  int // of the ops so far
	budget struct{ stops, placed int }
	ended  []*fsm.Namespace // where actors ended

	admitted int // ops that the inputs came to
	maxBytes int // at which no more due work is taken up

	endedRunners []*fsm.Namespace // where runners ended

	held map[uint32]bool // numbers of runners whose verdict waits

	freeRetries int // actors that crashed for the first time and were placed again at once

	newcomers map[uint32]bool // numbers of runners that registered in this Step

	carriers []Carrier   // by name
	looked   []*fsm.Pool // serverless ones whose need may have changed
	joins    []join

	left      map[fsm.PoolID]uint32 // the highest version of the runners that ended of their own accord
	tookNewer map[fsm.PoolID]bool   // where an actor went to a version that others wait for
	below     map[fsm.PoolID]*below // actors that go below the version of their saved state
	belows    []*below              // in the order of their pools

	disbelieved uint32 // number of the runner that named nonsense last
}

func newStep(tx *fsm.Tx, seed [32]byte) *step { return &step{tx: tx, seed: seed, maxBytes: MaxOpBytes} }

// do applies an op on the private Tx, and proposes it if it was legal. This is the only place where the leader calls Do.
func (s *step) do(op *logv1.Op) fsm.Code {
	res := s.tx.Do(op)
	if res.Code == fsm.CodeOK {
		s.out.Ops = append(s.out.Ops, op)
		s.bytes += proto.Size(op) + 8
	}
	return res.Code
}

// full tells that no more should be taken up by itself.
func (s *step) full() bool {
	if s.bytes < s.maxBytes {
		return false
	}
	s.out.Unfinished = true
	return true
}

// draw returns the next random bytes of the seed.
func (s *step) draw() [32]byte {
	var block [40]byte
	copy(block[:], s.seed[:])
	binary.LittleEndian.PutUint64(block[32:], s.draws)
	s.draws++
	return sha256.Sum256(block[:])
}

func (s *step) drawUint32() uint32 {
	b := s.draw()
	return binary.LittleEndian.Uint32(b[:])
}

func (s *step) mint() fsm.ID {
	b := s.draw()
	return fsm.MintID(s.tx.WallMs(), [10]byte(b[:10]))
}

// admit takes the inputs. Heartbeats first: what has been heard is not silent.
func (s *step) admit(in Input) {
	s.heartbeats(in.Heartbeats)
	s.out.Reports = make([]*nodev1.SessionAnswer, len(in.Reports))
	for i, report := range in.Reports {
		s.out.Reports[i] = s.report(report)
		s.out.Reports[i].Tag = report.GetTag()
	}
	s.out.Commands = make([]Answer, len(in.Commands))
	for i, c := range in.Commands {
		s.out.Commands[i] = s.command(c)
	}
}

// finish forgets what is old and says when there is work again.
func (s *step) finish(in Input) Output {
	s.warnBelow()
	s.forget()
	s.out.WakeMs = s.wake(in)
	return s.out
}

func (s *step) wake(in Input) int64 {
	tx := s.tx
	if s.out.Unfinished {
		return tx.ClockMs()
	}
	var wake int64
	at := func(ms int64) {
		if wake == 0 || ms < wake {
			wake = max(ms, 1)
		}
	}
	if due, ok := tx.NextDueMs(); ok {
		at(due)
	}
	if look, ok := tx.NextLookMs(); ok {
		at(look)
	}
	if move, ok := tx.NextDrainWorkMs(); ok {
		at(move)
	}
	if backoff, ok := tx.NextBackoffMs(); ok {
		if backoff <= tx.ClockMs() { // more are over than may be taken up now
			backoff = tx.ClockMs() + retryEveryMs
		}
		at(backoff)
	}
	if alarm, ok := tx.NextAlarmMs(); ok {
		if alarm > tx.WallMs() {
			alarm += in.WallBehindMs
		}
		at(tx.ClockMs() + max(0, alarm-tx.WallMs()))
	}
	if oldest, ok := tx.OldestOutcomeMs(); ok {
		at(oldest + fsm.OutcomeKeptMs + 1)
	}
	if len(in.Heartbeats) > 0 && s.out.Heartbeats == nil {
		at(tx.SeenMs() + HeartbeatEveryMs)
	}
	return wake
}
