package server

import "sync"

// milestones are the indexes that callers wait for. Whoever waits for an index is woken once, when the node has it: thousands of writes
// wait for theirs at once, and each View would wake them all.
type milestones struct {
	mu    sync.Mutex // whoever applies passes here, and callers come and go
	ahead map[uint64]chan struct{}
}

func newMilestones() *milestones { return &milestones{ahead: map[uint64]chan struct{}{}} }

// at returns a channel that is closed when a View is published that has the index. Look at the newest View after asking for it.
func (m *milestones) at(index uint64) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	reached := m.ahead[index]
	if reached == nil {
		reached = make(chan struct{})
		m.ahead[index] = reached
	}
	return reached
}

// pass tells that a View with this index is published.
func (m *milestones) pass(index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for at, reached := range m.ahead {
		if at <= index {
			close(reached)
			delete(m.ahead, at)
		}
	}
}
