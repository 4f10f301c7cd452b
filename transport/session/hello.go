package session

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Limits of a Hello. Beyond the slots it may name ends that were not acknowledged and lives that the engine does not want.
const (
	maxHelloChunk = 1_000
	maxHelloExtra = 20_000
	// maxHelloBytes bounds all its chunks together: with its envelope it is one report to the leader.
	maxHelloBytes = 60 << 20
)

// receiveHello takes the first messages: one Hello in one or more chunks.
func (s *session) receiveHello() (*callboardv1.Hello, error) {
	timer := time.NewTimer(s.host.cfg.HelloTimeout)
	defer timer.Stop()
	var whole *callboardv1.Hello
	size := 0
	for {
		var m *callboardv1.ConnectRequest
		select {
		case received, ok := <-s.inbox:
			if !ok {
				return nil, s.readErr
			}
			m = received
		case <-timer.C:
			return nil, violate("bad_hello", "no Hello within %v", s.host.cfg.HelloTimeout)
		case <-s.host.ending:
			return nil, leaving()
		}
		part := m.GetHello()
		if part == nil {
			return nil, violate("bad_hello", "the first message must be a Hello")
		}
		if size += proto.Size(part); size > maxHelloBytes {
			return nil, violate("bad_hello", "the Hello has more than %d bytes", maxHelloBytes)
		}
		var err error
		if whole, err = joinHello(whole, part); err != nil {
			return nil, err
		}
		if !part.GetMore() {
			whole.More = false
			return whole, s.acceptProtocol(whole)
		}
		timer.Reset(s.host.cfg.HelloTimeout)
	}
}

// joinHello adds a chunk to a Hello; the first one is the Hello itself.
func joinHello(whole, part *callboardv1.Hello) (*callboardv1.Hello, error) {
	named := len(part.GetRunning()) + len(part.GetEnded())
	if named > maxHelloChunk {
		return nil, violate("bad_hello", "a Hello names at most %d actors, got %d: send more in further ones", maxHelloChunk, named)
	}
	if named == 0 && (whole != nil || part.GetMore()) {
		return nil, violate("bad_hello", "a Hello in several chunks names actors in each")
	}
	for i, end := range part.GetEnded() {
		if text := end.GetMessage(); len(text) > maxMessage {
			return nil, violate("bad_hello", "ended[%d].message: at most %d bytes, got %d", i, maxMessage, len(text))
		}
	}
	if whole == nil {
		whole = part
	} else {
		whole.Running = append(whole.Running, part.GetRunning()...)
		whole.Ended = append(whole.Ended, part.GetEnded()...)
	}
	limit := 2*int(min(whole.GetSlots(), fsm.MaxSlots)) + maxHelloExtra
	if total := len(whole.GetRunning()) + len(whole.GetEnded()); total > limit {
		return nil, violate("bad_hello", "the Hello names %d actors: at most %d with its slots", total, limit)
	}
	return whole, nil
}

func (s *session) acceptProtocol(hello *callboardv1.Hello) error {
	if hello.GetProtocol() != s.host.cfg.Protocol {
		return &farewell{violation: true, refusal: callboardv1.Refuse("session", "protocol_unsupported",
			"protocol %d: this engine speaks %d; use a runner library of the same major version", hello.GetProtocol(), s.host.cfg.Protocol)}
	}
	return nil
}

// claimed reads which lives a Hello names, whether they run or have ended.
func claimed(hello *callboardv1.Hello) (map[fsm.Ref]struct{}, error) {
	refs := make(map[fsm.Ref]struct{}, len(hello.GetRunning())+len(hello.GetEnded()))
	add := func(ref *callboardv1.ActorRef) error {
		parsed, err := parseRef(ref)
		refs[parsed] = struct{}{}
		return err
	}
	for _, running := range hello.GetRunning() {
		if err := add(running.GetRef()); err != nil {
			return nil, violate("bad_hello", "running: %v", err)
		}
	}
	for _, ended := range hello.GetEnded() {
		if err := add(ended.GetRef()); err != nil {
			return nil, violate("bad_hello", "ended: %v", err)
		}
	}
	return refs, nil
}

func parseRef(ref *callboardv1.ActorRef) (fsm.Ref, error) {
	id, err := fsm.ParseID(ref.GetActorId())
	return fsm.Ref{Actor: fsm.ActorID(id), Generation: ref.GetGeneration()}, err
}

// open brings the runner into the state and welcomes it. From its first line to the Welcome nothing is sent.
func (s *session) open() error {
	hello, err := s.receiveHello()
	if err != nil {
		return err
	}
	refs, err := claimed(hello)
	if err != nil {
		return err
	}
	// A node that is behind would compare with an old state, and then confirm a lease on it. It proposes nothing before it has caught up.
	if err := s.catchUp(); err != nil {
		return err
	}
	if err := s.sameCluster(hello); err != nil {
		return err
	}
	unchecked := hello.GetToken() != ""
	hello.Token = "" // nobody else needs to see it
	answer, err := s.reportHello(hello)
	if err != nil {
		return err
	}
	if len(answer.GetRunnerId()) != 16 || len(answer.GetSessionId()) != 16 {
		return &farewell{reconnect: true, refusal: callboardv1.Refuse("cluster", "internal_error", "the leader's answer to a Hello names no session")}
	}
	if unchecked {
		answer.Warnings = append(answer.Warnings, tokenUnchecked)
	}
	s.opened = true
	s.runner, s.id = fsm.RunnerID(answer.GetRunnerId()), fsm.SessionID(answer.GetSessionId())
	s.log = s.log.With("runner_id", s.runner.String(), "session_id", s.id.String())
	r, view, err := s.awaitRow()
	if err != nil {
		return err
	}
	s.number = r.Number
	s.told.claimed = refs
	return s.welcome(view, r, answer)
}

// tokenUnchecked tells a runner that what it took for a lock is none.
const tokenUnchecked = "its token was not looked at: this engine has no authentication yet, and takes whoever reaches it"

// sameCluster refuses a runner of another cluster. It has come to an address that is this node's now: welcomed here, it would be told
// to stop everything that its own cluster runs.
func (s *session) sameCluster(hello *callboardv1.Hello) error {
	own := s.host.cluster()
	if its := hello.GetClusterId(); its != "" && its != own {
		return &farewell{reconnect: true, refusal: callboardv1.Refuse("session", "other_cluster",
			"this node belongs to cluster %s, and the runner to cluster %.64q: connect to a node of that one; "+
				"if it is no more, the runner may come here when its lease and its actors have ended", own, its)}
	}
	return nil
}

func (s *session) catchUp() error {
	ctx, cancel := context.WithTimeout(s.ctx, s.host.cfg.ViewTimeout)
	defer cancel()
	index, err := s.host.reporter.ReadIndex(ctx)
	if err == nil {
		err = s.host.views.WaitIndex(ctx, index)
	}
	if err != nil {
		return s.behind(err)
	}
	return nil
}

// behind is the end of a stream on a node whose View does not catch up. The runner is better off elsewhere.
func (s *session) behind(err error) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return &farewell{reconnect: true, refusal: callboardv1.Refuse("session", "node_behind",
		"this node is not in touch with the leader (%v): connect to another one", err)}
}

// reportHello waits for the leader's answer, also when the stream breaks meanwhile: a session that was made must be told broken.
func (s *session) reportHello(hello *callboardv1.Hello) (*nodev1.SessionAnswer, error) {
	report := &nodev1.SessionReport{Report: &nodev1.SessionReport_Hello{Hello: &nodev1.HelloReport{Hello: hello, Holder: s.host.cfg.Node}}}
	if err := s.report(ofHello, report); err != nil {
		return nil, &farewell{refusal: refusalOf(err), reconnect: true}
	}
	select {
	case r := <-s.replies:
		if refusal := r.answer.GetRefusal(); r.err == nil && refusal != nil {
			return nil, &farewell{refusal: refusal, reconnect: r.answer.GetRetry()}
		}
		if r.err != nil {
			return nil, &farewell{refusal: refusalOf(r.err), reconnect: true}
		}
		if r.answer.GetUnknown() {
			return nil, &farewell{refusal: callboardv1.ErrOutcomeUnknown, reconnect: true}
		}
		return r.answer, nil
	case <-s.host.ctx.Done():
		return nil, leaving()
	}
}

// awaitRow waits until the node's View has the session. Without it nothing may be sent.
func (s *session) awaitRow() (*fsm.Runner, *fsm.View, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.host.cfg.ViewTimeout)
	defer cancel()
	view, err := s.host.views.Wait(ctx, func(v *fsm.View) bool {
		r := v.Runner(s.runner)
		return r != nil && r.Session == s.id
	})
	if err != nil {
		return nil, nil, s.behind(err)
	}
	return view.Runner(s.runner), view, nil
}

func (s *session) welcome(view *fsm.View, r *fsm.Runner, answer *nodev1.SessionAnswer) error {
	thresholdMs := answer.GetLostThresholdMs()
	if thresholdMs == 0 {
		thresholdMs = clampMs(r.ThresholdMs)
	}
	s.heartbeatEvery = time.Duration(thresholdMs) * time.Millisecond / time.Duration(s.host.cfg.HeartbeatFraction)
	return s.send(&callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_Welcome{Welcome: &callboardv1.Welcome{
		RunnerId: s.runner.String(), SessionId: s.id.String(), Resumed: answer.GetResumed(),
		HeartbeatIntervalMs: thresholdMs / s.host.cfg.HeartbeatFraction, LostThresholdMs: thresholdMs,
		StopThresholdMs: clampMs(view.Setting(fsm.ActorStopThreshold)), EngineAddrs: s.host.cfg.EngineAddrs(), Warnings: answer.GetWarnings(),
		ClusterId: s.host.cluster(),
	}}})
}

// refusalOf makes a refusal of an error, for the runner's eyes.
func refusalOf(err error) *callboardv1.Error {
	if refusal, ok := callboardv1.AsRefusal(err); ok {
		return refusal
	}
	return callboardv1.ErrOutcomeUnknown
}
