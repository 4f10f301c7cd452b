package server

import (
	"maps"
	"slices"
	"sync"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
)

const (
	// hashLevels, hashesPerLevel and hashStepBits say which state hashes a node remembers: of each level the last 16, on the first level of
	// every View, on each further one of the first View in every eighth stretch of the level below: 16 entries back, 128, and up to half a
	// million. So two nodes find an index that both remember, be they level or far apart, busy or idle.
	hashLevels     = 6
	hashesPerLevel = 16
	hashStepBits   = 3
)

// hashRing remembers the hashes of a node's recent Views, at indexes that all nodes pick alike.
type hashRing struct {
	mu     sync.Mutex // not a loop: it is held for a few instructions with each entry, and read once a minute
	last   uint64
	levels [hashLevels]struct {
		next   int // overwritten next
		hashes [hashesPerLevel]indexHash
	}
}

type indexHash struct {
	index uint64 // 0: none
	hash  fsm.StateHash
}

// add remembers the hash of the View that follows the last one.
func (r *hashRing) add(index uint64, hash fsm.StateHash) {
	h := indexHash{index, hash}
	r.mu.Lock()
	defer r.mu.Unlock()
	for level := range r.levels {
		step := level * hashStepBits
		if h.index>>step == r.last>>step {
			break
		}
		l := &r.levels[level]
		l.hashes[l.next] = h
		l.next = (l.next + 1) % hashesPerLevel
	}
	r.last = h.index
}

// restart forgets everything: the state is another node's from here on.
func (r *hashRing) restart(index uint64, hash fsm.StateHash) {
	h := indexHash{index, hash}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.levels = hashRing{}.levels
	r.last = h.index
	r.levels[0].hashes[0], r.levels[0].next = h, 1 // whether a wider step begins with it is not known here
}

// all returns what is remembered, by index.
func (r *hashRing) all() map[uint64]fsm.StateHash {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[uint64]fsm.StateHash{}
	for _, level := range r.levels {
		for _, h := range level.hashes {
			if h.index != 0 {
				all[h.index] = h.hash
			}
		}
	}
	return all
}

// StateHashes tells another node what this one remembers.
func (c *core) StateHashes() *nodev1.StateHashesResponse {
	response := &nodev1.StateHashesResponse{Name: c.name, NodeId: c.id, Form: fsm.HashForm}
	all := c.replica.hashes.all()
	for _, index := range slices.Sorted(maps.Keys(all)) {
		response.Hashes = append(response.Hashes, &nodev1.StateHash{Index: index, High: all[index].High, Low: all[index].Low})
	}
	return response
}
