package server

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
)

// slowLog is a Raft of one node whose disk takes as long as a test says. It notes when which clock was proposed.
type slowLog struct {
	t        *testing.T
	replica  *replica
	index    uint64
	takes    func() time.Duration
	proposed []proposedClock
}

type proposedClock struct {
	at      time.Time
	clockMs int64
}

type slowFuture struct {
	raft.ApplyFuture
	wait func() (index uint64, response any)

	index    uint64
	response any
}

func (f *slowFuture) Error() error  { f.index, f.response = f.wait(); return nil }
func (f *slowFuture) Index() uint64 { return f.index }
func (f *slowFuture) Response() any { return f.response }

func (s *slowLog) Apply(data []byte, _ time.Duration) raft.ApplyFuture {
	var entry logv1.Entry
	if err := proto.Unmarshal(data, &entry); err != nil {
		s.t.Error(err)
	}
	s.proposed = append(s.proposed, proposedClock{time.Now(), entry.GetClockMs()})
	return &slowFuture{wait: func() (uint64, any) {
		time.Sleep(s.takes())
		s.index++
		return s.index, s.replica.Apply(&raft.Log{Index: s.index, Term: 1, Data: data})
	}}
}

// onSlowLog runs a leader's loop for two minutes on a disk that takes so long for each entry, with a runner that can fall due.
func onSlowLog(t *testing.T, takes func() time.Duration, meanwhile func(in *inbox)) []proposedClock {
	t.Helper()
	var proposed []proposedClock
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		replica := newReplica(log)
		cluster := fsm.ID{1}
		first, err := proto.Marshal(&logv1.Entry{Format: fsm.EntryFormat, Ops: []*logv1.Op{
			{Op: &logv1.Op_LeaderEstablished{LeaderEstablished: &logv1.LeaderEstablished{Node: "n1", ClusterId: cluster[:]}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		replica.Apply(&raft.Log{Index: 1, Term: 1, Data: first})
		disk := &slowLog{t: t, replica: replica, index: 1, takes: takes}
		registry := prometheus.NewRegistry()
		work := &loop{
			turns: &turns{},
			log:   log, node: "n1", wall: time.Now, decide: scheduler.Step, replica: replica, raft: disk, inbox: newInbox(),
			metrics: newLoopMetrics(registry), events: newEvents(log, registry),
		}
		work.inbox.gate.set(true)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- work.run(ctx) }()
		hello := &nodev1.SessionReport{Report: &nodev1.SessionReport_Hello{Hello: &nodev1.HelloReport{Holder: "n1", Hello: &callboardv1.Hello{
			Protocol: scheduler.Protocol, Namespace: "default", Pool: "p", Key: "k", Slots: 1, InstanceId: fsm.ID{2}.String(), Attempt: 1,
		}}}}
		if err := work.inbox.put(reportRequest(hello, func(o outcome) {
			if o.answer.Session.GetRefusal() != nil {
				t.Errorf("the runner was refused: %v", o.answer.Session.GetRefusal())
			}
		})); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(10 * time.Millisecond) {
			meanwhile(work.inbox)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		work.inbox.gate.set(false)
		work.inbox.refuseAll()
		proposed = disk.proposed
	})
	return proposed
}

// The cluster clock never runs faster than real time, between whichever two entries; of a gap it counts at most 2 s; and it loses nothing
// of what is shorter, neither the time of a slow disk nor that of a loop with more to do than it can.
func TestClusterClockOnSlowDisksAndInStalls(t *testing.T) {
	idle := func(*inbox) {}
	busy := func(in *inbox) {
		for {
			r := commandRequest(&scheduler.Command{Command: &nodev1.Command{Command: &nodev1.Command_WakeActor{WakeActor: &callboardv1.WakeRequest{Namespace: "default"}}}})
			r.reply = func(outcome) {}
			if in.put(r) != nil {
				return
			}
		}
	}
	fixed := func(d time.Duration) func() time.Duration { return func() time.Duration { return d } }
	random := rand.New(rand.NewPCG(1, 2))
	stalls := func() time.Duration {
		if random.IntN(10) == 0 {
			return time.Duration(random.IntN(9_000)) * time.Millisecond
		}
		return time.Duration(random.IntN(900_000)) * time.Microsecond
	}
	for name, test := range map[string]struct {
		takes     func() time.Duration
		meanwhile func(*inbox)
	}{
		"a quick disk":                  {fixed(200 * time.Microsecond), idle},
		"a slow disk":                   {fixed(700 * time.Millisecond), idle},
		"a disk slower than the clock":  {fixed(3 * time.Second), idle},
		"a saturated loop":              {fixed(300 * time.Millisecond), busy},
		"a saturated loop, a slow disk": {fixed(1100 * time.Millisecond), busy},
		"stalls":                        {stalls, idle},
	} {
		t.Run(name, func(t *testing.T) {
			entries := onSlowLog(t, test.takes, test.meanwhile)
			if len(entries) < 10 {
				t.Fatalf("only %d entries in two minutes", len(entries))
			}
			counted := int64(0)
			for i := 1; i < len(entries); i++ {
				gap, step := entries[i].at.Sub(entries[i-1].at), entries[i].clockMs-entries[i-1].clockMs
				if step < 0 || step > maxClockStep.Milliseconds() {
					t.Fatalf("entry %d moves the clock by %d ms", i, step)
				}
				counted += min(gap, maxClockStep).Milliseconds()
				if now := entries[i].clockMs - entries[0].clockMs; now > entries[i].at.Sub(entries[0].at).Milliseconds()+1 {
					t.Fatalf("entry %d: the clock counts %d ms of %v", i, now, entries[i].at.Sub(entries[0].at))
				}
				for j := max(0, i-50); j < i; j++ { // and between any two
					if clock, real := entries[i].clockMs-entries[j].clockMs, entries[i].at.Sub(entries[j].at); clock > real.Milliseconds()+1 {
						t.Fatalf("entries %d to %d: the clock counts %d ms of %v", j, i, clock, real)
					}
				}
			}
			last := entries[len(entries)-1]
			clock, real := last.clockMs-entries[0].clockMs, last.at.Sub(entries[0].at)
			t.Logf("%d entries, the clock counts %d ms of %v", len(entries), clock, real)
			if clock < counted-int64(len(entries)) || clock < counted*99/100 {
				t.Errorf("the clock counts %d ms of %v; without what is over 2 s at once it is %d ms", clock, real, counted)
			}
		})
	}
}
