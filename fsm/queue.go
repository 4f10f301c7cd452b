package fsm

// queueKey orders the pending actors of a pool: by the version that they must not fall below, then by arrival.
type queueKey struct {
	pool    uint32
	floor   uint32
	seq     halves
	ordinal uint32
}

func queueLess(a, b queueKey) bool {
	if a.pool != b.pool {
		return a.pool < b.pool
	}
	if a.floor != b.floor {
		return a.floor < b.floor
	}
	return a.seq.whole() < b.seq.whole()
}

// FirstPending returns the pending actor of a pool that has waited longest among those that may go to a runner of the given
// version; nil: there is none. It is for pools whose runners list no names.
//
// An actor goes to a version lower than the one it last ran on only if its floor does not bind it. There are few distinct floors in a pool,
// so that one look-up for each finds the first.
func (s *State) FirstPending(p *Pool, version uint32) *Actor {
	var first *queueKey
	from := queueKey{pool: p.ordinal}
	for {
		k, ok := s.queue.First(from)
		if !ok || k.pool != p.ordinal {
			break
		}
		if !s.FloorBinds(p, "", k.floor, version) && (first == nil || k.seq.whole() < first.seq.whole()) {
			first = &k
		}
		if k.floor == ^uint32(0) {
			break
		}
		from = queueKey{pool: p.ordinal, floor: k.floor + 1}
	}
	if first == nil {
		return nil
	}
	return s.actorAt(first.ordinal)
}

// FloorBinds reports whether an actor of a name and with a floor waits rather than go to a version: the version is below its floor, and a
// runner at the floor or above that handles the name is registered that neither ended nor drains, or one has gone a short while ago. What the
// pool awaits says when that ends.
func (s *State) FloorBinds(p *Pool, name string, floor, version uint32) bool {
	if version >= floor {
		return false
	}
	if await := s.Await(p); floor <= await.Version {
		return await.Awaits(floor)
	}
	newest, some := s.NewestFor(p, name)
	return some && newest >= floor
}
