package scheduler

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Protocol is the version of the runner protocol that this build speaks.
const Protocol = 1

// Limits of a Hello's fields.
const (
	maxRunnerKey      = 256
	maxRunnerMetadata = 64 << 10
	maxAdvertised     = 256
)

// hello registers a runner, or lets it resume, and corrects the difference between what it runs and what it should run.
func (s *step) hello(report *nodev1.HelloReport) *nodev1.SessionAnswer {
	h := report.GetHello()
	ns := s.tx.Namespace(h.GetNamespace())
	if ns == nil {
		return refuseHello(false, namespaceNotFound(h.GetNamespace()))
	}
	instance, refusal := s.validateHello(h)
	if refusal != nil {
		return refuseHello(false, refusal)
	}
	pool, refusal := s.poolOfHello(ns, h.GetPool())
	if refusal != nil {
		return refuseHello(false, refusal)
	}
	live, refusal := s.runnerOfHello(pool, instance, h)
	if refusal != nil {
		return refuseHello(false, refusal)
	}
	session := fsm.SessionID(s.mint())
	resumed := live != nil && live.Instance == instance
	var r *fsm.Runner
	if resumed {
		r, refusal = s.resume(live, session, report)
	} else {
		request, no := s.requestOfHello(pool, instance, h)
		if no != nil {
			return refuseHello(false, no)
		}
		if r, refusal = s.register(pool, instance, session, live, request, report); refusal == nil && request != nil {
			s.joined(request, r)
		}
	}
	if refusal != nil {
		return refuseHello(true, refusal)
	}
	s.reconcile(r, h, resumed)
	var warnings []string
	if !resumed {
		warnings = append(s.warnVersion(pool, h), s.warnKeep(pool, h)...)
	}
	return &nodev1.SessionAnswer{
		RunnerId: r.ID[:], SessionId: session[:], RunnerNumber: r.Number, Resumed: resumed,
		LostThresholdMs: uint32(s.tx.Runner(r.ID).ThresholdMs), Warnings: warnings,
	}
}

func refuseHello(retry bool, refusal *callboardv1.Error) *nodev1.SessionAnswer {
	return &nodev1.SessionAnswer{Refusal: refusal, Retry: retry}
}

func (s *step) validateHello(h *callboardv1.Hello) (fsm.InstanceID, *callboardv1.Error) {
	bad := func(code, format string, args ...any) (fsm.InstanceID, *callboardv1.Error) {
		return fsm.InstanceID{}, callboardv1.Refuse("session", code, format, args...)
	}
	if h.GetProtocol() != Protocol {
		return bad("protocol_unsupported", "protocol %d: this engine speaks %d; use a runner library of the same major version", h.GetProtocol(), Protocol)
	}
	if !fsm.ValidPoolName(h.GetPool()) {
		return bad("bad_pool", "pool: 1 to 128 printable characters without space or slash")
	}
	if len(h.GetKey()) < 1 || len(h.GetKey()) > maxRunnerKey || !fsm.Printable(h.GetKey()) {
		return bad("bad_key", "key: 1 to %d bytes of UTF-8 without control characters, got %d", maxRunnerKey, len(h.GetKey()))
	}
	if h.GetSlots() < 1 || h.GetSlots() > fsm.MaxSlots {
		return bad("bad_slots", "slots: 1 to %d, got %d", fsm.MaxSlots, h.GetSlots())
	}
	if !validMetadata(h.GetMetadataJson(), maxRunnerMetadata) {
		return bad("bad_metadata", "metadata_json: valid JSON of at most %d bytes", maxRunnerMetadata)
	}
	if len(h.GetAdvertisedAddr()) > maxAdvertised || !utf8.ValidString(h.GetAdvertisedAddr()) || strings.ContainsAny(h.GetAdvertisedAddr(), "\r\n\x00") {
		return bad("bad_advertised_addr", "advertised_addr: at most %d bytes, without line breaks", maxAdvertised)
	}
	if !validNames(h.GetActorNames()) {
		return bad("bad_actor_names", "actor_names: at most %d of 1 to %d bytes of UTF-8 without control characters each", fsm.MaxHandledNames, fsm.MaxActorName)
	}
	if h.GetAttempt() < 1 {
		return bad("bad_attempt", "attempt: must rise from 1 with every dial of the process")
	}
	id, err := fsm.ParseID(h.GetInstanceId())
	if err != nil {
		return bad("bad_instance", "instance_id: %v", err)
	}
	return fsm.InstanceID(id), nil
}

func validNames(names []string) bool {
	return len(names) <= fsm.MaxHandledNames && !slices.ContainsFunc(names, func(name string) bool {
		return name == "" || len(name) > fsm.MaxActorName || !fsm.Printable(name)
	})
}

// inOrder returns the names in order, each once.
func inOrder(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// poolOfHello finds the pool; one without a config gets one that drains nothing.
func (s *step) poolOfHello(ns *fsm.Namespace, name string) (*fsm.Pool, *callboardv1.Error) {
	id := fsm.PoolID{Namespace: ns.ID, Name: name}
	if p := s.tx.Pool(id); p != nil && p.Config != nil {
		return p, nil
	}
	code := s.do(&logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{
		NamespaceId: ns.ID[:], Name: name, Config: &logv1.PoolConfig{}, AutoCreated: true,
	}}})
	if code == fsm.CodeFull {
		return nil, callboardv1.Refuse("pool", "limit_reached", "the cluster has %d pools: delete some", fsm.MaxPools)
	}
	return s.tx.Pool(id), nil
}

// runnerOfHello finds the runner that resumes, or else the one that has the key now. An instance is refused while a later one has its
// key, whether it was replaced or lost before. When that one has gone it may resume, if only to give up what it still has: a second
// runner for the same process would let the first be lost, and its actors start elsewhere, while they run on under the new lease.
//
// A Hello that is handled behind a later one of its process has waited somewhere, and nobody is at the other end. What it says is old:
// taken for the present, all that has begun since would be ended in the books while it runs there.
func (s *step) runnerOfHello(p *fsm.Pool, instance fsm.InstanceID, h *callboardv1.Hello) (*fsm.Runner, *callboardv1.Error) {
	var live *fsm.Runner
	for r := range s.tx.RunnersByKey(p, h.GetKey()) { // newest first
		switch {
		case r.Instance == instance && live != nil:
			return nil, callboardv1.Refuse("session", "replaced",
				"another process has connected with runner key %q and taken this one's place; give every process its own key", h.GetKey())
		case r.Instance == instance && h.GetAttempt() <= r.Attempt:
			return nil, callboardv1.Refuse("session", "superseded", "attempt %d comes behind attempt %d of the same process", h.GetAttempt(), r.Attempt)
		case r.Instance == instance && r.End == fsm.NotEnded:
			return r, nil
		case r.End == fsm.NotEnded && fsm.ID(r.ReplacedBy).IsZero():
			live = r
		}
	}
	return live, nil
}

func (s *step) register(
	p *fsm.Pool, instance fsm.InstanceID, session fsm.SessionID, replaced *fsm.Runner, request *fsm.Request, report *nodev1.HelloReport,
) (*fsm.Runner, *callboardv1.Error) {
	h, id := report.GetHello(), fsm.RunnerID(s.mint())
	op := &logv1.RegisterRunner{
		RunnerId: id[:], NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, Key: h.GetKey(), InstanceId: instance[:], SessionId: session[:],
		Holder: report.GetHolder(), Version: h.GetVersion(), Slots: h.GetSlots(), ThresholdMs: uint32(s.tx.LostThresholdMs(p)),
		MetadataJson: h.GetMetadataJson(), AdvertisedAddr: h.GetAdvertisedAddr(), Attempt: h.GetAttempt(),
		KeepOnLeaseLost: h.GetKeepOnLeaseLost(), ActorNames: inOrder(h.GetActorNames()),
	}
	if request != nil {
		op.RequestId = request.ID[:]
	}
	if replaced != nil {
		op.Replaces = replaced.ID[:]
	}
	switch s.do(&logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: op}}) {
	case fsm.CodeOK:
	case fsm.CodeFull:
		return nil, tooManyRunners()
	default:
		return nil, notRegistered()
	}
	if s.newcomers == nil {
		s.newcomers = map[uint32]bool{}
	}
	s.newcomers[s.tx.Runner(id).Number] = true
	if replaced != nil {
		s.startDrain(replaced, fsm.DrainReplaced, 0, "another process has connected with its key")
	}
	s.inheritDrain(s.tx.Runner(id))
	return s.tx.Runner(id), nil
}

func tooManyRunners() *callboardv1.Error {
	return callboardv1.Refuse("runner", "limit_reached",
		"the cluster knows %d runners, the most there can be; those that have ended are forgotten after an hour", fsm.MaxRunners)
}

func notRegistered() *callboardv1.Error {
	return callboardv1.Refuse("cluster", "internal_error", "the runner could not be registered; it may try again")
}

func (s *step) resume(r *fsm.Runner, session fsm.SessionID, report *nodev1.HelloReport) (*fsm.Runner, *callboardv1.Error) {
	h := report.GetHello()
	code := s.do(&logv1.Op{Op: &logv1.Op_ResumeRunner{ResumeRunner: &logv1.ResumeRunner{
		RunnerId: r.ID[:], SessionId: session[:], Holder: report.GetHolder(), Version: h.GetVersion(), Slots: h.GetSlots(),
		MetadataJson: h.GetMetadataJson(), AdvertisedAddr: h.GetAdvertisedAddr(), Attempt: h.GetAttempt(),
		KeepOnLeaseLost: h.GetKeepOnLeaseLost(), ActorNames: inOrder(h.GetActorNames()),
	}}})
	if code != fsm.CodeOK {
		return nil, notRegistered()
	}
	s.noLongerHeld(s.tx.Runner(r.ID))
	return s.tx.Runner(r.ID), nil
}

// reconcile compares what a runner says with what the state has. What ended is ended; what runs unwanted is an orphan; what should
// be there and is neither running nor ended has vanished. One that is still starting is sent again by the session.
func (s *step) reconcile(r *fsm.Runner, h *callboardv1.Hello, resumed bool) {
	claimed := map[fsm.Ref]bool{}
	for _, e := range h.GetEnded() {
		ref, refusal := parseRef(e.GetRef())
		if refusal != nil {
			continue
		}
		claimed[ref] = true
		if a := s.tx.Actor(ref.Actor); a != nil && a.Runner == r.Number && a.Generation == ref.Generation {
			s.endLife(a, ending{clean: e.GetClean(), message: e.GetMessage(), cause: stopCause(e)})
		} else {
			s.endStray(r, ref)
		}
	}
	for _, run := range h.GetRunning() {
		ref, refusal := parseRef(run.GetRef())
		if refusal != nil {
			continue
		}
		claimed[ref] = true
		a := s.tx.Actor(ref.Actor)
		switch {
		case a == nil || a.Runner != r.Number || a.Generation != ref.Generation:
			s.holdOrphan(r, ref)
		case a.Phase == fsm.Starting && !run.GetStarting() && !run.GetStopping():
			s.do(&logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: refOp(ref)}}})
		}
	}
	if resumed {
		s.endUnclaimed(r, claimed)
	}
}

func (s *step) endUnclaimed(r *fsm.Runner, claimed map[fsm.Ref]bool) {
	var vanished, unhandled []*fsm.Actor
	for a := range s.tx.ActorsOf(r, 0) {
		switch {
		case claimed[a.Ref()]:
		case a.Phase != fsm.Starting:
			vanished = append(vanished, a)
		case !r.Handles(a.Name):
			unhandled = append(unhandled, a)
		}
	}
	for _, a := range vanished {
		s.endLife(a, ending{cause: logv1.StopCause_STOP_CAUSE_VANISHED, message: "its runner neither runs it nor knows how it ended"})
	}
	for _, a := range unhandled { // it has not begun, and will not begin there
		s.endLife(a, ending{clean: true, cause: logv1.StopCause_STOP_CAUSE_REFUSED, message: "its runner does not handle its name any more"})
	}
	var gone []fsm.Orphan
	for o := range s.tx.OrphansOf(r) {
		if !claimed[o.Ref] {
			gone = append(gone, o)
		}
	}
	for _, o := range gone {
		s.do(&logv1.Op{Op: &logv1.Op_ReleaseOrphan{ReleaseOrphan: &logv1.ReleaseOrphan{RunnerId: r.ID[:], Ref: refOp(o.Ref)}}})
	}
}
