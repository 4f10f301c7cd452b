package scheduler

import (
	"slices"
	"strconv"
	"strings"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// What the lines of a story mean: commands of callers, and what processes do.

// command reads a line as a caller's command; nil: it is none.
func (l line) command() *nodev1.Command {
	ns := l.text("namespace", "default")
	switch l.cmd {
	case "create":
		r := &callboardv1.CreateRequest{
			Namespace: ns, Name: l.text("name", "counter"), Pool: l.text("pool", "default"), Input: []byte(l.name(0)), CrashPolicy: l.policy(),
		}
		if l.has("key") {
			key := l.text("key", "")
			r.Key = &key
		}
		return &nodev1.Command{Command: &nodev1.Command_CreateActor{CreateActor: r}}
	case "get-or-create":
		return &nodev1.Command{Command: &nodev1.Command_GetOrCreateActor{GetOrCreateActor: &callboardv1.GetOrCreateRequest{
			Namespace: ns, Name: l.text("name", "counter"), Key: l.text("key", ""), Pool: l.text("pool", "default"), Input: []byte(l.name(0)), CrashPolicy: l.policy(),
		}}}
	case "destroy":
		return &nodev1.Command{Command: &nodev1.Command_DestroyActor{DestroyActor: &callboardv1.DestroyRequest{Namespace: ns, ActorId: l.actor()}}}
	case "sleep":
		return &nodev1.Command{Command: &nodev1.Command_SleepActor{SleepActor: &callboardv1.SleepRequest{Namespace: ns, ActorId: l.actor()}}}
	case "wake":
		return &nodev1.Command{Command: &nodev1.Command_WakeActor{WakeActor: &callboardv1.WakeRequest{Namespace: ns, ActorId: l.actor()}}}
	case "reschedule":
		return &nodev1.Command{Command: &nodev1.Command_RescheduleActor{RescheduleActor: &callboardv1.RescheduleRequest{Namespace: ns, ActorId: l.actor()}}}
	case "drain":
		return &nodev1.Command{Command: &nodev1.Command_DrainRunner{DrainRunner: &callboardv1.DrainRequest{
			Namespace: ns, RunnerId: l.runner(), DeadlineMs: uint32(l.ms("deadline")), Reason: l.text("reason", ""), Force: l.has("force"), Keep: l.has("keep"),
		}}}
	case "hold":
		return &nodev1.Command{Command: &nodev1.Command_HoldVersion{HoldVersion: &callboardv1.HoldRequest{
			Namespace: ns, Pool: l.name(0), Version: uint32(l.number("version", 0)), Reason: l.text("reason", ""),
		}}}
	case "release":
		return &nodev1.Command{Command: &nodev1.Command_ReleaseVersion{ReleaseVersion: &callboardv1.ReleaseRequest{
			Namespace: ns, Pool: l.name(0), Version: uint32(l.number("version", 0)),
		}}}
	case "undrain":
		if l.has("key") {
			return &nodev1.Command{Command: &nodev1.Command_UndrainRunner{UndrainRunner: &callboardv1.UndrainRequest{Namespace: ns, Pool: "default", Key: l.text("key", "")}}}
		}
		return &nodev1.Command{Command: &nodev1.Command_UndrainRunner{UndrainRunner: &callboardv1.UndrainRequest{Namespace: ns, RunnerId: l.runner()}}}
	case "pause":
		return &nodev1.Command{Command: &nodev1.Command_PauseRollout{PauseRollout: &callboardv1.PauseRequest{Namespace: ns, Pool: l.name(0), Reason: l.text("reason", "")}}}
	case "resume":
		return &nodev1.Command{Command: &nodev1.Command_ResumeRollout{ResumeRollout: &callboardv1.ResumeRequest{Namespace: ns, Pool: l.name(0)}}}
	case "pool":
		return &nodev1.Command{Command: &nodev1.Command_PutPool{PutPool: &callboardv1.PoolServicePutRequest{Namespace: ns, Name: l.name(0), Config: l.poolConfig()}}}
	case "polled":
		return l.polled()
	case "delete-pool":
		return &nodev1.Command{Command: &nodev1.Command_DeletePool{DeletePool: &callboardv1.PoolServiceDeleteRequest{Namespace: ns, Name: l.name(0)}}}
	case "namespace":
		return &nodev1.Command{Command: &nodev1.Command_CreateNamespace{CreateNamespace: &callboardv1.NamespaceServiceCreateRequest{
			Name: l.text("name", strings.Join(l.names, "")), DisplayName: l.text("display", ""),
		}}}
	case "settings":
		values := map[string]string{}
		for key, vals := range l.args {
			values[key] = strings.Join(vals, "")
		}
		return &nodev1.Command{Command: &nodev1.Command_PutSettings{PutSettings: &callboardv1.PutSettingsRequest{Values: values}}}
	}
	return nil
}

// micros reads a rate of actors a second.
func (l line) micros(key string) uint64 {
	whole, fraction, _ := strings.Cut(l.text(key, ""), ".")
	n, err := strconv.ParseUint(whole+(fraction + "000000")[:6], 10, 64)
	if err != nil {
		l.s.t.Fatalf("%s: %v", key, err)
	}
	return n
}

func (l line) policy() callboardv1.CrashPolicy {
	name := "CRASH_POLICY_" + strings.ToUpper(l.text("policy", "unspecified"))
	if n, err := strconv.Atoi(l.text("policy", "")); err == nil {
		return callboardv1.CrashPolicy(n)
	}
	value, ok := callboardv1.CrashPolicy_value[name]
	if !ok {
		l.s.t.Fatalf("no crash policy %q", l.text("policy", ""))
	}
	return callboardv1.CrashPolicy(value)
}

// runner is the id of the runner that a label names.
func (l line) runner() string {
	for id, label := range l.s.labels {
		if label == l.name(0) {
			return id.String()
		}
	}
	return idOf(l.name(0)).String()
}

func (l line) actor() string { return l.s.actorID(l.name(0)).String() }

func (l line) poolConfig() *callboardv1.PoolConfig {
	if l.has("empty") {
		return nil
	}
	c := &callboardv1.PoolConfig{MetadataJson: l.text("metadata", "")}
	u32 := func(key string) *uint32 {
		if !l.has(key) {
			return nil
		}
		n := uint32(l.number(key, 0))
		return &n
	}
	c.RunnerLostThreshold, c.ActorEvictionDelay, c.ActorEvictionPeriod = u32("lost"), u32("delay"), u32("period")
	if l.has("rate") {
		rate := l.micros("rate")
		c.ActorEvictionRateMicros = &rate
	}
	if l.has("drain") {
		drain := l.text("drain", "") == "true"
		c.DrainOnVersionUpgrade = &drain
	}
	if l.has("url") {
		c.Serverless = &callboardv1.Serverless{
			MinRunners: u32("min"), MaxRunners: u32("max"), RunnersMargin: u32("margin"),
			Url: "http://" + l.text("url", ""), RequestLifespan: uint32(l.number("lifespan", 900)), DrainGracePeriod: u32("grace"), SlotsPerRunner: u32("slots"),
		}
		for _, name := range l.args["headers"] {
			c.Serverless.Headers = append(c.Serverless.Headers, &callboardv1.Header{Name: name, Value: "secret of " + name})
		}
		if l.has("poll") {
			poll := uint64(l.ms("poll"))
			c.Serverless.MetadataPollInterval = &poll
		}
		if l.has("cap") {
			most := uint64(l.number("cap", 0))
			c.Serverless.MaxConcurrentActors = &most
		}
	}
	switch l.text("placement", "") {
	case "spread":
		c.Placement = callboardv1.Placement_PLACEMENT_SPREAD
	case "binpack":
		c.Placement = callboardv1.Placement_PLACEMENT_BINPACK
	default:
		c.Placement = callboardv1.Placement(l.number("placement", 0))
	}
	return c
}

// processDoes reads a line as something that a process does. With a nil report it has dialled, or done nothing that is said.
func (l line) processDoes() (*process, *nodev1.SessionReport) {
	w := l.s.world
	if l.cmd == "start" {
		p := w.start(&process{
			name: l.name(0), namespace: l.text("namespace", ""), pool: l.text("pool", ""), key: l.text("key", ""), manual: l.has("manual"),
			deaf: l.has("deaf"), hangs: l.has("hangs"), slowMs: l.ms("slow"), lags: l.ms("lags"), fences: l.has("fences"), dials: true, request: l.text("request", ""),
		})
		if l.has("instance") {
			p.instance = fsm.InstanceID(idOf("instance " + l.text("instance", "")))
			for _, other := range w.processes {
				if other.instance == p.instance {
					p.attempt = max(p.attempt, other.attempt)
				}
			}
		}
		l.change(p)
		p.slots = uint32(l.number("slots", 1))
		return p, nil
	}
	p := w.process(l.name(0))
	p.heard = ""
	switch l.cmd {
	case "hello":
		l.change(p)
		p.connected, p.dials, p.exited = false, true, ""
		l.claims(p)
	case "say":
		return p, l.event(p)
	case "broken":
		p.connected = false
		return p, p.broken()
	case "draining":
		return p, p.draining(uint32(l.ms("within")))
	case "goodbye":
		report := p.in(&nodev1.SessionReport{Report: &nodev1.SessionReport_Goodbye{Goodbye: &callboardv1.Goodbye{}}})
		p.die()
		return p, report
	case "empty-report":
		return p, p.in(&nodev1.SessionReport{})
	case "kill": // the engine sees its stream break
		report := p.broken()
		p.die()
		return p, report
	case "silence":
		p.silent = true
	case "hear":
		p.silent = false
	case "heartbeat":
		known := p.knownMs
		if l.has("threshold") {
			known = uint32(l.ms("threshold"))
		}
		p.heard = "the heartbeat waits"
		p.beat(w, known)
	default:
		l.s.t.Fatalf("no directive %q", l.cmd)
	}
	return p, nil
}

func (l line) change(p *process) {
	if l.has("attempt") { // of its next Hello
		p.attempt = uint32(l.number("attempt", 0)) - 1
	}
	if l.has("handles") {
		p.names = slices.DeleteFunc(strings.Split(l.text("handles", ""), "+"), func(name string) bool { return name == "any" })
	}
	p.version, p.slots = uint32(l.number("version", int64(p.version))), uint32(l.number("slots", int64(p.slots)))
}

// claims sets what a Hello names: running=(a1/1,a2/1:stopping,a3/1:starting) and ended=(a4/1:clean,a5/1:fenced).
func (l line) claims(p *process) {
	if l.has("running") {
		p.bodies = map[fsm.Ref]*body{}
	}
	for _, claim := range l.args["running"] {
		name, how, _ := strings.Cut(claim, ":")
		if name == "" {
			continue
		}
		ref := l.ref(name)
		p.bodies[ref] = &body{ref: ref, starting: how == "starting", stopping: how == "stopping"}
	}
	for _, claim := range l.args["ended"] {
		name, how, _ := strings.Cut(claim, ":")
		ref := l.ref(name)
		p.end(ref)
		p.ended = append(p.ended, &callboardv1.EndedActor{
			Ref: refOf(ref), Clean: how == "clean" || how == "finished", Fenced: how == "fenced", Abandoned: how == "abandoned", Message: how,
			Finished: how == "finished", Refused: how == "refused",
		})
	}
}

// ref reads a1 (its current generation) or a1/3.
func (l line) ref(text string) fsm.Ref {
	name, generation, given := strings.Cut(text, "/")
	ref := fsm.Ref{Actor: l.s.actorID(name), Generation: 1}
	if given {
		n, err := strconv.ParseUint(generation, 10, 64)
		if err != nil {
			l.s.t.Fatalf("%s: %v", text, err)
		}
		ref.Generation = n
	} else if a := l.s.actor(name); a != nil {
		ref.Generation = a.Generation
	}
	return ref
}

// event makes one event of a life, and the process remembers what it did.
func (l line) event(p *process) *nodev1.SessionReport {
	ref := l.ref(l.name(2))
	event := &callboardv1.ActorEvent{Ref: refOf(ref)}
	stop := func(s *callboardv1.StoppedEvent) {
		p.end(ref)
		event.Event = &callboardv1.ActorEvent_Stopped{Stopped: s}
	}
	switch l.name(1) {
	case "running":
		p.bodies[ref] = &body{ref: ref}
		event = running(ref)
	case "stopped":
		stop(&callboardv1.StoppedEvent{Clean: true})
	case "finished":
		stop(&callboardv1.StoppedEvent{Clean: true, Finished: true})
	case "refused":
		stop(&callboardv1.StoppedEvent{Refused: true, Message: "no"})
	case "crashed":
		stop(&callboardv1.StoppedEvent{Message: "boom"})
	case "abandoned":
		stop(&callboardv1.StoppedEvent{Abandoned: true, Message: "did not return"})
	case "fenced":
		stop(&callboardv1.StoppedEvent{Fenced: true})
	case "sleep":
		event.Event = &callboardv1.ActorEvent_Sleep{Sleep: &callboardv1.SleepEvent{}}
	case "alarm":
		alarm := &callboardv1.AlarmEvent{}
		if l.has("in") || l.has("at") {
			at := l.s.wallMs() + l.ms("in")
			if l.has("at") {
				at = l.number("at", 0)
			}
			alarm.AtUnixMs = &at
		}
		event.Event = &callboardv1.ActorEvent_Alarm{Alarm: alarm}
	case "save":
		state := []byte(l.text("state", ""))
		if l.has("bytes") {
			state = make([]byte, l.number("bytes", 0))
		}
		event.Event = &callboardv1.ActorEvent_Save{Save: &callboardv1.SaveEvent{State: state}}
	case "nothing":
	default:
		l.s.t.Fatalf("no event %q", l.name(1))
	}
	return p.events(event)
}
