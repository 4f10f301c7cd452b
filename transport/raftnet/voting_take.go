package raftnet

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// take looks at what another node has sent, and answers it or passes it on to Raft.
func (v *Voting) take(rpc raft.RPC) {
	switch request := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		if err := v.hearLeader(request.Term, request.RPCHeader, request.Leader); err != nil { //nolint:staticcheck // unused by this protocol version: see notice
			rpc.Respond(&raft.AppendEntriesResponse{}, err)
			return
		}
		if n := len(request.Entries); n > 0 {
			v.known.note(string(request.ID), Floor{Position: Position{request.Entries[n-1].Term, request.Entries[n-1].Index}})
		}
	case *raft.InstallSnapshotRequest:
		if err := v.leads(request.Term, string(request.ID)); err != nil {
			rpc.Respond(&raft.InstallSnapshotResponse{}, err)
			return
		}
	case *raft.RequestPreVoteRequest:
		if request.Term == 0 {
			v.answer(rpc, request)
		} else {
			v.judge(rpc, candidate{string(request.ID), request.Term, Position{request.LastLogTerm, request.LastLogIndex}})
		}
		return
	case *raft.RequestVoteRequest:
		v.judge(rpc, candidate{string(request.ID), request.Term, Position{request.LastLogTerm, request.LastLogIndex}})
		return
	case *raft.TimeoutNowRequest:
		if err := v.MayStand(); err != nil {
			rpc.Respond(&raft.TimeoutNowResponse{}, err)
			return
		}
	}
	v.pass(rpc)
}

func (v *Voting) pass(rpc raft.RPC) bool {
	select {
	case v.passed <- rpc:
		return true
	case <-v.stop:
		return false
	}
}

// A candidate asks for a vote in a term, with a log that ends at a position.
type candidate struct {
	id   string
	term uint64
	last Position
}

// judge refuses what the rule forbids, and leaves the rest to Raft. A candidate that had more is told: it does not count the answer.
func (v *Voting) judge(rpc raft.RPC, c candidate) {
	var told []byte
	if known := v.known.about(c.id); c.last.Before(known.Position) || c.term <= known.Voted {
		v.log.Warn("a member's log is shorter than what it had acknowledged", "node", c.id, "log_ends_at", c.last, "had", known.Position)
		told = notice{c.id, known}.encode()
	}
	v.known.note(c.id, Floor{Position: c.last})
	if !v.mayElect(c.term, c.last) {
		respondVote(rpc, raft.RPCResponse{Response: refusal(rpc.Command, c.term)}, told)
		return
	}
	if told == nil {
		v.pass(rpc)
		return
	}
	answers := make(chan raft.RPCResponse, 1)
	asked := rpc
	asked.RespChan = answers
	if !v.pass(asked) {
		return
	}
	select {
	case answer := <-answers:
		respondVote(rpc, answer, told)
	case <-v.stop:
	}
}

func refusal(command any, term uint64) any {
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}
	if _, pre := command.(*raft.RequestPreVoteRequest); pre {
		return &raft.RequestPreVoteResponse{RPCHeader: header, Term: term}
	}
	return &raft.RequestVoteResponse{RPCHeader: header, Term: term}
}

// respondVote answers a candidate, with a notice if there is one.
func respondVote(rpc raft.RPC, answer raft.RPCResponse, told []byte) {
	if told != nil {
		switch response := answer.Response.(type) {
		case *raft.RequestVoteResponse:
			response.Addr = told
		case *raft.RequestPreVoteResponse:
			response.Addr = told
		}
	}
	rpc.Respond(answer.Response, answer.Error)
}

// A question is a pre-vote in term 0, which no build ever grants: "this is where my log ends, and this is what you had, as far as I
// know: what had I?"
func (v *Voting) answer(rpc raft.RPC, question *raft.RequestPreVoteRequest) {
	id := string(question.ID)
	response := &raft.RequestPreVoteResponse{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
	if err := v.hear(question.Addr); err != nil {
		rpc.Respond(response, err)
		return
	}
	known := v.known.about(id)
	if ends := (Position{question.LastLogTerm, question.LastLogIndex}); ends.Before(known.Position) {
		v.log.Warn("a member has come back with a shorter log than it had acknowledged", "node", id, "log_ends_at", ends, "had", known.Position,
			"alarm", "an older copy of its data directory, or a disk that lost what it had promised?")
	}
	response.Addr = notice{id, known}.encode()
	rpc.Respond(response, nil)
}

// ask asks one node.
func (v *Voting) ask(to raft.Server) error {
	_, last, _ := v.Probation()
	question := &raft.RequestPreVoteRequest{
		RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(v.id), Addr: notice{string(to.ID), v.known.about(string(to.ID))}.encode(),
		},
		LastLogIndex: last.Index, LastLogTerm: last.Term,
	}
	var response raft.RequestPreVoteResponse
	if err := v.preVotes.RequestPreVote(to.ID, to.Address, question, &response); err != nil {
		return err
	}
	return v.hear(response.Addr)
}

// askAgain is how long this node waits before it asks those again that did not answer.
const askAgain = time.Second

// Ask asks every other member once what this node had, and tells it what that one had. This node gives no vote and does not stand before
// they have answered, or until the limit has passed for those that are away; they are asked again until they answer.
func (v *Voting) Ask(ctx context.Context, limit time.Duration, members func() []raft.Server) error {
	answered := map[raft.ServerID]bool{raft.ServerID(v.id): true}
	waiting := map[raft.ServerID]bool{}
	type answer struct {
		from raft.ServerID
		err  error
	}
	answers := make(chan answer)
	patience, again := time.NewTimer(limit), time.NewTicker(askAgain)
	defer patience.Stop()
	defer again.Stop()
	askAll := func() {
		for _, m := range members() {
			if answered[m.ID] || waiting[m.ID] {
				continue
			}
			waiting[m.ID] = true
			v.stopped.Go(func() {
				err := v.ask(m)
				select {
				case answers <- answer{m.ID, err}:
				case <-ctx.Done():
				}
			})
		}
	}
	v.forget(members())
	askAll()
	for {
		if len(waiting) == 0 {
			v.ready()
		}
		select {
		case a := <-answers:
			delete(waiting, a.from)
			answered[a.from] = a.err == nil
		case <-patience.C:
			v.ready()
		case <-again.C:
			askAll()
		case <-ctx.Done():
			return nil
		}
	}
}

// forget drops what this node knows of nodes that are no members any more.
func (v *Voting) forget(members []raft.Server) {
	if len(members) == 0 {
		return // it knows of no cluster yet
	}
	ids := make([]string, 0, len(members))
	for _, m := range members {
		ids = append(ids, string(m.ID))
	}
	v.known.keep(ids)
}

func (v *Voting) ready() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = true
}

const (
	// saveEvery is how far the file may be behind what others have acknowledged when this process is killed, syncEvery when the power fails.
	saveAcknowledgedEvery = 5 * time.Millisecond
	syncAcknowledgedEvery = time.Second
)

// Save keeps what others have acknowledged in a file, until ctx ends. It is no promise: a failure is told, and costs a notice at most.
func (v *Voting) Save(ctx context.Context) error {
	var synced time.Time
	failed := false
	for {
		select {
		case <-v.known.dirty:
		case <-ctx.Done():
			return nil
		}
		err := v.stores.acknowledged.Save(v.known.encode())
		if err == nil && time.Since(synced) >= syncAcknowledgedEvery {
			synced = time.Now()
			err = v.stores.acknowledged.Sync()
		}
		if err != nil && !failed {
			v.log.Error("what other nodes have acknowledged cannot be saved: one that comes back with an older log may not be noticed", "error", err)
		}
		failed = err != nil
		select {
		case <-time.After(saveAcknowledgedEvery):
		case <-ctx.Done():
			return nil
		}
	}
}
