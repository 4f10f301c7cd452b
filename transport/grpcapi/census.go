package grpcapi

import (
	"fmt"

	"github.com/callboard/callboard/fsm"
)

// poolCount is what the runners of one pool come to.
type poolCount struct {
	registered   int // not ended
	connected    int
	draining     int
	disconnected int
	silent       int
	full         int
	placeable    int // would get an actor now
	ended        int
	totalSlots   uint64
	freeSlots    uint64 // of runners that may be given actors
	newest       uint32 // highest version among connected, non-draining runners
	newestFree   uint32 // highest version with a free slot
}

// census counts the runners of a namespace by pool, in one pass, once per request.
type census map[string]*poolCount

func takeCensus(v *fsm.View, ns *fsm.Namespace) census {
	c := census{}
	for r := range v.Runners(ns, 0) {
		p := c[r.Pool.Name]
		if p == nil {
			p = &poolCount{}
			c[r.Pool.Name] = p
		}
		p.add(r, v.Ineligible(r))
	}
	return c
}

func (p *poolCount) add(r *fsm.Runner, ineligible string) {
	if r.End != fsm.NotEnded {
		p.ended++
		return
	}
	p.registered++
	p.totalSlots += uint64(r.Slots)
	if r.Connected {
		p.connected++
	}
	if r.Placeable() {
		p.newest = max(p.newest, r.Version)
	}
	if r.Draining() {
		p.draining++
	}
	switch ineligible {
	case "disconnected":
		p.disconnected++
	case "silent":
		p.silent++
	case "full":
		p.full++
	case "":
		p.placeable++
		p.freeSlots += uint64(r.FreeSlots())
		p.newestFree = max(p.newestFree, r.Version)
	}
}

func (c census) pool(name string) poolCount {
	if p := c[name]; p != nil {
		return *p
	}
	return poolCount{}
}

// whyWaiting says for which runners' stops an actor waits, whatever room there is; empty: for none.
func whyWaiting(v *fsm.View, a *fsm.Actor) string {
	for r := range v.WaitsFor(a) {
		return fmt.Sprintf("runner %s still has a body of it that it should not have, and was told to stop it: it is placed when that end is confirmed, "+
			"or the runner has ended", r.ID)
	}
	return ""
}

// whyPending says in one sentence why an actor waits, and what would help.
func (p poolCount) whyPending(a *fsm.Actor, pool string) string {
	switch {
	case a.Paced():
		return fmt.Sprintf("eviction_paced: what ran on its lost runner is placed again one after the other, at the pace of pool %s, and its turn is at %s; a wake has it go first",
			pool, clockTime(a.RescheduleMs))
	case p.registered == 0:
		return fmt.Sprintf("no runner of pool %s is registered: start one", pool)
	case p.connected == 0:
		return fmt.Sprintf("no runner of pool %s is connected (%d away): they come back, or start one", pool, p.disconnected)
	case p.placeable > 0 && p.newestFree < a.FloorVersion:
		return fmt.Sprintf("it last ran on version %d, and the free slots of pool %s are on version %d and older: it waits for a slot on version %d or newer",
			a.FloorVersion, pool, p.newestFree, a.FloorVersion)
	case p.placeable > 0:
		return fmt.Sprintf("it is next in the queue of pool %s", pool)
	default:
		return fmt.Sprintf("no free slot in pool %s (%s; %d slots in all): add runners or slots", pool, p.breakdown(), p.totalSlots)
	}
}

// breakdown lists the runners by what keeps them from being given actors.
func (p poolCount) breakdown() string {
	text := fmt.Sprintf("%d runners", p.registered)
	if p.registered == 1 {
		text = "1 runner"
	}
	for _, part := range []struct {
		count int
		what  string
	}{{p.full, "full"}, {p.draining, "draining"}, {p.disconnected, "disconnected"}, {p.silent, "silent"}, {p.placeable, "with a free slot"}} {
		if part.count > 0 {
			text += fmt.Sprintf(", %d %s", part.count, part.what)
		}
	}
	return text
}
