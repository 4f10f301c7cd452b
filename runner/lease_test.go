package runner

import (
	"testing"
	"time"
)

const second = time.Second

func TestLeaseCountsFromTheSendTime(t *testing.T) {
	var l lease
	l.welcome(beat{sentAt: 100 * second}, 15*second, false)
	for _, c := range []struct {
		at    time.Duration
		valid bool
	}{{100 * second, true}, {110*second + 499*time.Millisecond, true}, {110*second + 500*time.Millisecond, false}} {
		if got := l.valid(c.at); got != c.valid {
			t.Errorf("valid at %v: %v", c.at, got)
		}
	}
	l.acknowledge(beat{sentAt: 103 * second, threshold: 15 * second}, 15*second, nil)
	if got := l.validUntil(); got != 113*second+500*time.Millisecond {
		t.Errorf("valid until %v", got)
	}
	l.acknowledge(beat{sentAt: 101 * second, threshold: 15 * second}, 15*second, nil) // out of order
	if got := l.validUntil(); got != 113*second+500*time.Millisecond {
		t.Errorf("an older acknowledgement moved it to %v", got)
	}
	l.end()
	if l.valid(104 * second) {
		t.Error("valid after its end")
	}
}

// A lease that was held as another runner does not prolong this one.
func TestLeaseOfANewRunnerBeginsAnew(t *testing.T) {
	var l lease
	l.welcome(beat{sentAt: 100 * second}, 15*second, false)
	l.acknowledge(beat{sentAt: 110 * second, threshold: 15 * second}, 15*second, nil)
	l.welcome(beat{sentAt: 109 * second}, 15*second, false)
	if got := l.start; got != 109*second {
		t.Errorf("begins at %v", got)
	}
	l.acknowledge(beat{sentAt: 112 * second, threshold: 15 * second}, 15*second, nil)
	l.welcome(beat{sentAt: 111 * second}, 15*second, true)
	if got := l.start; got != 112*second {
		t.Errorf("a resumed one begins at %v", got)
	}
}

// Until a heartbeat that carries the new threshold is acknowledged nobody knows which one holds.
func TestLeaseUsesTheSmallestThresholdThatMayHold(t *testing.T) {
	type ack struct {
		carried, announced int
		later              []int // carried by heartbeats that are still on their way
		want               int
	}
	for _, c := range []struct {
		name  string
		start int
		acks  []ack
	}{
		{"lowered", 60, []ack{{60, 10, nil, 10}, {10, 10, nil, 10}}},
		{"raised", 10, []ack{{10, 60, nil, 10}, {60, 60, nil, 60}}},
		{"raised while an old heartbeat is on its way", 10, []ack{{10, 60, []int{10}, 10}, {10, 60, []int{60}, 10}, {60, 60, nil, 60}}},
		{"lowered and raised at once", 60, []ack{{60, 10, nil, 10}, {60, 60, []int{10}, 10}, {10, 60, []int{60}, 10}, {60, 60, nil, 60}}},
		{"raised twice at once", 10, []ack{{10, 60, nil, 10}, {60, 70, nil, 10}, {70, 80, nil, 10}, {80, 80, nil, 80}}},
		{"raised and lowered at once", 10, []ack{{10, 60, nil, 10}, {60, 10, nil, 10}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l lease
			s := func(n int) time.Duration { return time.Duration(n) * second }
			l.welcome(beat{}, s(c.start), false)
			for i, a := range c.acks {
				var later []beat
				for _, n := range a.later {
					later = append(later, beat{threshold: s(n)})
				}
				l.acknowledge(beat{sentAt: s(i), threshold: s(a.carried)}, s(a.announced), later)
				if l.smallest != s(a.want) {
					t.Errorf("after acknowledgement %d: counts on %v, want %v", i, l.smallest, s(a.want))
				}
			}
		})
	}
}

func TestEndedMemory(t *testing.T) {
	m := newEndedMemory(3)
	m.remember("a", 5)
	m.remember("a", 3)
	for generation, want := range map[uint64]bool{3: true, 5: true, 6: false} {
		if got := m.has("a", generation); got != want {
			t.Errorf("a/%d: %v", generation, got)
		}
	}
	for range 100 { // one actor's many lives take one place
		m.remember("b", m.newest["b"]+1)
	}
	m.remember("c", 1)
	if !m.has("a", 5) || !m.has("b", 100) || !m.has("c", 1) {
		t.Errorf("forgot too early: %v", m.newest)
	}
	m.remember("d", 1)
	if m.has("a", 5) || !m.has("b", 100) || len(m.newest) > 3 {
		t.Errorf("the oldest goes first: %v", m.newest)
	}
}
