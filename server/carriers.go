package server

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
)

// carrierGoneAfter is how long a node's process may be silent until the requests that it carries are taken for lost. It announces itself
// every second. A leader that has just won waits as long before it takes anybody for gone.
const carrierGoneAfter = 5 * time.Second

// carriers is what the leader knows of the processes that can carry requests to serverless endpoints. A node that does not lead knows
// nothing. It is behind a mutex and not in the loop: nodes announce themselves while a turn of the loop is under way.
type carriers struct {
	mu      sync.Mutex
	heard   map[scheduler.Carrier]time.Time
	since   time.Time // of the epoch
	known   bool      // the epoch is old enough: who was not heard is gone
	version uint64    // rises with every change
}

// begin forgets what an earlier epoch knew.
func (c *carriers) begin(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard, c.since, c.known = map[scheduler.Carrier]time.Time{}, now, false
	c.version++
}

// hear takes note of a process.
func (c *carriers) hear(which scheduler.Carrier, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.heard[which]; !there {
		c.version++
	}
	if c.heard == nil {
		c.heard = map[scheduler.Carrier]time.Time{}
	}
	c.heard[which] = now
}

// now returns the processes that were heard lately, whether all others are gone, and the version of that.
func (c *carriers) now(now time.Time) (alive []scheduler.Carrier, known bool, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for which, at := range c.heard {
		if now.Sub(at) > carrierGoneAfter {
			delete(c.heard, which)
			c.version++
			continue
		}
		alive = append(alive, which)
	}
	if !c.known && !c.since.IsZero() && now.Sub(c.since) > carrierGoneAfter {
		c.known = true
		c.version++
	}
	slices.SortFunc(alive, scheduler.CompareCarriers)
	return alive, c.known, c.version
}

// watch is a leader's task: it has the loop look when a process came or is gone.
func (c *carriers) watch(ctx context.Context, box *inbox) error {
	var seen uint64
	for {
		if _, _, version := c.now(time.Now()); version != seen {
			seen = version
			_ = box.put(&request{barrier: true, reply: func(outcome) {}}) // refused: the epoch is over, or there is a turn at once anyway
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

// carrierReports is how this node's carrier tells the leader.
type carrierReports struct {
	engine *engine
	self   scheduler.Carrier
}

// ReportRequest hands a report to the leader. An error that is no refusal: it may not have been heard.
func (r carrierReports) ReportRequest(ctx context.Context, report *nodev1.RequestReport) error {
	out, err := r.engine.Submit(ctx, &nodev1.SubmitRequest{
		Command:   &nodev1.Command{Command: &nodev1.Command_ReportRequest{ReportRequest: report}},
		Principal: enginePrincipal,
	})
	if err != nil {
		return err
	}
	if refusal := out.GetRefusal(); refusal != nil {
		return refusal
	}
	return nil
}

// enginePrincipal is who writes when a node does so by itself.
const enginePrincipal = "engine"

// Announce tells the leader that this process can carry requests.
func (r carrierReports) Announce(ctx context.Context) error {
	if r.engine.inbox.gate.isOpen() {
		r.engine.carriers.hear(r.self, time.Now())
		return nil
	}
	addr, call, done := r.engine.leaders.follow(ctx)
	defer done()
	if addr == "" {
		return callboardv1.ErrNoLeader
	}
	_, err := r.engine.peers.ReportCarrier(call, addr, &nodev1.ReportCarrierRequest{Node: r.self.Node, StartId: r.self.Start[:]})
	return err
}

// ReportCarrier takes note of another node's process.
func (p peerLeader) ReportCarrier(_ context.Context, in *nodev1.ReportCarrierRequest) (*nodev1.ReportCarrierResponse, error) {
	if !p.engine.inbox.gate.isOpen() {
		return nil, callboardv1.ErrNoLeader
	}
	start, ok := fsm.IDFromBytes(in.GetStartId())
	if !ok || in.GetNode() == "" {
		return nil, callboardv1.Refuse("api", "bad_request", "node and start_id: who carries requests says so by both")
	}
	p.engine.carriers.hear(scheduler.Carrier{Node: in.GetNode(), Start: fsm.StartID(start)}, time.Now())
	return &nodev1.ReportCarrierResponse{}, nil
}
