package scheduler

import (
	"cmp"
	"math"
	"slices"

	"github.com/callboard/callboard/fsm"
)

// moving is so many actors that may be moved from a cluster clock on.
type moving struct {
	fromMs   int64
	actors   uint32
	outdated bool // for a newer version
}

// stride foretells in one go what is left: actors are moved at the pool's pace from when their runner's delay is over, as long as there is
// room. In a forecast nobody else comes or goes, so that a pool that moves at its pace goes on so until one of these ends.
func (f forecast) stride(v *fsm.View, p *fsm.Pool) forecast {
	f.view, f.estimate, f.left = v, true, outdatedActors(v, p)
	waiting, room := movings(v, p), roomLeft(v, p)
	atMs, made := max(v.ClockMs(), v.Bucket(p).TokenMs(p.EvictionRateMicros())), int64(0)
	if p.Portioned() {
		atMs = max(atMs, v.DrawnMs(p)+fsm.PortionEveryMs)
	}
	for _, m := range waiting {
		if now := atMs + paceMs(p, made); now < m.fromMs {
			atMs, made = m.fromMs, 0 // nobody is left that may go before
		}
		n := uint32(min(uint64(m.actors), room))
		for range n {
			f.turns = append(f.turns, atMs+paceMs(p, made))
			made++
		}
		room -= uint64(n)
		if m.outdated {
			f.left -= min(n, f.left)
		}
		f.noRoom = f.noRoom || n < m.actors
	}
	f.left -= min(f.left, stoppingOutdated(v, p))
	f.blocked = f.left > 0
	if len(f.turns) > 0 {
		f.endMs = max(f.endMs, f.turns[len(f.turns)-1]+1) // it has stopped a millisecond later
	}
	return f
}

// movings lists what may be moved, the first to be moved first.
func movings(v *fsm.View, p *fsm.Pool) []moving {
	var all []moving
	for r := range v.Evictable(p) {
		why := passedOver(&v.State, p, r)
		if why.blocked == "" || why.blocked == blockedDelay {
			all = append(all, moving{max(v.ClockMs(), p.EvictionBeginsMs(r)), toMove(&v.State, p, r), r.Drain.Cause == fsm.DrainNewerVersion})
		}
	}
	slices.SortStableFunc(all, func(a, b moving) int { return cmp.Compare(a.fromMs, b.fromMs) })
	return all
}

// roomLeft counts the slots that actors of a pool's outdated runners may be moved to.
func roomLeft(v *fsm.View, p *fsm.Pool) uint64 {
	version, room := uint32(0), uint64(0)
	if open := v.OpenRollout(p); open != nil {
		version = open.Version
	}
	for r := range v.Candidates(p, 0) {
		if r.Draining() || r.Version < version {
			break
		}
		room += uint64(r.FreeSlots())
	}
	return room
}

// stoppingOutdated counts the actors that leave outdated runners already.
func stoppingOutdated(v *fsm.View, p *fsm.Pool) uint32 {
	var n uint32
	for r := range v.PoolRunners(p) {
		if r.Drain.Cause == fsm.DrainNewerVersion {
			n += r.Stopping
		}
	}
	return n
}

// paceMs is how long after the first of many planned evictions the one comes that so many went before.
func paceMs(p *fsm.Pool, before int64) int64 {
	if p.Portioned() {
		return before / maxPlannedPerStep * fsm.PortionEveryMs
	}
	if before > math.MaxInt64/1_000_000_000 {
		return math.MaxInt64 / 4
	}
	return before * 1_000_000_000 / int64(p.EvictionRateMicros())
}
