package scheduler

import (
	"fmt"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// What must hold in a random world: after every entry, and when it has come to rest.

// look is run after every entry.
func (r *random) look(ops []*logv1.Op) {
	where := map[fsm.ActorID]*process{}
	for _, p := range r.processes {
		for ref := range p.bodies {
			if other := where[ref.Actor]; other != nil && other != p {
				r.t.Fatalf("G2: %s runs on %s and on %s", r.label(ref.Actor[:]), other.name, p.name)
			}
			where[ref.Actor] = p
		}
	}
	r.lookAtKeys()
	for _, op := range ops {
		lost := op.GetMarkLost()
		if lost == nil {
			continue
		}
		for _, p := range r.processes {
			if string(p.runner[:]) == string(lost.GetRunnerId()) && p.up() && p.connected && !p.silent && !p.cut {
				r.t.Fatalf("G8: %s is declared lost, and could be heard all the time", p.name)
			}
		}
	}
}

// lookAtKeys: of all runners with one key, at most one takes actors.
func (r *random) lookAtKeys() {
	has := map[string]*fsm.Runner{}
	for runner := range r.view.Runners(r.defaultNamespace(), 0) {
		if runner.End != fsm.NotEnded || runner.Draining() && !runner.LastResort() {
			continue
		}
		key := runner.Pool.Name + "/" + runner.Key
		if other := has[key]; other != nil {
			r.t.Fatalf("%s and %s both have the key %s", r.label(runner.ID[:]), r.label(other.ID[:]), key)
		}
		has[key] = runner
	}
}

// comeToRest makes everybody well and lets time pass.
func (r *random) comeToRest() {
	for _, p := range r.processes {
		p.silent, p.cut, p.deaf, p.hangs, p.refuses, p.slowMs = false, false, false, false, false, 0
	}
	rate, period := uint64(fsm.MaxEvictionRateMicros), uint32(0)
	for _, pool := range r.pools {
		r.command(&nodev1.Command{Command: &nodev1.Command_ResumeRollout{ResumeRollout: &callboardv1.ResumeRequest{Namespace: "default", Pool: pool}}}, "")
		r.command(&nodev1.Command{Command: &nodev1.Command_PutPool{PutPool: &callboardv1.PoolServicePutRequest{
			Namespace: "default", Name: pool, Config: &callboardv1.PoolConfig{ActorEvictionRateMicros: &rate, ActorEvictionPeriod: &period},
		}}}, "")
	}
	r.wallSkew = max(r.wallSkew, r.view.WallMs()-wallStartMs-r.clockMs) // a wall clock that stands still keeps alarms waiting
	r.turn(Input{})
	r.advance(700_000) // past the longest wait after rollouts that were called off
	r.nothingToMove()
	for _, a := range r.everyActor() {
		r.rests(a)
	}
	for _, p := range r.processes {
		if !p.up() {
			continue
		}
		runner := r.view.Runner(p.runner)
		if runner == nil || runner.End != fsm.NotEnded || !runner.Connected {
			r.t.Fatalf("%s is well, and its runner is not: %s", p.name, r.showRunners())
		}
		if int(runner.Held) != len(p.bodies) {
			r.t.Fatalf("%s runs %d actors, and %d of its slots are held", p.name, len(p.bodies), runner.Held)
		}
		for ref := range p.bodies {
			if a := r.view.Actor(ref.Actor); a == nil || a.Ref() != ref || a.Runner != runner.Number || a.Phase != fsm.Running {
				r.t.Fatalf("%s runs %s/%d, and the books say: %s", p.name, r.label(ref.Actor[:]), ref.Generation, r.actorLine(r.label(ref.Actor[:]), a))
			}
		}
	}
}

// nothingToMove: whoever still has an actor to give up has it because there is no room for it.
func (r *random) nothingToMove() {
	for runner := range r.view.Runners(r.defaultNamespace(), 0) {
		if runner.End != fsm.NotEnded || !runner.Planned() || runner.Left() == 0 {
			continue
		}
		p := r.view.RunnerPool(runner)
		for a := range r.view.ActorsOf(runner, 0) {
			if to := roomIn(&r.view.State, p, 0); to.takes(&r.view.State, outlook{actor: a, runner: runner}) && runner.Connected {
				r.t.Fatalf("%s drains, and its actor %s has room on %s: %s", r.label(runner.ID[:]), r.label(a.ID[:]), r.label(to.of(&r.view.State, a).runner.ID[:]), r.showRunners())
			}
		}
	}
}

func (r *random) showRunners() string {
	var text string
	for runner := range r.view.Runners(r.defaultNamespace(), 0) {
		text += fmt.Sprintf("\n%s key=%s holds %d actors", r.runnerLine(runner), runner.Key, runner.Held)
	}
	return text
}

// rests checks an actor that nothing has happened to for a while.
func (r *random) rests(a *fsm.Actor) {
	line := r.actorLine(r.label(a.ID[:]), a)
	switch a.Phase {
	case fsm.Pending, fsm.Destroyed: // that no pending one has room is checked after every entry
	case fsm.Sleeping:
		if a.AlarmMs != 0 && a.AlarmMs <= r.view.WallMs() {
			r.t.Fatalf("its alarm is over, and it sleeps: %s", line)
		}
	case fsm.Running:
		for _, p := range r.processes {
			if p.up() && p.bodies[a.Ref()] != nil {
				return
			}
		}
		r.t.Fatalf("nobody runs it: %s", line)
	default:
		r.t.Fatalf("it is stuck: %s", line)
	}
}
