package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const runnerIDArgument = "RUNNER_ID"

// maxDrainDeadline is the engine's.
const maxDrainDeadline = 30 * 24 * time.Hour

func runnerDrainCommand(g *globals) *cobra.Command {
	var (
		req      callboardv1.DrainRequest
		deadline time.Duration
		detach   bool
	)
	cmd := leaf("drain", "Take a runner out of placement, move its actors away, and wait until it is safe to terminate", []string{runnerIDArgument}, func(cmd *cobra.Command, args []string) error {
		req.RunnerId = args[0]
		if cmd.Flags().Changed("deadline") && (deadline < time.Millisecond || deadline > maxDrainDeadline) {
			return usage(cmd, "--deadline %s: want a time above zero, at most 30 days, such as 10m", deadline)
		}
		req.DeadlineMs = uint32(deadline.Milliseconds())
		if detach {
			return g.call(cmd, func(ctx context.Context, c *client.Client) error {
				answer, err := c.Runners.Drain(ctx, &req)
				if err != nil {
					return err
				}
				return g.printRunner(runnerOf(answer.GetRunner()), answer.GetIndex())
			})
		}
		return g.drain(cmd, &req)
	})
	cmd.Long = cmd.Short + `.

Its actors move at the pool's eviction rate, and only when there is room for them; it gets no new ones from now on. The command shows
how far that is. Ctrl-C leaves the drain going. Exit code 0: the runner is safe to terminate.

The drain outlives its runner: the same process that comes back inherits it, and so does a new one with the same key and version while the
drain has not finished, or with --keep. ` + "`callboard runner drains POOL`" + ` lists what is kept, for a week.`
	cmd.Flags().DurationVar(&deadline, "deadline", 0, "after that `time` whatever is left moves at once, room or not; default: none")
	cmd.Flags().StringVar(&req.Reason, "reason", "", "`text` that is shown with the drain")
	cmd.Flags().BoolVar(&req.Force, "force", false, "move its actors whether or not there is room elsewhere")
	cmd.Flags().BoolVar(&req.Keep, "keep", false, "a new process with its key and version inherits the drain also when it has finished")
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait")
	addIdempotencyKey(cmd, &req.IdempotencyKey)
	return cmd
}

// drain drains a runner and waits for the end of that.
func (g *globals) drain(cmd *cobra.Command, req *callboardv1.DrainRequest) error {
	var (
		r     *callboardv1.Runner
		index uint64
		shown = newScreen(g.errOut)
		begun = time.Now()
	)
	err := g.follow(cmd, func(ctx context.Context, c *client.Client) (bool, error) {
		if r == nil {
			answer, err := c.Runners.Drain(ctx, req)
			if err != nil {
				return false, err
			}
			r, index = answer.GetRunner(), answer.GetIndex()
		} else {
			answer, err := c.Runners.Get(ctx, &callboardv1.RunnerServiceGetRequest{RunnerId: req.GetRunnerId()})
			if err != nil {
				return false, err
			}
			r, index = answer.GetRunner(), answer.GetIndex()
		}
		shown.show(drainBlock(runnerOf(r)), drainLine(runnerOf(r)))
		return drainEnded(r), nil
	})
	if errors.Is(err, errInterrupted) {
		if r == nil {
			return callboardv1.ErrOutcomeUnknown
		}
		shown.note("The drain goes on: `callboard runner show %s` shows how far it is, `callboard runner undrain %s` calls it off.", req.GetRunnerId(), req.GetRunnerId())
		return quietExit(exitRefused)
	}
	if err != nil {
		return err
	}
	return g.printDrained(runnerOf(r), index, time.Since(begun))
}

// drainEnded tells whether there is nothing more to wait for: it is finished, called off, or the runner has ended.
func drainEnded(r *callboardv1.Runner) bool {
	return r.GetDrain() == nil || r.GetDrain().GetSafeToTerminate() || runnerEnded(r.GetState())
}

func runnerEnded(state callboardv1.RunnerState) bool {
	return state == callboardv1.RunnerState_RUNNER_STATE_STOPPED || state == callboardv1.RunnerState_RUNNER_STATE_LOST
}

func (g *globals) printDrained(r runnerJSON, index uint64, took time.Duration) error {
	code, text := exitOK, ""
	switch {
	case r.State == "lost":
		text = fmt.Sprintf("runner %s is lost: its lease is over, and its actors are placed elsewhere", r.RunnerID)
	case r.State == "stopped":
		text = fmt.Sprintf("runner %s has stopped", r.RunnerID)
	case r.Drain != nil:
		text = fmt.Sprintf("runner %s is safe to terminate: %d of %d actors have moved, in %s", r.RunnerID, r.Drain.Moved, r.Drain.Total, took.Truncate(100*time.Millisecond))
	default:
		code, text = exitRefused, fmt.Sprintf("runner %s does not drain any more: somebody called the drain off", r.RunnerID)
	}
	answer := struct {
		Runner runnerJSON `json:"runner"`
		Index  uint64     `json:"index"`
	}{r, index}
	if err := g.print(answer, func(t *table) { t.line("%s", text) }); err != nil {
		return err
	}
	if code != exitOK {
		return quietExit(code)
	}
	return nil
}

func drainLine(r runnerJSON) string {
	line := r.Drain.progress()
	if r.Drain != nil && len(r.Drain.BlockedBy) > 0 {
		line += "; waits: " + blockerCodes(r.Drain.BlockedBy)
	}
	return line
}

func drainBlock(r runnerJSON) string {
	d := r.Drain
	if d == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %3d %%  %s\n", bar(d.Moved, d.Total), percent(d.Moved, d.Total), d.progress())
	for _, blocker := range d.BlockedBy {
		fmt.Fprintf(&b, "  waits: %s\n", blocker.sentence())
	}
	if d.DeadlineTs != nil {
		fmt.Fprintf(&b, "  whatever is left at %s moves at once\n", timeOfDay(*d.DeadlineTs))
	}
	return b.String()
}

func runnerUndrainCommand(g *globals) *cobra.Command {
	var key string
	cmd := leaf("undrain", "Call off a drain that an operator began: what is decided already goes on", []string{runnerIDArgument}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Runners.Undrain(ctx, &callboardv1.UndrainRequest{RunnerId: args[0], IdempotencyKey: key})
			if err != nil {
				return err
			}
			return g.printRunner(runnerOf(answer.GetRunner()), answer.GetIndex())
		})
	})
	addIdempotencyKey(cmd, &key)
	return cmd
}
