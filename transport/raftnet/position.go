package raftnet

import (
	"bytes"
	"cmp"
	"encoding/json"
)

// Position is where a log ends: the term and the index of its last entry. Of two logs the one with the later position is the more
// up to date, as Raft compares them.
type Position struct {
	Term  uint64 `json:"term"`
	Index uint64 `json:"index"`
}

// Before reports whether a log that ends here is less up to date than one that ends there.
func (p Position) Before(q Position) bool {
	return cmp.Or(cmp.Compare(p.Term, q.Term), cmp.Compare(p.Index, q.Index)) < 0
}

// later returns the later of two positions.
func (p Position) later(q Position) Position {
	if p.Before(q) {
		return q
	}
	return p
}

// Floor is what a node once had, as far as it is known: it voted in a term, and its log reached a position. While its log ends before
// that, the node is on probation.
type Floor struct {
	Position
	Voted uint64 `json:"voted,omitempty"`
}

// raise returns the floor that demands what both demand.
func (f Floor) raise(g Floor) Floor {
	return Floor{Position: f.later(g.Position), Voted: max(f.Voted, g.Voted)}
}

// A notice tells a node what its floor is. It travels in fields of Raft's messages that this protocol version does not use, so that it
// arrives before the message does, over any transport, and means nothing to a build that does not know it.
type notice struct {
	Node string `json:"node"` // whom it is about
	Floor
}

var noticeMagic = []byte("callboard floor 1 ")

func (n notice) encode() []byte {
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // a string and three numbers
	}
	return append(bytes.Clone(noticeMagic), text...)
}

// readNotice returns the notice in a field; false: it holds something else.
func readNotice(field []byte) (n notice, ok bool) {
	text, ok := bytes.CutPrefix(field, noticeMagic)
	return n, ok && json.Unmarshal(text, &n) == nil
}
