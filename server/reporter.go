package server

import (
	"context"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/peer"
)

// reporter hands what this node's sessions report to the leader: to the loop here, or over the relay.
type reporter struct {
	ctx    context.Context // the node's
	engine *engine
	relay  *peer.Relay
}

// ReadIndex returns the index of an entry proposed after the call.
func (r *reporter) ReadIndex(ctx context.Context) (uint64, error) { return r.engine.readIndex(ctx) }

// Report queues a report for the leader; reply is called once, when this node's own View has the answer's index.
func (r *reporter) Report(report *nodev1.SessionReport, reply func(*nodev1.SessionAnswer, error)) error {
	if r.engine.inbox.gate.isOpen() {
		err := r.engine.inbox.put(reportRequest(report, func(o outcome) { reply(sessionAnswer(o)) }))
		if !tookNoEffect(err) {
			return err
		}
	}
	return r.relay.Report(r.ctx, report, func(answer *nodev1.SessionAnswer) {
		if answer.GetUnknown() {
			reply(nil, callboardv1.ErrOutcomeUnknown)
			return
		}
		reply(answer, nil)
	})
}

// peerLeader is the leader's side of what other nodes ask.
type peerLeader struct{ engine *engine }

// Submit hands forwarded commands to the loop.
func (p peerLeader) Submit(requests []*nodev1.SubmitRequest, answer func(int, *nodev1.SubmitResponse, error)) {
	for i, in := range requests {
		r := submission(in)
		r.remote = true
		r.reply = func(o outcome) {
			out, err := submitted(o)
			answer(i, out, notLeader(err))
		}
		if err := p.engine.inbox.put(r); err != nil {
			answer(i, nil, notLeader(err))
		}
	}
}

// ReadIndex answers with the index of an entry proposed after the call.
func (p peerLeader) ReadIndex(ctx context.Context) (*nodev1.ReadIndexResponse, error) {
	out, err := p.engine.readIndexHere(ctx, true)
	return out, notLeader(err)
}

// Relay hands the reports of another node's sessions to the loop.
func (p peerLeader) Relay(_ context.Context, _ string, reports []*nodev1.SessionReport, answer func(uint64, []*nodev1.SessionAnswer)) error {
	for i, report := range reports {
		tag := report.GetTag()
		r := reportRequest(report, func(o outcome) {
			a, err := sessionAnswer(o)
			if err != nil {
				a = &nodev1.SessionAnswer{Unknown: true}
			}
			a.Tag = tag
			answer(o.index, []*nodev1.SessionAnswer{a})
		})
		r.remote = true
		if err := p.engine.inbox.put(r); err != nil {
			if i == 0 {
				return notLeader(err)
			}
			answer(0, unknownFor(reports[i:]))
			return nil
		}
	}
	return nil
}

func unknownFor(reports []*nodev1.SessionReport) []*nodev1.SessionAnswer {
	answers := make([]*nodev1.SessionAnswer, len(reports))
	for i, report := range reports {
		answers[i] = &nodev1.SessionAnswer{Tag: report.GetTag(), Unknown: true}
	}
	return answers
}

// notLeader says between nodes that this one does not lead.
func notLeader(err error) error {
	if err != nil && tookNoEffect(err) {
		return peer.ErrNotLeader
	}
	return err
}
