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

const poolArgument = "POOL"

func rolloutCommand(g *globals) *cobra.Command {
	return group("rollout", "Watch and steer how a pool moves to its newest version",
		rolloutStatusCommand(g), rolloutPauseCommand(g), rolloutResumeCommand(g), rolloutHistoryCommand(g), rolloutPlanCommand(g), rolloutRollbackCommand(g), rolloutReleaseCommand(g))
}

func rolloutStatusCommand(g *globals) *cobra.Command {
	var (
		req          callboardv1.RolloutServiceGetRequest
		to           versionFlag
		watch, stale bool
	)
	cmd := leaf("status", "Show how far a rollout is: the open one, or else the last", []string{poolArgument}, func(cmd *cobra.Command, args []string) error {
		req.Pool, req.Consistency = args[0], consistency(stale)
		w := rolloutWatch{g: g, req: &req, to: uint32(to), named: cmd.Flags().Changed("to"), watch: watch}
		if w.named && req.GetId() != 0 {
			return usage(cmd, "rollout status: --id and --to both name a rollout: give one")
		}
		if watch {
			return w.run(cmd)
		}
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			if err := w.find(ctx, c); err != nil {
				return err
			}
			answer, err := c.Rollouts.Get(ctx, &req)
			if err != nil {
				return err
			}
			return g.printRollout(rolloutAnswer{rolloutOf(answer.GetRollout()), answer.GetIndex()})
		})
	})
	cmd.Long = cmd.Short + `.

With -w it follows the rollout until its end. Ctrl-C is safe: the rollout goes on, the command only looks. With --to as well it first
waits until a runner brings that version; that is for a script that has just deployed it. A rollout to that version that was called off or
superseded before does not count: it waits for the next. Exit code of -w: 0 when the rollout is done, or somebody stops looking; 1 when it
was called off or superseded meanwhile, or none can come.`
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "follow it until its end")
	cmd.Flags().Var(&to, "to", "the last rollout to this version")
	cmd.Flags().Uint64Var(&req.Id, "id", 0, "a certain rollout, by its `number`")
	addStale(cmd, &stale)
	return cmd
}

func (g *globals) printRollout(answer rolloutAnswer) error {
	return g.print(answer, func(t *table) { rolloutRows(t, answer.Rollout, time.Now()) })
}

// rolloutRows shows one rollout: a bar, what has become of the actors, what limits the pace, and when it ends.
func rolloutRows(t *table, r rolloutJSON, now time.Time) {
	t.line("rollout %d of pool %s to version %d: %s", r.ID, r.Pool, r.Version, r.stateText())
	if r.counts() {
		done, total := r.done()
		t.line("%s %3d %%", bar(done, total), percent(done, total))
	}
	t.row("moved", r.Moved)
	t.row("moving", r.Moving)
	if r.EndTs == nil { // what is waiting belongs to the pool, and to the rollout only while it is open
		t.row("waiting", fmt.Sprintf("%d, on runners of older versions: %d drain, %d have drained and stay", r.Waiting, r.DrainingRunners, r.DrainedRunners))
		t.row("asleep", fmt.Sprintf("%d, they wake on the newest version", r.Asleep))
	}
	t.row("lost", fmt.Sprintf("%d, with their runner", r.Lost))
	t.row("left", fmt.Sprintf("%d, of their own accord", r.Left))
	t.row("began", fmt.Sprintf("%s (%s ago)", clockTime(at(r.StartTs)), shortTime(now.Sub(time.UnixMilli(at(r.StartTs))))))
	heldRows(t, r.Pool, r.HeldVersions)
	if r.EndTs != nil {
		t.row("ended", clockTime(*r.EndTs))
		for _, b := range r.BlockedBy {
			t.row("the next one", b.sentence())
		}
		return
	}
	t.row("rate", r.rateText())
	if r.Binds != "" {
		t.row("binds", r.Binds)
	}
	for _, b := range r.BlockedBy {
		t.row("blocked by", b.sentence())
	}
	t.row("ends", r.etaText(now))
}

// counts tells whether all that was to be moved is known: one that ended early leaves actors behind, and does not say how many.
func (j rolloutJSON) counts() bool { return j.State == "open" || j.State == "done" }

// done counts the actors that have left the older versions, of all that were or are there.
func (j rolloutJSON) done() (done, total uint32) {
	done = j.Moved + j.Lost + j.Left
	return done, done + j.Moving + j.Waiting
}

func (j rolloutJSON) stateText() string {
	text := strings.ReplaceAll(j.State, "_", " ")
	switch {
	case j.Paused && j.PauseReason != "":
		return text + ", paused: " + j.PauseReason
	case j.Paused:
		return text + ", paused"
	case j.EndReason != "":
		return text + ": " + j.EndReason
	default:
		return text
	}
}

func (j rolloutJSON) rateText() string {
	text := rateText(j.Rate)
	if j.RateIsDefault {
		text += " (default)"
	}
	return fmt.Sprintf("%s; %.3g may go now", text, j.Tokens)
}

// rateText shows a rate as it is written: what `unlimited` stores has its word.
func rateText(rate float64) string {
	if rate >= unlimitedRate {
		return "unlimited"
	}
	return fmt.Sprintf("%g/s", rate)
}

func (j rolloutJSON) etaText(now time.Time) string {
	switch {
	case j.EtaTs == nil && len(j.BlockedBy) > 0:
		return "not foreseeable: see what blocks"
	case j.EtaTs == nil:
		return "not foreseeable"
	}
	text := fmt.Sprintf("about %s, in %s", timeOfDay(*j.EtaTs), shortTime(time.UnixMilli(*j.EtaTs).Sub(now)))
	if j.EtaIsEstimate {
		text += " (extrapolated)"
	}
	return text
}

// line is a rollout in short, for a log: it changes when something happens, not with the time.
func (j rolloutJSON) line() string {
	if !j.counts() {
		return fmt.Sprintf("rollout %d to version %d %s: %d moved, %d lost, %d left, %d moving", j.ID, j.Version, j.stateText(), j.Moved, j.Lost, j.Left, j.Moving)
	}
	done, total := j.done()
	line := fmt.Sprintf("rollout %d to version %d %s: %d of %d done (%d moved, %d lost, %d left), %d moving, %d waiting",
		j.ID, j.Version, j.stateText(), done, total, j.Moved, j.Lost, j.Left, j.Moving, j.Waiting)
	if len(j.BlockedBy) > 0 {
		line += "; waits: " + blockerCodes(j.BlockedBy)
	}
	return line
}

func rolloutPauseCommand(g *globals) *cobra.Command {
	var req callboardv1.PauseRequest
	cmd := leaf("pause", "Stop the evictions of a pool's rollout; drained runners stay drained", []string{poolArgument}, func(cmd *cobra.Command, args []string) error {
		req.Pool = args[0]
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Rollouts.Pause(ctx, &req)
			if err != nil {
				return err
			}
			return g.printRollout(rolloutAnswer{rolloutOf(answer.GetRollout()), answer.GetIndex()})
		})
	})
	cmd.Flags().StringVar(&req.Reason, "reason", "", "`text` that is shown with the rollout")
	addIdempotencyKey(cmd, &req.IdempotencyKey)
	return cmd
}

func rolloutResumeCommand(g *globals) *cobra.Command {
	var key string
	cmd := leaf("resume", "Let a pool's rollout go on, at its rate: what was missed is not made up for", []string{poolArgument}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Rollouts.Resume(ctx, &callboardv1.ResumeRequest{Pool: args[0], IdempotencyKey: key})
			if err != nil {
				return err
			}
			return g.printRollout(rolloutAnswer{rolloutOf(answer.GetRollout()), answer.GetIndex()})
		})
	})
	addIdempotencyKey(cmd, &key)
	return cmd
}

func rolloutHistoryCommand(g *globals) *cobra.Command {
	var (
		req   callboardv1.RolloutServiceListRequest
		limit uint32
		stale bool
	)
	cmd := leaf("history", "List a pool's rollouts, newest first; ended ones for an hour", []string{poolArgument}, func(cmd *cobra.Command, args []string) error {
		req.Pool, req.Consistency = args[0], consistency(stale)
		return g.call(cmd, func(ctx context.Context, c *client.Client) error { return g.listRollouts(ctx, c, &req, limit) })
	})
	cmd.Flags().Uint32Var(&limit, "limit", 1000, "list at most `N` rollouts; 0: all")
	addStale(cmd, &stale)
	return cmd
}

func (g *globals) listRollouts(ctx context.Context, c *client.Client, req *callboardv1.RolloutServiceListRequest, limit uint32) error {
	items, end, err := collect(limit, func(cursor string, size uint32) (*callboardv1.RolloutServiceListResponse, []*callboardv1.Rollout, error) {
		req.Cursor, req.Limit = cursor, size
		page, err := c.Rollouts.List(ctx, req)
		return page, page.GetRollouts(), err
	}, rolloutOf)
	if err != nil {
		return err
	}
	answer := struct {
		Rollouts []rolloutJSON `json:"rollouts"`
		listing
	}{items, end}
	return g.print(answer, func(t *table) {
		t.row("ROLLOUT", "VERSION", "STATE", "BEGAN", "TOOK", "MOVED", "MOVING", "WAITING", "LOST", "LEFT")
		for _, r := range answer.Rollouts {
			took := ""
			if r.EndTs != nil {
				took = shortTime(time.Duration(*r.EndTs-at(r.StartTs)) * time.Millisecond)
			}
			t.row(r.ID, r.Version, r.stateText(), clockTime(at(r.StartTs)), took, r.Moved, r.Moving, r.Waiting, r.Lost, r.Left)
		}
		g.sayIfMore(end)
	})
}
