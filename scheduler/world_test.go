package scheduler

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// A world is a cluster without any of its machinery: one View, one clock, and processes that run actors. A turn collects what the
// processes have to say, runs Step on it, and applies what it decided, as an engine would. Every Step is checked: see step.

// tester is what a world needs of *testing.T, *testing.B or *rapid.T.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

const wallStartMs = 1_700_000_000_000

type world struct {
	t         tester
	view      *fsm.View
	clockMs   int64
	wallSkew  int64 // how far the wall clock has been set forward
	turns     uint64
	epoch     uint64
	wakeMs    int64
	unsettled bool // the last Step left work
	idle      int  // Steps in a row, at one clock, that neither did anything nor waited for anything

	processes []*process // in the order in which they were started
	waiting   []heartbeat
	labels    map[fsm.ID]string
	actors    map[string]fsm.ActorID
	carriers  []Carrier            // nodes that carry requests
	functions map[string]*function // by pool
	calls     []*call              // every request that a node has sent
	audit     *audit
	trace     strings.Builder
	quiet     bool                  // no trace, for the random worlds
	watch     func(ops []*logv1.Op) // sees every entry, if there is somebody
	log       *recordedLog          // of what is committed here, while logs are recorded
}

// heartbeat waits until a Step takes it.
type heartbeat struct {
	from   *process
	report *nodev1.SessionReport
}

func newWorld(t tester) *world {
	w := &world{t: t, view: fsm.NewView(), labels: map[fsm.ID]string{}, actors: map[string]fsm.ActorID{}, functions: map[string]*function{}, audit: newAudit()}
	w.elect()
	return w
}

// elect establishes a leader, the first one or another. The heartbeats that waited at the one before are gone, and nothing is known to
// be settled.
func (w *world) elect() {
	w.t.Helper()
	w.epoch++
	founder := idOf("cluster")
	w.commit(&logv1.Entry{Format: fsm.EntryFormat, ClockMs: w.view.ClockMs(), WallMs: w.wallMs(), Ops: []*logv1.Op{
		{Op: &logv1.Op_LeaderEstablished{LeaderEstablished: &logv1.LeaderEstablished{ClusterId: founder[:], Node: "n1"}}},
	}})
	w.waiting, w.unsettled = nil, w.epoch > 1
}

// idOf makes an id out of a name, for what the engine does not name itself.
func idOf(name string) fsm.ID {
	sum := sha256.Sum256([]byte(name))
	return fsm.MintID(1, [10]byte(sum[:10]))
}

func (w *world) wallMs() int64 { return wallStartMs + w.clockMs + w.wallSkew }

// apply commits ops as every node would.
func (w *world) apply(ops []*logv1.Op) {
	w.t.Helper()
	w.commit(&logv1.Entry{
		Format: fsm.EntryFormat, Epoch: w.view.Epoch(), Base: w.view.Base(), ClockMs: w.clockMs, WallMs: w.wallMs(), Ops: ops,
	})
}

func (w *world) commit(entry *logv1.Entry) {
	w.t.Helper()
	ops := entry.GetOps()
	written, err := proto.Marshal(entry)
	if err != nil {
		w.t.Fatalf("the entry cannot be written: %v", err)
	}
	var read logv1.Entry
	if err := proto.Unmarshal(written, &read); err != nil {
		w.t.Fatalf("the entry cannot be read: %v", err)
	}
	next, results, accepted := w.view.Apply(w.view.Index()+1, w.epoch, &read)
	if !accepted {
		w.t.Fatalf("the entry was refused")
	}
	for i, res := range results {
		if res.Code != fsm.CodeOK {
			w.t.Fatalf("op %d was legal when it was decided and is %v when applied: %s", i, res.Code, w.opText(ops[i]))
		}
	}
	w.view = next
	recorder.committed(w, written, ops)
}

// step runs one Step and commits what it decided.
func (w *world) step(in Input) Output {
	w.t.Helper()
	w.turns++
	binary.LittleEndian.PutUint64(in.Seed[:], w.turns)
	in.Sweep, in.WallBehindMs = w.unsettled, max(0, w.view.WallMs()-w.wallMs())
	tx := w.view.Begin(w.clockMs, w.wallMs())
	out := Step(tx, in)
	if err := tx.Check(); err != nil {
		w.t.Fatalf("Step broke an invariant: %v\n%s", err, w.trace.String())
	}
	decided := tx.Seal(w.view.Index() + 1)
	w.sameAgain(in, out)
	before := w.view
	w.name(in, out)
	w.audit.entry(w, before, out)
	w.apply(out.Ops)
	if w.thorough(4) && decided.Hash() != w.view.Hash() {
		w.t.Fatalf("the state that was decided on is not the one that its ops make")
	}
	if w.thorough(4) {
		if err := w.view.CheckAll(); err != nil {
			w.t.Fatalf("an entry broke an invariant: %v\n%s", err, w.trace.String())
		}
	}
	w.trackSpin(in, out)
	w.unsettled, w.wakeMs = out.Unfinished, out.WakeMs
	w.tell(out.Ops)
	return out
}

// thorough tells whether to make a check that costs much: always in stories, at times in random worlds.
func (w *world) thorough(every uint64) bool {
	if w.view.LiveActors() > 200 {
		every = 50 // what looks at everything costs most where there is most
	} else if !w.quiet {
		every = 1
	}
	return w.turns%every == 0
}

// sameAgain holds Step to its promise: equal inputs give equal ops, byte for byte, also on a node that was restored.
func (w *world) sameAgain(in Input, out Output) {
	w.t.Helper()
	view := w.view
	if w.turns%16 == 0 && w.thorough(1) {
		view = w.restored()
	}
	again := Step(view.Begin(w.clockMs, w.wallMs()), in)
	if len(again.Ops) != len(out.Ops) || again.WakeMs != out.WakeMs || again.Unfinished != out.Unfinished {
		w.t.Fatalf("equal inputs gave %d and %d ops", len(out.Ops), len(again.Ops))
	}
	for i := range out.Ops {
		a, b := marshal(out.Ops[i]), marshal(again.Ops[i])
		if !bytes.Equal(a, b) {
			w.t.Fatalf("equal inputs gave different ops at %d: %s and %s", i, w.opText(out.Ops[i]), w.opText(again.Ops[i]))
		}
	}
}

// restored returns the View that a node has that was restored from a snapshot.
func (w *world) restored() *fsm.View {
	w.t.Helper()
	r := fsm.NewRestorer()
	for record := range w.view.Records() {
		if err := r.Add(record); err != nil {
			w.t.Fatalf("restore: %v", err)
		}
	}
	view, err := r.View()
	if err != nil {
		w.t.Fatalf("restore: %v", err)
	}
	return view
}

func marshal(op *logv1.Op) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(op)
	if err != nil {
		panic(err)
	}
	return b
}

// trackSpin refuses a Step that does nothing and wants to be run again at once: an engine would turn in circles.
func (w *world) trackSpin(in Input, out Output) {
	w.t.Helper()
	if len(out.Ops) > 0 || out.WakeMs == 0 || out.WakeMs > w.clockMs || len(in.Heartbeats) > 0 {
		w.idle = 0
		return
	}
	if w.idle++; w.idle > 1 {
		w.t.Fatalf("at %d ms: nothing is done, and Step wants to be called again at %d ms", w.clockMs, out.WakeMs)
	}
}

// turn runs Steps until nobody has anything more to say at this clock. The first of them takes what is given.
func (w *world) turn(in Input) Output {
	w.t.Helper()
	first := w.exchange(in)
	for range 10_000 {
		if !w.unsettled && !w.somebodySpeaks() {
			return first
		}
		w.exchange(Input{})
	}
	w.t.Fatalf("at %d ms: there is no end of it", w.clockMs)
	return first
}

// exchange runs one Step on what is given and on what the processes have to say.
func (w *world) exchange(in Input) Output {
	w.t.Helper()
	given := len(in.Reports)
	in.Commands = append(in.Commands, w.requests()...)
	in.Carriers, in.CarriersKnown = w.carriers, true
	var speakers []*process
	for _, p := range w.processes {
		for _, report := range p.speak(w) {
			in.Reports = append(in.Reports, report)
			speakers = append(speakers, p)
		}
	}
	beats := w.waiting
	for _, b := range beats {
		in.Heartbeats = append(in.Heartbeats, b.report)
	}
	out := w.step(in)
	if out.Heartbeats != nil {
		w.waiting = nil
		for i, b := range beats {
			b.from.acknowledged(w, b.report, out.Heartbeats[i])
		}
	}
	for i, p := range speakers {
		p.answered(w, in.Reports[given+i], out.Reports[given+i])
	}
	for _, p := range w.processes {
		p.observe(w)
	}
	if w.watch != nil {
		w.watch(out.Ops)
	}
	return out
}

func (w *world) somebodySpeaks() bool {
	return w.hasRequests() || slices.ContainsFunc(w.processes, func(p *process) bool { return p.hasToSay(w) })
}

// advance lets time pass. The world wakes when Step asked for it or when a process has something to do, and at no other time: what
// Step forgets to ask for does not happen.
func (w *world) advance(byMs int64) {
	w.t.Helper()
	target := w.clockMs + byMs
	for {
		next, some := w.nextMs()
		if !some || next > target {
			w.clockMs = target
			return
		}
		w.clockMs = max(w.clockMs, next)
		for _, p := range w.processes {
			p.pass(w)
		}
		w.turn(Input{})
	}
}

// nextMs is when something happens by itself.
func (w *world) nextMs() (atMs int64, some bool) {
	atMs, some = w.wakeMs, w.wakeMs != 0
	if at, ok := w.nextCallMs(); ok && (!some || at < atMs) {
		atMs, some = at, true
	}
	for _, p := range w.processes {
		if at, ok := p.nextMs(w); ok && (!some || at < atMs) {
			atMs, some = at, true
		}
	}
	return atMs, some
}

// command submits one command and returns its answer.
func (w *world) command(c *nodev1.Command, key string) Answer {
	w.t.Helper()
	return w.turn(Input{Commands: []Command{{Command: c, IdempotencyKey: key}}}).Commands[0]
}

// report hands over one report of a process.
func (w *world) report(r *nodev1.SessionReport) *nodev1.SessionAnswer {
	w.t.Helper()
	return w.turn(Input{Reports: []*nodev1.SessionReport{r}}).Reports[0]
}

// name gives the ids that a Step made the names that the test knows them by.
func (w *world) name(in Input, out Output) {
	for i, report := range in.Reports {
		answer := out.Reports[i]
		if p := w.processOf(report); p != nil && answer.GetRefusal() == nil && !answer.GetResumed() {
			p.registrations++
			label := p.name
			if p.registrations > 1 {
				label = fmt.Sprintf("%s#%d", p.name, p.registrations)
			}
			w.labels[fsm.ID(answer.GetRunnerId())] = label
		}
	}
	for _, op := range out.Ops {
		if ns := op.GetPutNamespace(); ns != nil {
			w.labels[fsm.ID(ns.GetNamespaceId())] = ns.GetName()
		}
		if c := op.GetCreateActor(); c != nil {
			name := string(c.GetInput())
			if name == "" || w.actors[name] != (fsm.ActorID{}) {
				name = fmt.Sprintf("actor%d", len(w.actors)+1)
			}
			w.actors[name] = fsm.ActorID(c.GetActorId())
			w.labels[fsm.ID(c.GetActorId())] = name
		}
	}
}

// processOf finds who said a Hello.
func (w *world) processOf(report *nodev1.SessionReport) *process {
	instance := report.GetHello().GetHello().GetInstanceId()
	for _, p := range w.processes {
		if instance != "" && fsm.ID(p.instance).String() == instance {
			return p
		}
	}
	return nil
}

func (w *world) label(id []byte) string {
	if len(id) != 16 {
		return "?"
	}
	if label, ok := w.labels[fsm.ID(id)]; ok {
		return label
	}
	return fsm.ID(id).String()
}

// actorID finds an actor by the name that the test gave it; one that no create has made has an id all the same.
func (w *world) actorID(name string) fsm.ActorID {
	if id, ok := w.actors[name]; ok {
		return id
	}
	id := fsm.ActorID(idOf(name))
	w.labels[fsm.ID(id)] = name
	return id
}

func (w *world) actor(name string) *fsm.Actor { return w.view.Actor(w.actorID(name)) }

func (w *world) process(name string) *process {
	for _, p := range w.processes {
		if p.name == name {
			return p
		}
	}
	w.t.Fatalf("there is no process %q", name)
	return nil
}

// create makes an actor whose name in the test is its input.
func create(name, key, pool string, policy callboardv1.CrashPolicy) *nodev1.Command {
	return createNamed(name, "counter", key, pool, policy)
}

// createNamed is create of an actor whose name is not the usual one.
func createNamed(label, name, key, pool string, policy callboardv1.CrashPolicy) *nodev1.Command {
	r := &callboardv1.CreateRequest{Namespace: "default", Name: name, Pool: pool, Input: []byte(label), CrashPolicy: policy}
	if key != "" {
		r.Key = &key
	}
	return &nodev1.Command{Command: &nodev1.Command_CreateActor{CreateActor: r}}
}
