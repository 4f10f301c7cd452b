package fsm

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// model is the state as a child would keep it: plain maps, no index, no count, every question answered by looking at everything. It
// says of every op whether it is legal, and what it leads to.
type model struct {
	clockMs, wallMs int64
	storedLimit     int64
	namespaces      map[string]bool
	pools           map[string]*modelPool // by namespace/name
	runners         map[string]*modelRunner
	actors          map[string]*modelActor
	outcomes        map[string]int64 // when they were remembered
	queueSeq, seqs  int
	retryResetMs    int64
	seenMs          int64
	runnerSeq       int
	rolloutSeq      int
	drainSeq        int
}

type modelPool struct {
	written           bool
	binpack           bool
	rate              uint64
	delayMs, periodMs int64
	bucket            modelBucket
	rollouts          []*modelRollout
	held              map[uint32]string // versions, and why
	await             Await
	kept              map[string]*modelKept // drains by key
}

type modelKept struct {
	seq                   int
	instance, reason      string
	version               uint32
	deadlineMs, atMs      int64
	force, keep, finished bool
}

type modelRunner struct {
	namespace, pool, key string
	number, seq          int
	version, slots       uint32
	thresholdMs, seenMs  int64
	verdictMs            int64 // until then its verdict is held
	session              string
	connected            bool
	end                  string // "", stopped, lost
	endedMs              int64
	drain                modelDrain
	moves                Moves
	orphans              map[string]bool // actor/generation; whether its actor waits
	attempt              uint32
	replacedBy           string
	names                []string // that it handles; none: any
}

// handles tells whether it may be given actors of a name; the empty one: of whatever name.
func (r *modelRunner) handles(name string) bool {
	return len(r.names) == 0 || name == "" || slices.Contains(r.names, name)
}

// namesInOrder tells whether a runner may list names.
func namesInOrder(names []string) bool {
	for i, name := range names {
		if name == "" || len(name) > MaxActorName || i > 0 && names[i-1] >= name {
			return false
		}
	}
	return len(names) <= MaxHandledNames
}

type modelActor struct {
	namespace, pool, name, key string
	policy                     uint32
	seq                        int
	phase                      string
	generation, claimed        uint64
	runner                     string
	reason                     uint32
	limitMs, dueMs             int64
	wakeKept, destroying       bool
	keepsKey                   bool // beyond its end, while a body of it is waited for
	queueSeq                   int
	floor                      uint32
	alarmMs                    int64
	alarmWoke                  bool
	input, saved               string
	savedVersion               uint32
	trouble                    modelTrouble
	evictMs                    int64
	unreceived, byRollout      bool
	forced                     bool // it backs off after it was moved off a lost runner
	movedIn                    int
	promise                    string // runner
}

type modelTrouble struct {
	code      ErrorCode
	runner    string
	retries   uint32
	retryMs   int64
	crashedMs int64
	preferred string
	earlier   string // names, each with a space before it, the latest first
}

func newModel() *model {
	return &model{
		storedLimit: 1 << 30, retryResetMs: 600_000,
		namespaces: map[string]bool{}, pools: map[string]*modelPool{}, runners: map[string]*modelRunner{}, actors: map[string]*modelActor{}, outcomes: map[string]int64{},
	}
}

// onRunner tells whether an actor holds a slot.
func (a *modelActor) onRunner() bool {
	return a.phase == "starting" || a.phase == "running" || a.phase == "stopping"
}

// held lists what holds the slots of a runner, and counts those on their way out.
func (m *model) held(id string) (slots, stopping int) {
	for _, a := range m.actors {
		if a.onRunner() && a.runner == id {
			slots++
			if a.phase == "stopping" {
				stopping++
			}
		}
	}
	return slots + len(m.runners[id].orphans), stopping + len(m.runners[id].orphans)
}

// promised counts the slots that a runner keeps for actors on the move.
func (m *model) promised(id string) (n int) {
	for _, a := range m.actors {
		n += count(a.promise == id)
	}
	return n
}

// used is what of its slots a runner cannot give away.
func (m *model) used(id string) int {
	slots, _ := m.held(id)
	return slots + m.promised(id)
}

func (m *model) free(id string) int { return max(0, int(m.runners[id].slots)-m.used(id)) }

// hear ends a silence, and with it what the brake gave.
func (m *model) hear(r *modelRunner) {
	if r.seenMs != m.clockMs {
		r.seenMs, r.verdictMs = m.clockMs, 0
	}
}

// lostMs is when it is lost if nothing is heard of it.
func (r *modelRunner) lostMs() int64 { return max(r.seenMs+r.thresholdMs, r.verdictMs) }

func (r *modelRunner) isOrphan(ref string) bool {
	_, is := r.orphans[ref]
	return is
}

// waitsFor counts the bodies of an actor that have to end before it is placed.
func (m *model) waitsFor(id string) (n int) {
	for _, r := range m.runners {
		for ref, waits := range r.orphans {
			if waits && strings.HasPrefix(ref, id+"/") {
				n++
			}
		}
	}
	return n
}

func (a *modelActor) nextGeneration() uint64 { return max(a.generation, a.claimed) + 1 }

func (r *modelRunner) placeable() bool { return r.end == "" && r.connected && r.drain.cause == 0 }

// lastResort tells whether it is given actors when nobody else can be.
func (r *modelRunner) lastResort() bool {
	return r.end == "" && r.connected && r.drain.cause == 1 && !r.drain.finished
}

// drainWeights: newer version, operator, shutdown, replaced, lost, changed url, end of the request.
var drainWeights = [...]int{0, 1, 3, 5, 6, 0, 2, 4}

func (m *model) stored() int64 {
	var n int64
	for _, a := range m.actors {
		n += int64(len(a.input) + len(a.saved))
	}
	return n
}

// byKey finds the live actor of a key.
func (m *model) byKey(namespace, name, key string) string {
	for id, a := range m.actors {
		if key != "" && (a.phase != "destroyed" || a.keepsKey) && a.namespace == namespace && a.name == name && a.key == key {
			return id
		}
	}
	return ""
}

// do applies an op and tells whether it was legal. An op that is not changes nothing.
func (m *model) do(op *logv1.Op) bool {
	legal := m.doOp(op)
	for id, a := range m.actors {
		a.keepsKey = a.keepsKey && m.waitsFor(id) > 0
	}
	return legal
}

func (m *model) doOp(op *logv1.Op) bool {
	switch o := op.GetOp().(type) {
	case *logv1.Op_LeaderEstablished:
		m.namespaces["default"] = true
		return true
	case *logv1.Op_PutSettings:
		return m.putSettings(o.PutSettings)
	case *logv1.Op_PutNamespace:
		id := textOf(padded(o.PutNamespace.GetNamespaceId()))
		if !ValidName(o.PutNamespace.GetName()) || m.namespaces[id] {
			return false
		}
		m.namespaces[id] = true
		return true
	case *logv1.Op_PutPool:
		return m.putPool(o.PutPool)
	case *logv1.Op_DeletePool:
		p := m.pools[poolOf(o.DeletePool)]
		if p == nil || !p.written {
			return false
		}
		p.written, p.binpack = false, false
		m.repace(poolOf(o.DeletePool), func() { p.configure(nil) })
		return true
	case *logv1.Op_ForgetPool:
		if p := m.pools[poolOf(o.ForgetPool)]; p == nil || p.written || m.refersTo(poolOf(o.ForgetPool)) {
			return false
		}
		delete(m.pools, poolOf(o.ForgetPool))
		return true
	case *logv1.Op_RememberOutcome:
		if _, known := m.outcomes[o.RememberOutcome.GetKey()]; known || o.RememberOutcome.GetKey() == "" {
			return false
		}
		m.outcomes[o.RememberOutcome.GetKey()] = m.clockMs
		return true
	case *logv1.Op_ForgetOutcomes:
		maps.DeleteFunc(m.outcomes, func(_ string, atMs int64) bool { return atMs < o.ForgetOutcomes.GetBeforeMs() })
		return true
	}
	if legal, known := m.doRunner(op); known {
		return legal
	}
	if legal, known := m.doDrain(op); known {
		return legal
	}
	return m.doActor(op)
}

// refersTo tells whether anything is left of a pool, ended or not.
func (m *model) refersTo(pool string) bool {
	for _, r := range m.runners {
		if r.namespace+"/"+r.pool == pool {
			return true
		}
	}
	for _, a := range m.actors {
		if a.inPool() == pool {
			return true
		}
	}
	return len(m.pools[pool].rollouts) > 0
}

type inPool interface {
	GetNamespaceId() []byte
	GetName() string
}

func poolOf(op inPool) string { return textOf(padded(op.GetNamespaceId())) + "/" + op.GetName() }

func (m *model) putSettings(op *logv1.PutSettings) bool {
	for _, v := range op.GetValues() {
		if v.GetName() != "stored_bytes_limit" || !v.GetReset_() && v.GetValue() < 1<<20 {
			return false // the only one that the model knows
		}
		if m.storedLimit = v.GetValue(); v.GetReset_() {
			m.storedLimit = 1 << 30
		}
	}
	return true
}

func (m *model) putPool(op *logv1.PutPool) bool {
	if !m.namespaces[textOf(padded(op.GetNamespaceId()))] || !ValidPoolName(op.GetName()) {
		return false
	}
	p := m.pools[poolOf(op)]
	if p == nil {
		p = &modelPool{held: map[uint32]string{}, kept: map[string]*modelKept{}}
		m.pools[poolOf(op)] = p
	}
	p.written, p.binpack = true, op.GetConfig().GetPlacement() == 2
	m.repace(poolOf(op), func() { p.configure(op.GetConfig()) })
	return true
}

// queue lists the pending actors of a pool that may go to a version, in the order of arrival.
func (m *model) queue(pool, name string, version uint32) []string {
	var ids []string
	for id, a := range m.actors {
		if a.phase != "pending" || a.dueMs != 0 || a.inPool() != pool || m.waitsFor(id) > 0 || name != "" && a.name != name {
			continue
		}
		waitFor := false // is there a runner at the floor or above that it should wait for?
		for _, r := range m.runners {
			waitFor = waitFor || r.namespace+"/"+r.pool == pool && r.end == "" && r.drain.cause == 0 && r.version >= a.floor && r.handles(a.name)
		}
		if await := m.pools[pool].await; a.floor <= await.Version {
			waitFor = await.UntilMs > 0
		}
		if version >= a.floor || !waitFor {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return m.actors[a].queueSeq - m.actors[b].queueSeq })
	return ids
}

// candidates lists the runners of a pool that may be given an actor: newest first, then by load, then by free slots, then by number.
func (m *model) candidates(pool, name string) []string {
	var ids []string
	for id, r := range m.runners {
		if r.namespace+"/"+r.pool == pool && r.handles(name) && (r.placeable() || r.lastResort()) && m.free(id) > 0 && m.clockMs-r.seenMs < r.thresholdMs*2/3 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		ra, rb := m.runners[a], m.runners[b]
		load := cmp.Compare(m.used(a)*int(rb.slots), m.used(b)*int(ra.slots)) // used/slots, without a fraction
		if m.pools[pool].binpack {
			load = -load
		}
		return cmp.Or(count(ra.lastResort())-count(rb.lastResort()), cmp.Compare(rb.version, ra.version), load, cmp.Compare(m.free(b), m.free(a)), cmp.Compare(ra.number, rb.number))
	})
	return ids
}
