package crowd

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Crowd is a number of runners in one pool.
type Crowd struct {
	pool    string
	addrs   []string
	members []*member
	ended   sync.WaitGroup
	cancel  context.CancelFunc

	mu      sync.Mutex // guards what members tell
	slowest time.Duration
	broken  map[string]int
}

// New makes n runners of a pool. Each knows all addresses; the first one it dials is the next of first.
func New(n int, pool string, addrs []string, first ...string) (*Crowd, error) {
	c := &Crowd{pool: pool, addrs: addrs, broken: map[string]int{}}
	place := map[string]int{}
	for i, addr := range addrs {
		place[addr] = i
	}
	for i := range n {
		m := c.newMember(i)
		if len(first) > 0 {
			at, known := place[first[i%len(first)]]
			if !known {
				return nil, fmt.Errorf("%s is none of %v", first[i%len(first)], addrs)
			}
			m.at = at
		}
		c.members = append(c.members, m)
	}
	return c, nil
}

// Start lets them come, so many a second.
func (c *Crowd) Start(ctx context.Context, perSecond int) {
	ctx, c.cancel = context.WithCancel(ctx)
	for i, m := range c.members {
		c.ended.Go(func() {
			select {
			case <-time.After(time.Duration(i) * time.Second / time.Duration(perSecond)):
				m.run(ctx)
			case <-ctx.Done():
			}
		})
	}
}

// Leave ends all connections without a word, and returns when nothing of the crowd is left.
func (c *Crowd) Leave() {
	c.cancel()
	c.ended.Wait()
}

// At counts how many are welcome at each address.
func (c *Crowd) At() (of map[string]int, all int) {
	of = map[string]int{}
	for _, m := range c.members {
		if addr := m.welcome.Load(); addr != nil {
			of[*addr]++
			all++
		}
	}
	return of, all
}

// Told returns the longest time from a dial to its Welcome, and why streams broke, since it was asked last.
func (c *Crowd) Told() (slowest time.Duration, broken map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slowest, broken = c.slowest, c.broken
	c.slowest, c.broken = 0, map[string]int{}
	return slowest, broken
}

func (c *Crowd) dialled(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slowest = max(c.slowest, took)
}

// maxReasons bounds how many different reasons are kept.
const maxReasons = 100

func (c *Crowd) broke(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reason := err.Error()
	reason = reason[strings.LastIndex(reason, ": ")+1:] // without the addresses, which all differ
	if _, known := c.broken[reason]; known || len(c.broken) < maxReasons {
		c.broken[reason]++
	}
}
