package raftnet

import (
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// leadersKept is of how many terms a node remembers the leader: a message of a term that is over may be late.
const leadersKept = 16

// leaders knows who led the terms that this node has lately seen at work. Raft elects one leader a term, as no voter gives two votes in
// one. A node that came back with an older directory may have: it has forgotten the first. Entries of two leaders of one term have equal
// terms and indexes, so Raft's own comparison of logs does not see that they differ, and the nodes would diverge for good.
type leaders struct {
	mu sync.Mutex
	of [leadersKept]struct {
		term uint64
		id   string
	}
}

// sees returns an error if another node led the same term.
func (l *leaders) sees(term uint64, id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := &l.of[term%leadersKept]
	switch {
	case term > known.term:
		known.term, known.id = term, id
	case term == known.term && id != known.id:
		return fmt.Errorf("%w: %s and %s both led term %d: a voter came back with an older directory, and has forgotten its vote",
			ErrDiverged, known.id, id, term)
	}
	return nil
}

// leads returns an error, and ends this node, if another node led the same term: nobody knows which of them has what was acknowledged.
func (v *Voting) leads(term uint64, id string) error {
	err := v.leaders.sees(term, id)
	if err != nil && v.stores.failure != nil {
		v.stores.failure.tell(err)
	}
	return err
}

// hearLeader takes what comes with the entries or the snapshot of a leader.
func (v *Voting) hearLeader(term uint64, from raft.RPCHeader, notice []byte) error {
	if err := v.leads(term, string(from.ID)); err != nil {
		return err
	}
	return v.hear(notice)
}
