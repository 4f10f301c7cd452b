package server

import "sync"

// gate lets requests into the inbox only while an epoch's loop takes them out. Shutting it waits for those on their way in, so that
// after it nothing can be left behind unanswered.
type gate struct {
	mu   sync.RWMutex // a lock and not a loop: it is taken for every request, and held for no work
	open bool
}

func (g *gate) enter() bool {
	g.mu.RLock()
	if !g.open {
		g.mu.RUnlock()
		return false
	}
	return true
}

func (g *gate) leave() { g.mu.RUnlock() }

func (g *gate) set(open bool) {
	g.mu.Lock()
	g.open = open
	g.mu.Unlock()
}

func (g *gate) isOpen() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.open
}
