package fsm

import (
	"fmt"
	"iter"
)

// What must hold of requests and endpoints.

func (r *Request) name() string { return fmt.Sprintf("request %s", r.ID) }

// addRequests counts changed requests: before what they add up to is compared.
func (c *checker) addRequests(ordinals iter.Seq[uint32]) {
	for ordinal := range distinct(ordinals) {
		c.addRequest(c.before.requests.Get(ordinal), -1)
		c.addRequest(c.requests.Get(ordinal), +1)
	}
}

// checkRequests checks changed requests, and what they add up to.
func (c *checker) checkRequests(ordinals iter.Seq[uint32]) {
	for ordinal := range distinct(ordinals) {
		if now := c.requests.Get(ordinal); now != nil {
			c.checkRequest(now)
		}
		for _, r := range []*Request{c.before.requests.Get(ordinal), c.requests.Get(ordinal)} {
			if r != nil {
				c.checkPool(r.pool)
			}
		}
	}
}

// distinct yields each number once.
func distinct(numbers iter.Seq[uint32]) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		seen := map[uint32]bool{}
		for n := range numbers {
			if !seen[n] {
				seen[n] = true
				if !yield(n) {
					return
				}
			}
		}
	}
}

// upTo yields the numbers below a bound.
func upTo(bound uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for n := range bound {
			if !yield(n) {
				return
			}
		}
	}
}

func (c *checker) addRequest(r *Request, by int) {
	if r == nil {
		return
	}
	c.delta.lens.requestsByID += by
	c.delta.lens.poolRequests += by
	c.delta.lens.agenda += by
	c.delta.pools[r.pool] = c.delta.pools[r.pool].plus(r.counts(), by)
}

func (c *checker) checkRequest(r *Request) {
	name := row[*Request]{r}
	p := c.pools.Get(r.pool)
	if p == nil {
		c.wrong(name, "its pool is not there")
		return
	}
	in(c, c.requestsByID, "requests by id", name, idKey{ID(r.ID), r.ordinal})
	in(c, c.poolRequests, "requests of the pool", name, r.poolKey())
	in(c, c.agenda, "what falls due", name, r.agendaKey())
	runner := c.Runner(r.Runner)
	switch {
	case r.Phase < RequestOpening || r.Phase > RequestEnded:
		c.differ(name, "phase", "opening to ended", r.Phase)
	case (r.Phase == RequestEnded) != (r.End != 0), (r.Phase == RequestEnded) != (r.EndWall != 0) && c.wallMs != 0:
		c.differ(name, "end while its phase is "+fmt.Sprint(r.Phase), r.Phase == RequestEnded, fmt.Sprint(r.End, " at ", r.EndWall))
	case r.halfOpen() && !ID(r.Runner).IsZero():
		c.differ(name, "runner of a request that waits for one", "none", r.Runner)
	case r.Phase == RequestJoined && (runner == nil || runner.Request != r.ID || runner.Instance != r.Instance):
		c.wrong(name, "its runner is not there, answers another one, or is another process")
	case r.Drains && !r.Expiring:
		c.wrong(name, "its runner drains, and no replacement is wanted")
	case r.Seq < 1 || r.Seq > c.requestSeq:
		c.differ(name, "order of opening", fmt.Sprint("1 to ", c.requestSeq), r.Seq)
	case r.OpenMs > c.clockMs || r.EndedMs > c.clockMs:
		c.differ(name, "times", fmt.Sprint("at most ", c.clockMs), fmt.Sprint(r.OpenMs, " and ", r.EndedMs))
	}
}

// checkEndpoint checks that a pool is looked at again when its endpoint says so.
func (c *checker) checkEndpoint(p *Pool) {
	name := fmt.Sprintf("endpoint of the pool %q", p.ID.Name)
	e := c.endpoints.Get(p.ordinal)
	if !p.Serverless() && e != nil {
		c.wrong(name, "the pool is not serverless")
	}
	if k := p.lookKey(e); k != (agendaKey{}) {
		in(c, c.agenda, "what falls due", name, k)
	}
	if _, listed := c.serverlessPools.Get(p.ordinal); listed != p.Serverless() {
		c.differ(name, "listed as serverless", p.Serverless(), listed)
	}
}

// addEndpoints counts when pools are looked at again and when waits are over, of those whose endpoints or waits may have changed.
func (c *checker) addEndpoints(ordinals iter.Seq[uint32]) {
	for ordinal := range distinct(ordinals) {
		c.delta.lens.agenda += count(c.endpoints.Get(ordinal).GetLookMs() != 0) - count(c.before.endpoints.Get(ordinal).GetLookMs() != 0)
		c.delta.lens.agenda += count(c.awaits.Get(ordinal).UntilMs != 0) - count(c.before.awaits.Get(ordinal).UntilMs != 0)
	}
}

// checkServerless counts the serverless pools.
func (c *checker) checkServerless() {
	want := 0
	for ordinal := range c.poolOrdinals.next {
		if p := c.pools.Get(ordinal); p != nil {
			want += count(p.Serverless())
		}
	}
	if got := c.serverlessPools.Len(); got != want {
		c.differ("the state", "index of serverless pools", want, got)
	}
}
