package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func addIdempotencyKey(cmd *cobra.Command, key *string) {
	cmd.Flags().StringVar(key, "idempotency-key", "", "`key` that makes a retry of this command take effect once")
}

func actorSleepCommand(g *globals) *cobra.Command {
	var key string
	cmd := leaf("sleep", "Put an actor to sleep", []string{actorIDArgument}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Actors.Sleep(ctx, &callboardv1.SleepRequest{ActorId: args[0], IdempotencyKey: key})
			if err != nil {
				return err
			}
			return g.printActor(actorAnswer{Actor: actorOf(answer.GetActor()), Index: answer.GetIndex()})
		})
	})
	addIdempotencyKey(cmd, &key)
	return cmd
}

func actorWakeCommand(g *globals) *cobra.Command {
	var key string
	cmd := leaf("wake", "Wake a sleeping actor", []string{actorIDArgument}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Actors.Wake(ctx, &callboardv1.WakeRequest{ActorId: args[0], IdempotencyKey: key})
			if err != nil {
				return err
			}
			return g.printActor(actorAnswer{Actor: actorOf(answer.GetActor()), Index: answer.GetIndex()})
		})
	})
	addIdempotencyKey(cmd, &key)
	return cmd
}

func actorRescheduleCommand(g *globals) *cobra.Command {
	var key string
	cmd := leaf("reschedule", "Move an actor now, outside its pool's eviction rate", []string{actorIDArgument}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Actors.Reschedule(ctx, &callboardv1.RescheduleRequest{ActorId: args[0], IdempotencyKey: key})
			if err != nil {
				return err
			}
			return g.printActor(actorAnswer{Actor: actorOf(answer.GetActor()), Index: answer.GetIndex()})
		})
	})
	addIdempotencyKey(cmd, &key)
	return cmd
}

func actorResolveCommand(g *globals) *cobra.Command {
	return leaf("resolve", "Say where an actor runs; wakes it if need be and waits until it runs", []string{actorIDArgument}, func(cmd *cobra.Command, args []string) error {
		return g.waiting(cmd, func(ctx context.Context, c *client.Client, timeoutMs uint32) error {
			answer, err := c.Actors.Resolve(ctx, &callboardv1.ResolveRequest{ActorId: args[0], TimeoutMs: timeoutMs})
			if err != nil {
				return err
			}
			j := struct {
				ActorID    string `json:"actor_id"`
				RunnerID   string `json:"runner_id"`
				RunnerAddr string `json:"runner_addr"`
				Generation uint64 `json:"generation"`
				Index      uint64 `json:"index"`
			}{answer.GetActor().GetActorId(), answer.GetActor().GetRunnerId(), answer.GetRunnerAddr(), answer.GetActor().GetGeneration(), answer.GetIndex()}
			return g.print(j, func(t *table) {
				t.row("runner address", orElse(j.RunnerAddr, "none: the runner advertises no address"))
				t.row("runner id", j.RunnerID)
				t.row("generation", j.Generation)
			})
		})
	})
}

func actorDestroyCommand(g *globals) *cobra.Command {
	var (
		key    string
		noWait bool
	)
	cmd := leaf("destroy", "End an actor for good, and wait until it has stopped", []string{actorIDArgument}, func(cmd *cobra.Command, args []string) error {
		return g.waiting(cmd, func(ctx context.Context, c *client.Client, timeoutMs uint32) error {
			if noWait {
				timeoutMs = 1
			}
			answer, err := c.Actors.Destroy(ctx, &callboardv1.DestroyRequest{ActorId: args[0], IdempotencyKey: key, TimeoutMs: timeoutMs})
			if err != nil {
				return err
			}
			j := struct {
				ActorID string `json:"actor_id"`
				Ended   bool   `json:"ended"`
				Index   uint64 `json:"index"`
			}{args[0], answer.GetEnded(), answer.GetIndex()}
			return g.print(j, func(t *table) {
				if j.Ended {
					t.line("%s is destroyed", j.ActorID)
				} else {
					t.line("%s will be destroyed: it is still stopping", j.ActorID)
				}
			})
		})
	})
	addIdempotencyKey(cmd, &key)
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until it has stopped")
	return cmd
}

func byteCount(n uint32) string { return counted(n, "byte") }

// counted is a number of things: 1 actor, 2 actors.
func counted[N uint32 | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
