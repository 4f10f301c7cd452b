package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func actorCommand(g *globals) *cobra.Command {
	return group("actor", "Create, look at, wake and end actors",
		actorCreateCommand(g), actorGetOrCreateCommand(g), actorListCommand(g), actorShowCommand(g), actorExplainCommand(g),
		actorSleepCommand(g), actorWakeCommand(g), actorResolveCommand(g), actorRescheduleCommand(g), actorDestroyCommand(g))
}

const actorIDArgument = "ACTOR_ID"

func actorListCommand(g *globals) *cobra.Command {
	var (
		req   callboardv1.ListRequest
		key   string
		stale bool
		limit uint32
	)
	cmd := leaf("list", "List the actors of a name, those on a runner, or certain ones", nil, func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("key") {
			req.Key = &key
		}
		if req.GetName() == "" && len(req.GetActorIds()) == 0 && req.GetRunnerId() == "" {
			return usage(cmd, "actor list: name the actors with --name, some with --id, or their runner with --runner")
		}
		req.Consistency = consistency(stale)
		return g.call(cmd, func(ctx context.Context, c *client.Client) error { return g.listActors(ctx, c, &req, limit) })
	})
	cmd.Flags().StringVar(&req.Name, "name", "", "`name` of the actors")
	cmd.Flags().StringVar(&key, "key", "", "`key` of the actor, with --name")
	cmd.Flags().StringSliceVar(&req.ActorIds, "id", nil, "`ids` of actors")
	cmd.Flags().StringVar(&req.RunnerId, "runner", "", "`id` of a runner: the actors that start, run or stop there")
	cmd.Flags().BoolVar(&req.IncludeDestroyed, "include-destroyed", false, "also those that ended within the last hour")
	cmd.Flags().Uint32Var(&limit, "limit", 1000, "list at most `N` actors; 0: all")
	addStale(cmd, &stale)
	return cmd
}

func addStale(cmd *cobra.Command, stale *bool) {
	cmd.Flags().BoolVar(stale, "stale", false, "read the node's own view, which may be behind, without asking the leader")
}

func consistency(stale bool) callboardv1.Consistency {
	if stale {
		return callboardv1.Consistency_CONSISTENCY_STALE
	}
	return callboardv1.Consistency_CONSISTENCY_LINEARIZABLE
}

func (g *globals) listActors(ctx context.Context, c *client.Client, req *callboardv1.ListRequest, limit uint32) error {
	items, end, err := collect(limit, func(cursor string, size uint32) (*callboardv1.ListResponse, []*callboardv1.Actor, error) {
		req.Cursor, req.Limit = cursor, size
		page, err := c.Actors.List(ctx, req)
		return page, page.GetActors(), err
	}, actorOf)
	if err != nil {
		return err
	}
	answer := struct {
		Actors []actorJSON `json:"actors"`
		listing
	}{lastSeen(items), end}
	return g.print(answer, func(t *table) {
		t.row("ACTOR ID", "NAME", "KEY", "STATE", "GENERATION", "RUNNER ID", "POOL", "AGE", "NOTE")
		for _, a := range answer.Actors {
			t.row(a.ActorID, a.Name, a.keyText(), a.State, a.Generation, a.runnerText(), a.Pool, ago(at(a.CreateTs)), a.note())
		}
		g.sayIfMore(end)
	})
}

// lastSeen leaves each actor in a list once, as it was seen last: one that its runner is told of between two pages comes again.
func lastSeen(actors []actorJSON) []actorJSON {
	last := map[string]int{}
	for i, a := range actors {
		last[a.ActorID] = i
	}
	kept := actors[:0]
	for i, a := range actors {
		if last[a.ActorID] == i {
			kept = append(kept, a)
		}
	}
	return kept
}

type actorAnswer struct {
	Actor   actorJSON `json:"actor"`
	Created *bool     `json:"created,omitempty"`
	Index   uint64    `json:"index"`
}

// printActor shows one actor with everything that is known.
func (g *globals) printActor(answer actorAnswer) error {
	return g.print(answer, func(t *table) {
		a := answer.Actor
		t.row("actor id", a.ActorID)
		if answer.Created != nil {
			t.row("created", *answer.Created)
		}
		t.row("name", a.Name)
		t.row("key", a.keyText())
		t.row("namespace", a.Namespace)
		t.row("pool", a.Pool)
		t.row("state", a.State)
		if a.Reason != "" {
			t.row("reason", a.ReasonCode+": "+a.Reason)
		}
		t.row("next", nextText(a.NextChangeTs, a.NextChange))
		t.row("generation", a.Generation)
		t.row("runner id", a.runnerText())
		if a.MayRunTwice {
			t.row("may run twice", "yes: its runner keeps, or kept, actors without a lease")
		}
		t.row("crash policy", a.CrashPolicy)
		for _, when := range []struct {
			what string
			ts   *int64
		}{
			{"created at", a.CreateTs},
			{"first started at", a.StartTs},
			{"running since", a.ConnectableTs},
			{"pending since", a.PendingAllocationTs},
			{"asleep since", a.asleepTs()},
			{"placed again at", a.RescheduleTs},
			{"alarm at", a.AlarmTs},
			{"moves at", a.EvictTs},
			{"destroyed at", a.DestroyTs},
		} {
			if when.ts != nil {
				t.row(when.what, clockTime(*when.ts))
			}
		}
		t.row("input", byteCount(a.InputBytes))
		t.row("saved state", byteCount(a.StateBytes))
		if a.Error != nil {
			t.row("last error", a.Error.Code+": "+a.Error.Message)
			t.row("on runner", a.Error.RunnerID)
		}
	})
}

func actorShowCommand(g *globals) *cobra.Command {
	var stale, wait bool
	cmd := leaf("show", "Show one actor", []string{actorIDArgument}, func(cmd *cobra.Command, args []string) error {
		return g.waiting(cmd, func(ctx context.Context, c *client.Client, timeoutMs uint32) error {
			answer, err := c.Actors.Get(ctx, &callboardv1.GetRequest{ActorId: args[0], Consistency: consistency(stale), WaitRunning: wait, TimeoutMs: timeoutMs})
			if err != nil {
				return err
			}
			return g.printActor(actorAnswer{Actor: actorOf(answer.GetActor()), Index: answer.GetIndex()})
		})
	})
	cmd.Flags().BoolVar(&wait, "wait-running", false, "wait until it runs, at most for --timeout")
	addStale(cmd, &stale)
	return cmd
}

func actorExplainCommand(g *globals) *cobra.Command {
	var (
		stale  bool
		runner string
	)
	cmd := leaf("explain", "Say why an actor is where it is, or why it waits, and what happens next", []string{actorIDArgument}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Actors.Explain(ctx, &callboardv1.ExplainRequest{ActorId: args[0], RunnerId: runner, Consistency: consistency(stale)})
			if err != nil {
				return err
			}
			return g.printExplanation(answer)
		})
	})
	cmd.Flags().StringVar(&runner, "runner", "", "also say why not on the runner with this `id`")
	addStale(cmd, &stale)
	return cmd
}

func (g *globals) printExplanation(answer *callboardv1.ExplainResponse) error {
	j := explanationOf(answer)
	return g.print(j, func(t *table) {
		t.line("%s", strings.TrimRight(j.Actor.ActorID+" "+j.Actor.Name+" "+j.Actor.keyText(), " "))
		t.line("%s", j.Summary)
		for _, step := range j.Steps {
			t.line("  %s", step)
		}
		t.line("next: %s", nextText(j.NextChangeTs, j.NextChange))
	})
}

// nextText says what happens next, and when, if that is known.
func nextText(ts *int64, what string) string {
	if ts == nil {
		return what
	}
	text := clockTime(*ts)
	if left := time.Until(time.UnixMilli(*ts)); left > 0 {
		text += fmt.Sprintf(" (in %s)", shortTime(left))
	}
	return text + ": " + what
}
