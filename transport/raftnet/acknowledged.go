package raftnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
)

// maxAcknowledged bounds the nodes whose logs one node remembers; it forgets those that are no members first.
const maxAcknowledged = 64

// acknowledged is what this node knows of the logs of others: what they stored when it led, what they sent when they led, whom they
// voted for. Raft forgets that with each election, and without it nobody notices that a voter came back with an older log.
type acknowledged struct {
	// A mutex and not a loop: every answer of every follower passes here, for a few instructions.
	mu    sync.Mutex
	of    map[string]Floor
	ended map[string]uint64 // where their logs ended, as they last said
	dirty chan struct{}     // holds a token when there is something to save
}

func newAcknowledged(saved []byte) (*acknowledged, error) {
	a := &acknowledged{of: map[string]Floor{}, ended: map[string]uint64{}, dirty: make(chan struct{}, 1)}
	if len(saved) == 0 {
		return a, nil
	}
	if err := json.Unmarshal(saved, &a.of); err != nil {
		a.of = map[string]Floor{}
		return a, fmt.Errorf("what other nodes had acknowledged: %w: %w", ErrDamaged, err)
	}
	return a, nil
}

// note takes down what is now known of a node.
func (a *acknowledged) note(node string, known Floor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	was, there := a.of[node]
	now := was.raise(known)
	if node == "" || now == was || !there && len(a.of) >= maxAcknowledged {
		return
	}
	a.of[node] = now
	select {
	case a.dirty <- struct{}{}:
	default:
	}
}

// about returns what is known of a node; zero: nothing.
func (a *acknowledged) about(node string) Floor {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.of[node]
}

// ends takes down where a node says that its log ended.
func (a *acknowledged) ends(node string, index uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.of[node]; ok {
		a.ended[node] = index
	}
}

// short returns what a node had if it says that its log ends before that; otherwise nothing.
func (a *acknowledged) short(node string) Floor {
	a.mu.Lock()
	defer a.mu.Unlock()
	if index, said := a.ended[node]; said && index < a.of[node].Index {
		return a.of[node]
	}
	return Floor{}
}

// keep forgets every node but these.
func (a *acknowledged) keep(nodes []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := map[string]Floor{}
	for _, node := range nodes {
		if known, ok := a.of[node]; ok {
			kept[node] = known
		}
	}
	a.of = kept
}

func (a *acknowledged) encode() []byte {
	a.mu.Lock()
	of := maps.Clone(a.of)
	a.mu.Unlock()
	text, err := json.Marshal(of)
	if err != nil {
		panic(err) // strings and numbers
	}
	return text
}

// ledger is where that is kept, in whole each time. What Save has taken outlives the process, and the machine once Sync has returned.
type ledger interface {
	Load() ([]byte, error)
	Save(content []byte) error
	Sync() error
}

var errLedgerFull = errors.New("what other nodes had acknowledged does not fit")
