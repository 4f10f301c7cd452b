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
	name         string // of the actors that the counted runners handle; empty: all are counted
	others       int    // runners that have not ended and do not handle it
}

// handledName is a name of actors in a pool.
type handledName struct {
	pool fsm.PoolID
	name string
}

// takeHandlers counts the runners of a pool that handle a name and have not ended.
func takeHandlers(v *fsm.View, pool *fsm.Pool, name string) poolCount {
	p := poolCount{name: name}
	for r := range v.PoolRunners(pool) {
		if r.Handles(name) {
			p.add(r, v.Ineligible(r))
		} else {
			p.others++
		}
	}
	return p
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

// breakdown lists the runners by what keeps them from being given actors.
func (p poolCount) breakdown() string {
	text := count(p.registered, "runner")
	if p.others > 0 {
		text += fmt.Sprintf(" that can run actors named %q (%d cannot)", p.name, p.others)
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
