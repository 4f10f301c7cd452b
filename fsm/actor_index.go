package fsm

// addActor puts a new row and all its index keys.
func (tx *Tx) addActor(a *Actor) {
	tx.nameActor(a)
	tx.replaceActor(nil, a)
}

// nameActor puts the keys of a new row that stay the same for its life.
func (tx *Tx) nameActor(a *Actor) {
	names, _ := tx.actorNames.Get(nameCountKey{namespace: a.namespace, name: a.Name})
	if names.actors == 0 {
		names = nameCountKey{namespace: a.namespace, name: a.Name, hash: hashParts(a.namespace, a.Name)}
	}
	names.actors++
	tx.actorNames.Put(names)
	tx.actorsByID.Put(idKey{id: ID(a.ID), row: a.ordinal})
	tx.actorsByName.Put(actorNameKey{hash: names.hash, seq: halve(a.Seq), ordinal: a.ordinal})
}

func (tx *Tx) removeActor(a *Actor) {
	tx.replaceActor(a, nil)
	names, _ := tx.actorNames.Get(nameCountKey{namespace: a.namespace, name: a.Name})
	tx.actorsByName.Delete(actorNameKey{hash: names.hash, seq: halve(a.Seq)})
	tx.actorsByID.Delete(idKey{id: ID(a.ID)})
	if names.actors--; names.actors == 0 {
		tx.actorNames.Delete(names)
	} else {
		tx.actorNames.Put(names)
	}
	tx.actorOrdinals.release(a.ordinal)
}

// replaceActor writes an actor's row and keeps everything that is derived from it: nil old adds, nil next removes. A change that
// the actor's runner should hear of gets a new revision.
func (tx *Tx) replaceActor(old, next *Actor) {
	told := next != nil && next.Phase.OnRunner() && (old == nil || old.Phase != next.Phase || old.StopReason != next.StopReason) &&
		next.Phase != Running && next.RunnerRev == revOf(old)
	if told {
		next.RunnerRev = tx.runners.Get(next.Runner).Rev + 1
	}
	tx.writeActor(old, next)
	tx.moveSlot(old, next, told)
}

// writeActor is replaceActor without what its runner holds.
func (tx *Tx) writeActor(old, next *Actor) {
	if next == nil {
		tx.noteActor(old.ordinal)
		tx.clearActor(old.ordinal)
	} else {
		tx.noteActor(next.ordinal)
		tx.setActor(next)
	}
	was, is := keysOf(old), keysOf(next)
	moveKey(tx.agenda, was.agenda, is.agenda)
	moveKey(tx.queue, was.queue, is.queue)
	moveKey(tx.nameQueue, was.nameQueue, is.nameQueue)
	moveKey(tx.assigned, was.assigned, is.assigned)
	moveKey(tx.nameOn, was.nameOn, is.nameOn)
	moveKey(tx.alarms, was.alarm, is.alarm)
	moveKey(tx.backoffs, was.backoff, is.backoff)
	moveKey(tx.endedActors, was.ended, is.ended)
	if old.holdsKey() != next.holdsKey() {
		moveKey(tx.actorsByKey, old.liveKey(), next.liveKey())
	}
	if was.named != is.named {
		moveKey(tx.named, was.named, is.named)
		tx.lookAgain(either(old, next).pool)
	}
	if was, is := old.movedKey(), next.movedKey(); was != is {
		tx.countMoved(was, -1)
		tx.countMoved(is, +1)
	}
	moveKey(tx.turns, was.turn, is.turn)
	moveKey(tx.unreceived, was.unreceived, is.unreceived)
	if next != nil && (is.queue != was.queue || is.named != was.named || is.unreceived != was.unreceived) {
		tx.dirtyPool(next.pool)
	}
	tx.countActor(old, next)
}

func revOf(a *Actor) uint64 {
	if a == nil {
		return 0
	}
	return a.RunnerRev
}

func (tx *Tx) nextRev(number uint32) uint64 {
	old := tx.runners.Get(number)
	r := *old
	r.Rev++
	tx.rehash(old.revHash(), r.revHash())
	tx.runners.Set(number, &r)
	tx.touchRunner(number)
	return r.Rev
}

// moveSlot gives back the slot of a life that ended and takes one for a life that began. told: the runner of next gets a revision.
func (tx *Tx) moveSlot(old, next *Actor, told bool) {
	var from, to uint32
	if old != nil {
		from = old.Runner
	}
	if next != nil {
		to = next.Runner
	}
	tx.movePromise(old, next)
	wasStopping, isStopping := old != nil && old.Phase == Stopping, next != nil && next.Phase == Stopping
	if from != 0 && from != to {
		tx.hold(from, holding{slots: -1, stopping: -count(wasStopping)})
	}
	switch {
	case to == 0:
	case from != to:
		tx.hold(to, holding{slots: +1, stopping: count(isStopping), told: told})
	case told || wasStopping != isStopping:
		tx.hold(to, holding{stopping: count(isStopping) - count(wasStopping), told: told})
	}
}

// movePromise keeps a slot for an actor that is being moved, or lets it go.
func (tx *Tx) movePromise(old, next *Actor) {
	var from, to uint32
	if old != nil {
		from = old.Promise
	}
	if next != nil {
		to = next.Promise
	}
	if from == to {
		return
	}
	tx.keep(from, -1)
	tx.keep(to, +1)
}

// keep counts a slot that a runner keeps for an actor on its way to it.
func (tx *Tx) keep(number uint32, by int) {
	if number == 0 {
		return
	}
	r := tx.runners.Get(number)
	next := *r
	next.Promised = uint32(int(r.Promised) + by)
	tx.writeRunner(r, &next) // a promise is not in the hash
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// holding is by how much what a runner holds changes: slots, some of them for actors that are stopping; and whether it is told.
type holding struct {
	slots, stopping int
	told            bool
}

// hold takes slots of a runner, or gives them back.
func (tx *Tx) hold(number uint32, by holding) {
	r := tx.runners.Get(number)
	next := *r
	next.Held = uint32(int(r.Held) + by.slots)
	next.Stopping = uint32(int(r.Stopping) + by.stopping)
	if by.told {
		next.Rev++
		tx.rehash(r.revHash(), next.revHash())
		tx.touchRunner(number)
	}
	tx.writeRunner(r, &next)
}

// either returns the new row, or the old one if there is none.
func either(old, next *Actor) *Actor {
	if next != nil {
		return next
	}
	return old
}

func (tx *Tx) countActor(old, next *Actor) {
	row := either(old, next)
	was, is := countsOf(old), countsOf(next)
	if was != is {
		tx.poolStats.Set(row.pool, tx.poolStats.Get(row.pool).plus(was, -1).plus(is, +1))
		tx.settleDeleted(row.pool)
	}
	if old != nil {
		tx.countPhase(old, -1)
	}
	if next != nil {
		tx.countPhase(next, +1)
	}
}

func (tx *Tx) countPhase(a *Actor, by int) {
	tx.phases[a.Phase] += uint64(by)
	tx.storedBytes += int64(by) * int64(len(a.Input)+len(a.Saved))
	if a.Phase == Destroyed {
		tx.endedCount.Set(a.namespace, tx.endedCount.Get(a.namespace)+uint32(by))
	}
}

// countsOf are what an actor adds to the counts of its pool.
func countsOf(a *Actor) PoolStats {
	if a == nil {
		return PoolStats{}
	}
	return a.counts()
}

// counts are what one actor adds to the counts of its pool.
func (a *Actor) counts() PoolStats {
	if a.Phase == Destroyed {
		return PoolStats{Ended: 1}
	}
	return PoolStats{
		Live:       1,
		Pending:    uint32(count(a.Phase == Pending && !a.Paced())),
		Paced:      uint32(count(a.Paced())),
		Sleeping:   uint32(count(a.Phase == Sleeping)),
		Named:      uint32(count(a.Named())),
		Unreceived: uint32(count(a.Eviction&evictionUnreceived != 0)),
		OnRunner:   uint32(count(a.Phase.OnRunner())),
	}
}
