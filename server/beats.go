package server

import (
	"sync"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// maxBeats bounds the sessions whose heartbeats wait. A heartbeat beyond it is refused; its session reports it again.
const maxBeats = 100_000

// beats are the heartbeats that wait for the leader's loop: the newest of each session, a set and never a queue. They stand beside the
// inbox, so that a runner is not taken for silent because the loop has much else to do: whatever it decides, it has all of them.
type beats struct {
	mu      sync.Mutex // not a loop: sessions put theirs while the loop decides, and all there is to own is this set
	waiting map[string]*request
	news    chan struct{} // room for one: something was put
}

func newBeats() *beats { return &beats{waiting: map[string]*request{}, news: make(chan struct{}, 1)} }

// put adds a heartbeat, in the place of an older one of its session. The loop may be at work on that one: the first answer counts.
func (b *beats) put(r *request) error {
	session, reply, once := string(r.report.GetSessionId()), r.reply, sync.Once{}
	r.reply = func(o outcome) { once.Do(func() { reply(o) }) }
	b.mu.Lock()
	older := b.waiting[session]
	if older == nil && len(b.waiting) >= maxBeats {
		b.mu.Unlock()
		return callboardv1.ErrOverloaded
	}
	b.waiting[session] = r
	b.mu.Unlock()
	if older != nil {
		older.reply(outcome{err: callboardv1.ErrOverloaded}) // the newer one says as much
	}
	select {
	case b.news <- struct{}{}:
	default:
	}
	return nil
}

// all returns every heartbeat that waits. They go on waiting.
func (b *beats) all() []*request {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]*request, 0, len(b.waiting))
	for _, r := range b.waiting {
		all = append(all, r)
	}
	return all
}

// none tells that no heartbeat waits.
func (b *beats) none() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting) == 0
}

// drop takes those out that were answered; a newer one of the same session stays.
func (b *beats) drop(answered []*request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range answered {
		if session := string(r.report.GetSessionId()); b.waiting[session] == r {
			delete(b.waiting, session)
		}
	}
}
