package scheduler

import (
	"fmt"
	"slices"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// The nodes of a world carry requests, and the endpoints of its pools answer them: with a process that is a runner for as long as its
// request lasts, with an error, or with nothing.

// function is how the endpoint of a pool behaves.
type function struct {
	version, slots uint32
	coldMs         int64
	fails          string // an error code
	mute           bool   // it takes the request, and no runner comes
	early          bool   // its streams end when the runner has connected
	stays          bool   // its runners do not leave when they are told to
	names          string // its first event names the instance: its own, or another
}

// call is a request that a node has sent.
type call struct {
	id      fsm.RequestID
	pool    string
	start   fsm.StartID
	atMs    int64 // when it does the next thing
	process *process
	next    func(*world, *call)
	over    bool
}

// carriersAre says which nodes carry requests from now on.
func (w *world) carriersAre(nodes ...string) {
	w.carriers = nil
	for _, node := range nodes {
		w.carriers = append(w.carriers, Carrier{Node: node, Start: fsm.StartID(idOf("start of " + node))})
	}
	for _, c := range w.calls { // who is gone has lost its streams
		if !c.over && !slices.ContainsFunc(w.carriers, func(known Carrier) bool { return known.Start == c.start }) {
			c.hangUp(w)
		}
	}
	w.unsettled = true
}

// hangUp ends a call on the side of the node: the function is told, and shuts its runner down.
func (c *call) hangUp(w *world) {
	c.over, c.next = true, nil
	if p := c.process; p != nil && p.up() && p.connected && !p.leaves {
		p.leaves = true
		p.said = append(p.said, saying{w.clockMs, p.draining(30_000), nil})
	}
}

// requests returns what nodes report at this clock, and sends what they are to send.
func (w *world) requests() []Command {
	var reports []Command
	report := func(c *call, r *nodev1.RequestReport) {
		r.RequestId, r.StartId = slices.Clone(c.id[:]), slices.Clone(c.start[:])
		reports = append(reports, Command{Command: &nodev1.Command{Command: &nodev1.Command_ReportRequest{ReportRequest: r}}})
	}
	for q := range w.view.AllOpenRequests() {
		known := slices.ContainsFunc(w.calls, func(c *call) bool { return c.id == q.ID })
		alive := slices.ContainsFunc(w.carriers, func(k Carrier) bool { return k.Start == q.Start })
		if known || !alive || q.Phase != fsm.RequestOpening {
			continue
		}
		name := fmt.Sprintf("f%d", len(w.calls)+1)
		w.labels[fsm.ID(q.ID)] = "q" + name[1:]
		c := &call{id: q.ID, pool: w.view.RequestPool(q).ID.Name, start: q.Start}
		w.calls = append(w.calls, c)
		report(c, &nodev1.RequestReport{Report: &nodev1.RequestReport_Sent{Sent: &nodev1.RequestSent{}}})
		f := w.functions[c.pool]
		if f.names == "own" {
			report(c, &nodev1.RequestReport{Report: &nodev1.RequestReport_Claimed{Claimed: &nodev1.RequestClaimed{InstanceId: idOf("instance " + name).String()}}})
		}
		c.atMs, c.next = w.clockMs+f.coldMs, func(w *world, c *call) { w.answer(c, name) }
	}
	for _, c := range w.calls {
		q := w.view.Request(c.id)
		switch {
		case c.over:
		case q == nil || q.Phase == fsm.RequestEnded:
			c.hangUp(w)
		case c.process != nil && !c.process.up():
			c.over = true
			report(c, &nodev1.RequestReport{Report: &nodev1.RequestReport_Ended{Ended: &nodev1.RequestEnded{Clean: c.process.dead}}})
		case c.next != nil && c.atMs <= w.clockMs:
			next := c.next
			c.next = nil
			next(w, c)
			if instance := w.functions[c.pool].names; instance == "other" && c.process != nil {
				report(c, &nodev1.RequestReport{Report: &nodev1.RequestReport_Claimed{Claimed: &nodev1.RequestClaimed{InstanceId: idOf(instance).String()}}})
			}
			if c.over && c.process == nil {
				report(c, &nodev1.RequestReport{Report: &nodev1.RequestReport_Ended{Ended: &nodev1.RequestEnded{
					Error: callboardv1.Refuse("serverless", w.functions[c.pool].fails, "the endpoint answered 500"),
				}}})
			}
		case c.process != nil && c.process.connected && w.functions[c.pool].early:
			c.over = true
			report(c, &nodev1.RequestReport{Report: &nodev1.RequestReport_Ended{Ended: &nodev1.RequestEnded{}}})
		}
	}
	return reports
}

// answer is what an endpoint does with a request when it is awake.
func (w *world) answer(c *call, name string) {
	f := w.functions[c.pool]
	switch {
	case f.mute:
	case f.fails != "":
		c.over = true
	default:
		c.process = w.start(&process{name: name, pool: c.pool, version: f.version, slots: f.slots, request: c.id.String(), leaves: !f.stays})
	}
}

// hasRequests reports whether nodes have something to report now.
func (w *world) hasRequests() bool {
	for q := range w.view.AllOpenRequests() {
		known := slices.ContainsFunc(w.calls, func(c *call) bool { return c.id == q.ID })
		if !known && q.Phase == fsm.RequestOpening && slices.ContainsFunc(w.carriers, func(k Carrier) bool { return k.Start == q.Start }) {
			return true
		}
	}
	return slices.ContainsFunc(w.calls, func(c *call) bool {
		return !c.over && (c.next != nil && c.atMs <= w.clockMs || c.process != nil && !c.process.up() ||
			c.process != nil && c.process.connected && w.functions[c.pool].early)
	})
}

// nextCallMs returns when an endpoint does something by itself.
func (w *world) nextCallMs() (atMs int64, some bool) {
	for _, c := range w.calls {
		if !c.over && c.next != nil && (!some || c.atMs < atMs) {
			atMs, some = c.atMs, true
		}
	}
	return atMs, some
}

// function reads how an endpoint behaves from now on.
func (l line) function() string {
	f := &function{
		version: uint32(l.number("version", 1)), slots: uint32(l.number("slots", 1)), coldMs: l.ms("cold"), fails: l.text("fails", ""),
		mute: l.has("mute"), early: l.has("early"), stays: l.has("stays"), names: l.text("names", ""),
	}
	l.s.functions[l.name(0)] = f
	return ""
}

// polled reads what a poll of an endpoint gave, as a command of the leader.
func (l line) polled() *nodev1.Command {
	p := l.s.view.Pool(fsm.PoolID{Namespace: l.s.view.Namespace("default").ID, Name: l.name(0)})
	check := &callboardv1.EndpointCheck{Runtime: "rivetkit", Version: "2.3.0", RunnerVersion: uint32(l.number("version", 1))}
	if l.has("fails") {
		check = &callboardv1.EndpointCheck{Error: callboardv1.Refuse("serverless", l.text("fails", ""), "no metadata")}
	}
	return &nodev1.Command{Command: &nodev1.Command_EndpointPolled{EndpointPolled: &nodev1.EndpointPolled{
		Namespace: "default", Pool: l.name(0), Endpoint: p.EndpointFingerprint(), Index: uint64(l.number("index", 1)), Check: check,
	}}}
}

// showRequests prints the requests of a pool and what is known of its endpoint.
func (s *story) showRequests(pool string) string {
	p := s.view.Pool(fsm.PoolID{Namespace: s.view.Namespace("default").ID, Name: pool})
	var lines []string
	for q := range s.view.OpenRequests(p) {
		text := fmt.Sprintf("%s %s by %s", s.label(q.ID[:]), short("REQUEST_STATE_", callboardv1.RequestState(q.Phase)), q.Node)
		if r := s.view.Runner(q.Runner); r != nil {
			text += fmt.Sprintf(": %s v%d %d/%d", s.label(r.ID[:]), r.Version, r.Held, r.Slots)
			if r.Draining() {
				text += " draining: " + short("DRAIN_CAUSE_", callboardv1.DrainCause(r.Drain.Cause))
			}
		}
		if q.Expiring && !q.Drains {
			text += ", expiring"
		}
		lines = append(lines, text)
	}
	ends := map[string]int{}
	var names []string
	for q := range s.view.Requests(p, true, 0) {
		name := short("REQUEST_END_", callboardv1.RequestEnd(q.End))
		if ends[name]++; ends[name] == 1 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		lines = append(lines, fmt.Sprintf("ended: %d %s", ends[name], name))
	}
	if e := s.view.Endpoint(p); e.GetErrorCode() != "" {
		text := fmt.Sprintf("error: %s: %s (%d times)", e.GetErrorCode(), e.GetErrorMessage(), e.GetErrorCount())
		if e.GetRetryMs() > s.clockMs {
			text += ", next in " + seconds(e.GetRetryMs()-s.clockMs)
		}
		lines = append(lines, text)
	}
	return s.named(joined(lines))
}
