package runner

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// addressBook knows where the engine may be reached: what the configuration says, for ever, and what the engine last told. It
// rotates: the next dial goes to the address with the fewest failures in a row, the one longest untried among equals.
type addressBook struct {
	entries []*address
	tries   uint64
}

type address struct {
	target     string // host:port, or an http(s) URL
	configured bool
	failures   int
	lastTry    uint64
}

// newAddressBook takes a validated, comma-separated list. The first dial starts at a random place of it, so that a fleet spreads.
func newAddressBook(endpoint string) *addressBook {
	b := &addressBook{}
	for _, target := range splitEndpoint(endpoint) {
		if b.find(target) == nil {
			b.entries = append(b.entries, &address{target: target, configured: true})
		}
	}
	rand.Shuffle(len(b.entries), func(i, j int) { b.entries[i], b.entries[j] = b.entries[j], b.entries[i] })
	return b
}

func splitEndpoint(endpoint string) []string {
	var targets []string
	for part := range strings.SplitSeq(endpoint, ",") {
		if part = strings.TrimSpace(part); part != "" {
			targets = append(targets, part)
		}
	}
	return targets
}

func (b *addressBook) find(target string) *address {
	for _, e := range b.entries {
		if e.target == target {
			return e
		}
	}
	return nil
}

// configured tells whether an address is one of the configuration's.
func (b *addressBook) configured(target string) bool {
	e := b.find(target)
	return e != nil && e.configured
}

// learn replaces what was learnt before. What is new gets a random place: everybody is told the same list, and when a node dies not
// all of its runners should go to the same one.
func (b *addressBook) learn(targets []string) {
	if len(targets) == 0 {
		return
	}
	if len(targets) > maxLearntAddresses {
		targets = targets[:maxLearntAddresses]
	}
	b.entries = slices.DeleteFunc(b.entries, func(e *address) bool {
		return !e.configured && !slices.Contains(targets, e.target)
	})
	for _, target := range targets {
		if target != "" && len(target) <= maxNameBytes && b.find(target) == nil {
			b.entries = slices.Insert(b.entries, rand.IntN(len(b.entries)+1), &address{target: target})
		}
	}
}

// pick chooses where to dial next; avoid is taken only when there is nothing else.
func (b *addressBook) pick(avoid string) string {
	best := b.entries[0]
	for _, e := range b.entries[1:] {
		switch {
		case (e.target == avoid) != (best.target == avoid):
			if best.target == avoid {
				best = e
			}
		case e.failures != best.failures:
			if e.failures < best.failures {
				best = e
			}
		case e.lastTry < best.lastTry:
			best = e
		}
	}
	b.tries++
	best.lastTry = b.tries
	return best.target
}

func (b *addressBook) failed(target string) {
	if e := b.find(target); e != nil {
		e.failures++
	}
}

func (b *addressBook) worked(target string) {
	if e := b.find(target); e != nil {
		e.failures = 0
	}
}
