package server

import (
	"iter"
	"sync"
)

// watchers look at something each, by its key, and are woken when it has changed: every View would wake them all, and most of them for
// nothing. The zero value has none.
type watchers[K comparable] struct {
	mu sync.Mutex                       // not a loop: they come and go while Views are published
	of map[K]map[chan struct{}]struct{} // room for one token in each
}

// watch returns a channel that gets a token whenever what the key stands for has changed. Look at it after asking for it.
func (w *watchers[K]) watch(key K) (wake <-chan struct{}, cancel func()) {
	one := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[K]map[chan struct{}]struct{}{}
	}
	if w.of[key] == nil {
		w.of[key] = map[chan struct{}]struct{}{}
	}
	w.of[key][one] = struct{}{}
	return one, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.of[key], one)
		if len(w.of[key]) == 0 {
			delete(w.of, key)
		}
	}
}

// wake wakes those who look at what has changed.
func (w *watchers[K]) wake(changed iter.Seq[K]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.of) == 0 {
		return
	}
	for key := range changed {
		for one := range w.of[key] {
			nudge(one)
		}
	}
}

func (w *watchers[K]) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, of := range w.of {
		for one := range of {
			nudge(one)
		}
	}
}

func nudge(one chan struct{}) {
	select {
	case one <- struct{}{}:
	default: // a token is there already
	}
}
