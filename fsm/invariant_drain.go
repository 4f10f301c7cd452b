package fsm

import (
	"fmt"
	"iter"
)

// What must hold of drains that outlive their runners, and of versions that are held back.

// checkKeptDrains checks changed rows, then what they add up to.
func (c *checker) checkKeptDrains(keys iter.Seq[keptDrainKey]) {
	seen := map[keptDrainKey]bool{}
	for k := range keys {
		if k.row = nil; seen[k] {
			continue
		}
		seen[k] = true
		if was, ok := c.before.keptDrains.Get(k); ok {
			c.addKeptDrain(was.row, -1)
		}
		if is, ok := c.keptDrains.Get(k); ok {
			c.addKeptDrain(is.row, +1)
			c.checkKeptDrain(k, is.row)
		}
	}
	//callboard:ordered each is looked at by itself
	for k := range seen {
		if want, got := int(c.before.keptDrainCount.Get(k.pool))+c.delta.kept[k.pool], int(c.keptDrainCount.Get(k.pool)); want != got || got > MaxKeptDrains {
			c.differ(fmt.Sprint("pool ordinal ", k.pool), "drains that are kept", fmt.Sprint(want, ", at most ", MaxKeptDrains), got)
		}
	}
}

func (c *checker) addKeptDrain(d *KeptDrain, by int) {
	c.delta.lens.keptDrains += by
	c.delta.lens.keptDrainsBySeq += by
	c.delta.lens.agenda += by
	c.delta.kept[d.pool] += by
}

func (c *checker) checkKeptDrain(k keptDrainKey, d *KeptDrain) {
	name := fmt.Sprintf("the kept drain of the key %q", clip(d.Key, 64))
	if c.pools.Get(k.pool) == nil || d.pool != k.pool || d.Key != k.key || d.Key == "" || d.Seq < 1 || d.Seq > c.drainSeq || d.AtMs > c.clockMs {
		c.wrong(name, "its pool is not there, or the row is of another pool or key, or of a time or place that has not come")
	}
	in(c, c.keptDrainsBySeq, "kept drains in their order", name, keptDrainSeqKey{pool: d.pool, seq: d.Seq, row: d})
	in(c, c.agenda, "what falls due", name, d.agendaKey())
}

// checkAwait checks that a wait has a version, and an end that falls due.
func (c *checker) checkAwait(p *Pool) {
	name, await := fmt.Sprintf("what the pool %q awaits", p.ID.Name), c.awaits.Get(p.ordinal)
	if await.UntilMs < 0 || await.Version == 0 && await.UntilMs != 0 {
		c.differ(name, "wait", "one for a version", fmt.Sprintf("%+v", await))
	}
	if k := await.agendaKey(p); k != (agendaKey{}) {
		in(c, c.agenda, "what falls due", name, k)
	}
}

func (c *checker) checkHeldVersions() {
	of := map[uint32]int{}
	for k := range c.heldVersions.All() {
		if of[k.pool]++; c.pools.Get(k.pool) == nil || k.row == nil || k.row.Version != k.version || of[k.pool] > MaxHeldVersions {
			c.wrong(fmt.Sprintf("the held version %d of the pool ordinal %d", k.version, k.pool), "its pool is not there, or the row is of another version, or they are too many")
		}
	}
}
