package peer

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
)

// compass is a fake Leaders and Views.
type compass struct {
	mu      sync.Mutex
	address string
	here    bool
	changed chan struct{}
	index   uint64
	moved   chan struct{}
}

func newCompass(address string) *compass {
	return &compass{address: address, changed: make(chan struct{}), index: 1 << 60, moved: make(chan struct{})}
}

func (c *compass) Leader() (string, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.address, c.changed
}

func (c *compass) Here() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.here
}

func (c *compass) point(address string) { c.set(address, false) }

// pointHere makes the relay's own node the leader.
func (c *compass) pointHere() { c.set("", true) }

func (c *compass) set(address string, here bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.address, c.here = address, here
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *compass) WaitIndex(ctx context.Context, index uint64) error {
	for {
		c.mu.Lock()
		reached, moved := c.index >= index, c.moved
		c.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *compass) setIndex(index uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index = index
	close(c.moved)
	c.moved = make(chan struct{})
}

// desk is a fake leader's loop that keeps what it was told and answers when the test says so.
type desk struct {
	loop
	mu       sync.Mutex
	node     string
	messages [][]string // the sessions of each message
	waiting  []func(index uint64, unknown bool)
	refuse   error
	gate     chan struct{} // when set, Relay waits for it
}

func newDesk() *desk {
	d := &desk{}
	d.relay = d.take
	return d
}

func (d *desk) take(ctx context.Context, node string, reports []*nodev1.SessionReport, answer func(uint64, []*nodev1.SessionAnswer)) error {
	if d.gate != nil {
		select {
		case <-d.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		return d.refuse
	}
	d.node = node
	var names []string
	for _, report := range reports {
		names = append(names, string(report.GetSessionId()))
		d.waiting = append(d.waiting, func(index uint64, unknown bool) {
			answer(index, []*nodev1.SessionAnswer{{Tag: report.GetTag(), SessionId: report.GetSessionId(), Unknown: unknown}})
		})
	}
	d.messages = append(d.messages, names)
	return nil
}

// answer answers the first n reports that wait.
func (d *desk) answer(n int, index uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, answer := range d.waiting[:n] {
		answer(index, false)
	}
	d.waiting = d.waiting[n:]
}

func (d *desk) got() (all []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, message := range d.messages {
		all = append(all, message...)
	}
	return all
}

// office is one node's relay with what it has been answered.
type office struct {
	t     *testing.T
	relay *Relay
	stop  func()

	mu      sync.Mutex
	answers []string
}

func newOffice(t *testing.T, town *town, compass *compass) *office {
	o := &office{t: t, relay: NewRelay(town.client(), "n9", compass, compass, quiet)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.relay.Run(ctx) }()
	o.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(o.stop)
	synctest.Wait()
	return o
}

func (o *office) note(name string) func(*nodev1.SessionAnswer) {
	return func(answer *nodev1.SessionAnswer) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if answer.GetUnknown() {
			name += "?"
		}
		o.answers = append(o.answers, name)
	}
}

func report(session string) *nodev1.SessionReport {
	return &nodev1.SessionReport{SessionId: []byte(session)}
}

func (o *office) report(names ...string) {
	o.t.Helper()
	for _, name := range names {
		if err := o.relay.Report(o.t.Context(), report(name), o.note(name)); err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *office) expect(want ...string) {
	o.t.Helper()
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Equal(o.answers, want) {
		o.t.Fatalf("answered %q, want %q", o.answers, want)
	}
}

// pass lets time pass, and everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (d *desk) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := d.got(); !slices.Equal(got, want) {
		t.Fatalf("the leader got %q, want %q", got, want)
	}
}
