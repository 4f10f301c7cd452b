package runner

import "slices"

// endedMemory knows the newest generation of each actor that this runner has ended or refused: an older or equal one is never
// started.
//
// It is bounded, and may be: an end that the engine has not acknowledged is never forgotten here (the loop keeps those apart,
// one for each slot that the engine still holds for it). Once acknowledged, an end is committed; the engine sends what its
// committed state says, in order, on a stream that begins with a state at least as new, so a Start of that generation can only
// be one that was sent earlier on the same stream, and thousands of later ends cannot have overtaken it.
type endedMemory struct {
	newest map[string]uint64
	order  []endedEntry // oldest first; an entry whose generation is no longer the newest is a leftover
	limit  int
}

type endedEntry struct {
	actorID    string
	generation uint64
}

func newEndedMemory(limit int) *endedMemory {
	return &endedMemory{newest: make(map[string]uint64), limit: limit}
}

func (m *endedMemory) remember(actorID string, generation uint64) {
	if m.newest[actorID] >= generation {
		return
	}
	m.newest[actorID] = generation
	m.order = append(m.order, endedEntry{actorID, generation})
	leftover := func(e endedEntry) bool { return m.newest[e.actorID] != e.generation }
	for len(m.newest) > m.limit {
		if e := m.order[0]; !leftover(e) {
			delete(m.newest, e.actorID)
		}
		m.order = m.order[1:]
	}
	if len(m.order) > 2*m.limit {
		m.order = slices.DeleteFunc(m.order, leftover)
	}
}

// has tells that this generation, or a newer one, has ended or was refused here.
func (m *endedMemory) has(actorID string, generation uint64) bool {
	return generation <= m.newest[actorID]
}
