package scheduler

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// TestRandomWorlds lets processes of several versions come, crash, fall silent, return, replace each other and leave, while callers
// create, destroy, put to sleep and wake, and time passes. After every entry the world's own checks hold (the audit's guarantees, the
// state's invariants, equal inputs giving equal ops), no actor runs in two places, and nobody who is heard is lost. At the end
// everybody is well for a while: then nothing may be stuck, and the books say what is true.
func TestRandomWorlds(t *testing.T) {
	rapid.Check(t, randomWorld)
}

func randomWorld(t *rapid.T) {
	r := newRandom(t)
	for range r.number("processes", 0, 3) {
		r.newProcess()
		r.newActor()
	}
	for range 10 * r.number("tens of actions", 1, 8) {
		r.act()
	}
	r.comeToRest()
}

type random struct {
	*world
	rt    *rapid.T
	pools []string
	names int
}

func newRandom(t *rapid.T) *random {
	r := &random{world: newWorld(t), rt: t, pools: []string{"default", "other"}}
	r.quiet = true
	r.watch = r.look
	r.setting("base_retry_timeout", rapid.SampledFrom([]string{"10ms", "2s"}).Draw(t, "retry"))
	r.setting("reschedule_backoff_max_exponent", rapid.SampledFrom([]string{"0", "1", "3"}).Draw(t, "exponent"))
	return r
}

func (r *random) pick(label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(r.rt, label)
}

var percents = func() (p [100]int) {
	for i := range p {
		p[i] = i
	}
	return p
}()

// number draws evenly.
func (r *random) number(label string, from, to int) int {
	return from + rapid.SampledFrom(percents[:to-from+1]).Draw(r.rt, label)
}

func (r *random) chance(label string, percent int) bool {
	return rapid.SampledFrom(percents[:]).Draw(r.rt, label) >= 100-percent
}

func (r *random) setting(name, value string) {
	r.command(&nodev1.Command{Command: &nodev1.Command_PutSettings{PutSettings: &callboardv1.PutSettingsRequest{Values: map[string]string{name: value}}}}, "")
}

// act does one thing, the frequent ones more often. SampledFrom draws evenly, while ranges are drawn with a liking for small numbers.
func (r *random) act() {
	rapid.SampledFrom(actions).Draw(r.rt, "action").does(r)
}

type action struct {
	name string
	does func(*random)
}

func (a action) GoString() string { return a.name }

// actions holds each as often as it has weight.
var actions = func() []action {
	var all []action
	for _, a := range []struct {
		weight int
		action
	}{
		{20, action{"pass time", (*random).passTime}},
		{10, action{"new process", (*random).newProcess}},
		{16, action{"new actor", (*random).newActor}},
		{10, action{"call actor", (*random).callActor}},
		{8, action{"end body", (*random).endBody}},
		{6, action{"actor asks", (*random).actorAsks}},
		{8, action{"change process", (*random).changeProcess}},
		{6, action{"redial", (*random).redial}},
		{5, action{"stale event", (*random).staleEvent}},
		{4, action{"change pool", (*random).changePool}},
		{6, action{"steer", (*random).steer}},
		{3, action{"change setting", (*random).changeSetting}},
		{4, action{"together", (*random).together}},
		{4, action{"election", (*random).election}},
	} {
		for range a.weight {
			all = append(all, a.action)
		}
	}
	return all
}()

func (r *random) passTime() {
	r.advance(int64(rapid.SampledFrom([]int{1, 500, 1000, 3000, 5000, 9000, 11_000, 15_000, 40_000}).Draw(r.rt, "ms")))
}

func (r *random) newActor() {
	key := r.idempotency()
	answer := r.command(r.newActorCommand(), key)
	if key != "" || answer.Success == nil {
		return
	}
	if a := r.view.Actor(fsm.ActorID(answer.Success.GetId())); a.Destroying {
		r.t.Fatalf("G4: the caller got an actor that is being destroyed: %s", r.actorLine(r.label(a.ID[:]), a))
	}
}

// idempotency is a key that nothing else has, or none.
func (r *random) idempotency() string {
	if r.chance("idempotent", 80) {
		return ""
	}
	r.names++
	return fmt.Sprintf("key%d", r.names)
}

func (r *random) newActorCommand() *nodev1.Command {
	r.names++
	name, pool := fmt.Sprintf("a%d", r.names), r.pick("pool", r.pools...)
	policy := callboardv1.CrashPolicy(r.number("policy", 0, 3))
	key := r.pick("key", "", "", "x", "y")
	if key != "" && r.chance("get", 50) {
		return &nodev1.Command{Command: &nodev1.Command_GetOrCreateActor{GetOrCreateActor: &callboardv1.GetOrCreateRequest{
			Namespace: "default", Name: r.actorName(), Key: key, Pool: pool, Input: []byte(name), CrashPolicy: policy,
		}}}
	}
	return createNamed(name, r.actorName(), key, pool, policy)
}

// actorNames are the names that actors of random worlds have.
var actorNames = []string{"bell", "counter"}

func (r *random) actorName() string { return r.pick("actor name", "counter", "counter", "bell") }

// someActor returns the name of an actor; empty: there is none.
func (r *random) someActor() string {
	if len(r.actors) == 0 {
		return ""
	}
	var names []string
	for _, a := range r.everyActor() {
		names = append(names, r.label(a.ID[:]))
	}
	if len(names) == 0 {
		return ""
	}
	return r.pick("actor", names...)
}

func (r *random) everyActor() []*fsm.Actor {
	var actors []*fsm.Actor
	for _, name := range actorNames {
		for a := range r.view.Actors(r.defaultNamespace(), name, 0) {
			actors = append(actors, a)
		}
	}
	return actors
}

func (r *random) callActor() {
	if c := r.callCommand(); c != nil {
		r.command(c, r.idempotency())
	}
}

func (r *random) callCommand() *nodev1.Command {
	name := r.someActor()
	if name == "" {
		return nil
	}
	id := r.actorID(name).String()
	switch r.pick("call", "destroy", "sleep", "wake", "wake", "reschedule") {
	case "reschedule":
		return &nodev1.Command{Command: &nodev1.Command_RescheduleActor{RescheduleActor: &callboardv1.RescheduleRequest{Namespace: "default", ActorId: id}}}
	case "destroy":
		return &nodev1.Command{Command: &nodev1.Command_DestroyActor{DestroyActor: &callboardv1.DestroyRequest{Namespace: "default", ActorId: id}}}
	case "sleep":
		return &nodev1.Command{Command: &nodev1.Command_SleepActor{SleepActor: &callboardv1.SleepRequest{Namespace: "default", ActorId: id}}}
	default:
		return &nodev1.Command{Command: &nodev1.Command_WakeActor{WakeActor: &callboardv1.WakeRequest{Namespace: "default", ActorId: id}}}
	}
}

func (r *random) changePool() {
	c := &callboardv1.PoolConfig{Placement: callboardv1.Placement(r.number("placement", 0, 2))}
	if r.chance("lost", 50) {
		lost := uint32(rapid.SampledFrom([]int{10, 15, 30}).Draw(r.rt, "lost threshold"))
		c.RunnerLostThreshold = &lost
	}
	if r.chance("pace", 60) {
		rate := rapid.SampledFrom([]uint64{10_000, 500_000, 1_000_000, 3_300_000, 100_000_000, fsm.MaxEvictionRateMicros}).Draw(r.rt, "rate")
		delay, period := uint32(r.number("delay", 0, 3)), uint32(rapid.SampledFrom([]int{0, 0, 1, 5, 60}).Draw(r.rt, "period"))
		c.ActorEvictionRateMicros, c.ActorEvictionDelay, c.ActorEvictionPeriod = &rate, &delay, &period
	}
	if r.chance("drain said", 30) {
		drain := r.chance("drain", 70)
		c.DrainOnVersionUpgrade = &drain
	}
	pool := r.pick("pool", r.pools...)
	if r.chance("delete", 20) {
		r.command(&nodev1.Command{Command: &nodev1.Command_DeletePool{DeletePool: &callboardv1.PoolServiceDeleteRequest{Namespace: "default", Name: pool}}}, "")
		return
	}
	r.command(&nodev1.Command{Command: &nodev1.Command_PutPool{PutPool: &callboardv1.PoolServicePutRequest{Namespace: "default", Name: pool, Config: c}}}, "")
}

// steer has an operator do something to a rollout or a runner.
func (r *random) steer() {
	pool := r.pick("pool", r.pools...)
	var c *nodev1.Command
	switch what := r.pick("steer", "pause", "resume", "drain", "drain", "undrain", "hold", "release", "undrain key"); what {
	case "pause":
		c = &nodev1.Command{Command: &nodev1.Command_PauseRollout{PauseRollout: &callboardv1.PauseRequest{Namespace: "default", Pool: pool}}}
	case "resume":
		c = &nodev1.Command{Command: &nodev1.Command_ResumeRollout{ResumeRollout: &callboardv1.ResumeRequest{Namespace: "default", Pool: pool}}}
	case "hold":
		c = &nodev1.Command{Command: &nodev1.Command_HoldVersion{HoldVersion: &callboardv1.HoldRequest{
			Namespace: "default", Pool: pool, Version: uint32(r.number("held version", 1, 3)),
		}}}
	case "release":
		version := uint32(r.number("any version", 1, 3))
		if p := r.view.Pool(fsm.PoolID{Namespace: r.defaultNamespace().ID, Name: pool}); p != nil {
			for held := range r.view.HeldVersions(p) {
				version = held.Version
			}
		}
		c = &nodev1.Command{Command: &nodev1.Command_ReleaseVersion{ReleaseVersion: &callboardv1.ReleaseRequest{Namespace: "default", Pool: pool, Version: version}}}
	default:
		p := r.someProcess()
		if p == nil {
			return
		}
		if what == "undrain key" {
			c = &nodev1.Command{Command: &nodev1.Command_UndrainRunner{UndrainRunner: &callboardv1.UndrainRequest{Namespace: "default", Pool: p.pool, Key: p.key}}}
			break
		}
		id := fsm.ID(p.runner).String()
		c = &nodev1.Command{Command: &nodev1.Command_UndrainRunner{UndrainRunner: &callboardv1.UndrainRequest{Namespace: "default", RunnerId: id}}}
		if what == "drain" {
			c = &nodev1.Command{Command: &nodev1.Command_DrainRunner{DrainRunner: &callboardv1.DrainRequest{
				Namespace: "default", RunnerId: id, Force: r.chance("force", 20), Keep: r.chance("keep", 30), DeadlineMs: uint32(rapid.SampledFrom([]int{0, 0, 3000}).Draw(r.rt, "deadline")),
			}}}
		}
	}
	r.command(c, r.idempotency())
}

func (r *random) changeSetting() {
	switch r.pick("setting", "start", "stop", "lost", "eligible", "reset") {
	case "start":
		r.setting("actor_start_threshold", r.pick("value", "1s", "10s", ""))
	case "stop":
		r.setting("actor_stop_threshold", r.pick("value", "10s", "20s", ""))
	case "lost":
		r.setting("runner_lost_threshold", r.pick("value", "10s", "20s", ""))
	case "eligible":
		r.setting("runner_eligible_threshold", r.pick("value", "3s", "8s", ""))
	case "reset":
		r.setting("retry_reset_duration", r.pick("value", "1s", "1m", ""))
	}
}

// election has another node lead, perhaps one whose wall clock is wrong.
func (r *random) election() {
	r.wallSkew = int64(rapid.SampledFrom([]int{0, 0, -30_000, 30_000}).Draw(r.rt, "wall clock"))
	r.elect()
	r.turn(Input{})
}

// together gives several inputs to one Step.
func (r *random) together() {
	var in Input
	for range r.number("inputs", 2, 5) {
		switch r.pick("input", "create", "call", "end", "start") {
		case "create":
			in.Commands = append(in.Commands, Command{Command: r.newActorCommand()})
		case "call":
			if c := r.callCommand(); c != nil {
				in.Commands = append(in.Commands, Command{Command: c})
			}
		case "end":
			if p, b := r.someBody(); p != nil {
				p.finish(r.world, b.ref, r.chance("clean", 30))
			}
		case "start":
			r.start(r.newcomer())
		}
	}
	r.turn(in)
}
