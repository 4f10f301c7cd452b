package scheduler

import (
	"bytes"
	"slices"
	"strings"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// The runners of a serverless pool live behind requests that engine nodes hold open to its endpoint. How many there should be follows from
// what its actors need now and from the slots that its runners bring: more are opened while that is less, and those that nobody needs are
// drained after a while.

// Carrier is a process of an engine node that can carry requests.
type Carrier struct {
	Node  string
	Start fsm.StartID
}

// CompareCarriers orders carriers by the names of their nodes.
func CompareCarriers(a, b Carrier) int {
	if c := strings.Compare(a.Node, b.Node); c != 0 {
		return c
	}
	return bytes.Compare(a.Start[:], b.Start[:])
}

const (
	// sendWithinMs is how long a node may take to send a request that it is to carry.
	sendWithinMs = 10_000
	// idleRequestMs is how long a request without actors is kept, in case one comes.
	idleRequestMs = 5_000
	// leaveWithinMs is how long the runner of a request that nobody needs may take to leave.
	leaveWithinMs = 10_000
	// endMarginMs is how long before the end of a request its actors must have stopped.
	endMarginMs = 1_000
	// unknownLeadMs is how long before the drain of a request its replacement is opened while no start has been seen.
	unknownLeadMs = 5_000
	// openWindowMs is the time in which a pool opens at most as many requests as serverless_open_rate says.
	openWindowMs = 1_000
)

// serverless opens and drains requests: in every serverless pool whose need or whose runners may have changed.
func (s *step) serverless() {
	seen := map[fsm.PoolID]bool{}
	for _, p := range append(s.looked, s.tx.DirtyPools()...) {
		if p = s.tx.Pool(p.ID); p == nil || !p.Serverless() || seen[p.ID] {
			continue
		}
		seen[p.ID] = true
		if s.full() {
			return
		}
		s.unsuitable(p)
		s.drainExpiring(p)
		s.retireIdle(p)
		s.openRequests(p)
	}
}

// look notes a serverless pool that is to be looked at in this Step.
func (s *step) look(p *fsm.Pool) {
	if p.Serverless() {
		s.looked = append(s.looked, p)
	}
}

// needed is how many slots the actors of a pool need: of those that have a runner or wait for one, as many as may be on runners at once.
func needed(s *fsm.State, p *fsm.Pool) uint64 {
	stats := s.PoolStats(p)
	return min(uint64(stats.Pending)+uint64(stats.Paced)+uint64(stats.OnRunner), p.MaxConcurrentActors())
}

// AtConcurrencyLimit reports whether a serverless pool has as many actors on runners as it may have at once.
func AtConcurrencyLimit(s *fsm.State, p *fsm.Pool) bool {
	return p.Serverless() && uint64(s.PoolStats(p).OnRunner) >= p.MaxConcurrentActors()
}

// openRequests opens what a pool needs and may open now.
func (s *step) openRequests(p *fsm.Pool) {
	for {
		stats := s.tx.PoolStats(p)
		probes := s.probes(p)
		if need := needed(&s.tx.State, p); need <= stats.Slots+stats.AskedSlots && probes == 0 {
			return
		}
		if s.tx.Endpoint(p).GetFailures() > 0 && stats.HalfOpen > 0 {
			return // one at a time finds out whether it works again
		}
		if int64(stats.HalfOpen) >= s.tx.Setting(fsm.ServerlessHalfOpen) || len(s.carriers) == 0 || s.tx.RequestCount() >= fsm.MaxRequests {
			return // when one of them joins or ends, or a node comes, the pool is looked at again
		}
		if at := s.mayOpenMs(p); at > s.tx.ClockMs() {
			s.lookAt(p, at)
			return
		}
		if !s.openRequest(p, probes) {
			return
		}
	}
}

// probes returns the version that a request is to be opened for although no actor needs it: the endpoint says that it serves a newer one
// than is open; 0: there is none.
func (s *step) probes(p *fsm.Pool) uint32 {
	e, stats := s.tx.Endpoint(p), s.tx.PoolStats(p)
	if e.GetRunnerVersion() == 0 || e.GetProbedVersion() == e.GetRunnerVersion() || stats.HalfOpen > 0 || stats.OnRunner == 0 || !p.DrainOn() {
		return 0
	}
	if newest, some := s.tx.NewestVersion(p); !some || newest >= e.GetRunnerVersion() || s.tx.Holds(p, e.GetRunnerVersion()) {
		return 0
	}
	return e.GetRunnerVersion()
}

// mayOpenMs returns the cluster clock from which a pool may open its next request: after the back-off, and at its pace.
func (s *step) mayOpenMs(p *fsm.Pool) int64 {
	at := s.tx.Endpoint(p).GetRetryMs()
	rate := int(s.tx.Setting(fsm.ServerlessOpenRate))
	if opened, oldestMs := s.tx.OpenedSince(p, s.tx.ClockMs()-openWindowMs, rate); opened == rate {
		at = max(at, oldestMs+openWindowMs)
	}
	return at
}

// openRequest decides on one request: who carries it, and when it is over. Requests that are opened together do not end together: the end
// of each comes up to a tenth of its time sooner, and by what a replacement usually takes to come.
func (s *step) openRequest(p *fsm.Pool, probes uint32) bool {
	now := s.tx.ClockMs()
	expireMs := now + p.RequestLifespanMs()
	usable := max(0, p.RequestLifespanMs()-s.tx.DrainGraceMs(p))
	drainMs := now + usable - int64(s.drawUint32())*(usable/10)/(1<<32)
	replaceMs := max(now, drainMs-min(replaceLeadMs(s.tx.Endpoint(p)), usable/4))
	carrier := s.carriers[int(s.tx.RequestsOpened()%uint64(len(s.carriers)))]
	id := s.mint()
	code := s.do(&logv1.Op{Op: &logv1.Op_OpenRequest{OpenRequest: &logv1.OpenRequest{
		RequestId: id[:], NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, Node: carrier.Node, StartId: carrier.Start[:],
		Slots: p.RequestSlots(), Endpoint: p.EndpointFingerprint(), SendByMs: min(now+sendWithinMs, expireMs),
		ReplaceMs: replaceMs, DrainMs: drainMs, ExpireMs: expireMs, ProbesVersion: probes,
	}}})
	if code == fsm.CodeOK && probes != 0 {
		s.putEndpoint(p, func(e *logv1.Endpoint) { e.ProbedVersion = probes })
	}
	return code == fsm.CodeOK
}

// replaceLeadMs returns how long before the drain of a request its replacement is opened: twice what a start usually takes, and a second.
func replaceLeadMs(e *logv1.Endpoint) int64 {
	if e.GetColdStartMs() == 0 {
		return unknownLeadMs
	}
	return 2*int64(e.GetColdStartMs()) + 1_000
}

// lookAt has a pool looked at again at a cluster clock.
func (s *step) lookAt(p *fsm.Pool, atMs int64) {
	if s.tx.Endpoint(p).GetLookMs() != atMs {
		s.putEndpoint(p, func(e *logv1.Endpoint) { e.LookMs = atMs })
	}
}

// endpointDue looks at a pool again.
func (s *step) endpointDue(p *fsm.Pool) {
	s.putEndpoint(p, func(e *logv1.Endpoint) { e.LookMs = 0 })
	s.look(s.tx.Pool(p.ID))
}

// retireIdle drains requests without actors that the others can do without.
func (s *step) retireIdle(p *fsm.Pool) {
	spare := int64(s.tx.PoolStats(p).Slots) - int64(needed(&s.tx.State, p))
	var idle []*fsm.Runner
	for r := range s.tx.IdleRunners(p) {
		if !r.Draining() && !r.Expiring {
			if spare -= int64(r.Slots); spare < 0 {
				break
			}
		}
		idle = append(idle, r)
	}
	for _, r := range idle {
		q := s.tx.RunnerRequest(r)
		switch {
		case q == nil || q.Phase != fsm.RequestJoined || q.Drains:
		case q.RetireMs == 0:
			s.do(&logv1.Op{Op: &logv1.Op_RetireRequest{RetireRequest: &logv1.RetireRequest{RequestId: q.ID[:], RetireMs: s.tx.ClockMs() + idleRequestMs}}})
		case q.RetireMs <= s.tx.ClockMs():
			s.drainRequest(q, min(q.ExpireMs, s.tx.ClockMs()+leaveWithinMs), "no actor needs it")
		}
	}
}

// drainExpiring drains the requests that end soon once the others have room for everybody.
func (s *step) drainExpiring(p *fsm.Pool) {
	stats := s.tx.PoolStats(p)
	if stats.Expiring == 0 || needed(&s.tx.State, p) > stats.Slots {
		return
	}
	var expiring []*fsm.Request
	for q := range s.tx.OpenRequests(p) { // those that end first are the oldest
		if q.Phase == fsm.RequestJoined && q.Expiring && !q.Drains {
			if expiring = append(expiring, q); len(expiring) == int(stats.Expiring) {
				break
			}
		}
	}
	for _, q := range expiring {
		s.drainRequest(q, q.ExpireMs, "its request ends")
		s.out.Unfinished = true // its actors move in the next Step
	}
}

const endpointChangedReason = "the pool has another url or other headers"

// endpointChanged ends what was opened with another url or other headers: what has no runner yet at once, runners at the pool's pace.
func (s *step) endpointChanged(p *fsm.Pool) {
	for _, q := range slices.Collect(s.tx.OpenRequests(p)) {
		switch r := s.tx.Runner(q.Runner); {
		case q.Endpoint == p.EndpointFingerprint():
		case q.Phase != fsm.RequestJoined:
			s.endRequest(q, fsm.RequestEndpointChanged, "", "")
		case r.End == fsm.NotEnded:
			s.startDrain(r, fsm.DrainURLChanged, 0, endpointChangedReason)
		}
	}
}
