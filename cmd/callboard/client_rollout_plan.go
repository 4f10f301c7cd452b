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

func rolloutPlanCommand(g *globals) *cobra.Command {
	var (
		req   callboardv1.PlanRequest
		to    versionFlag
		stale bool
	)
	cmd := leaf("plan", "Say what a newer version would do to a pool: a dry run, nothing changes", []string{poolArgument}, func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed("to") {
			return usage(cmd, "rollout plan: name the version with --to")
		}
		req.Pool, req.Version, req.Consistency = args[0], uint32(to), consistency(stale)
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Rollouts.Plan(ctx, &req)
			if err != nil {
				return err
			}
			j := struct {
				Plan  planJSON `json:"plan"`
				Index uint64   `json:"index"`
			}{planOf(answer.GetPlan()), answer.GetIndex()}
			if err := g.print(j, func(t *table) { planRows(t, j.Plan) }); err != nil {
				return err
			}
			if j.Plan.Moves > 0 {
				return quietExit(exitWouldMove)
			}
			return nil
		})
	})
	cmd.Long = cmd.Short + `.

Exit code 10: something would move; 0: nothing would.`
	cmd.Flags().Var(&to, "to", "the newer version")
	cmd.Flags().Uint64Var(&req.Slots, "slots", 0, "`number` of slots that its runners have together; default: as many as the pool's actors need")
	addStale(cmd, &stale)
	return cmd
}

func planRows(t *table, p planJSON) {
	t.line("pool %s to version %d: a dry run, nothing has changed", p.Pool, p.Version)
	if !p.Drain {
		t.line("drain_on_version_upgrade is off: versions coexist, and nothing moves")
	}
	t.row("would move", counted(p.Moves, "actor")+", off "+counted(p.Runners, "runner"))
	if p.Stays > 0 {
		t.row("would stay", fmt.Sprintf("%d, for want of room", p.Stays))
	}
	t.row("asleep", fmt.Sprintf("%d, they wake on the newest version", p.Asleep))
	if p.Moves > 0 {
		t.row("assumes", fmt.Sprintf("%s on version %d", counted(p.Slots, "slot"), p.Version))
		t.row("first after", planTime(p.FirstMs))
		t.row("takes", planTook(p))
		t.row("at most", fmt.Sprintf("%d within one second", p.PeakPerS))
	}
	if p.Binds != "" {
		t.row("binds", p.Binds)
	}
	for _, b := range p.BlockedBy {
		t.row("blocked by", b.Code+": "+b.Message)
	}
	for _, line := range planPicture(p) {
		t.line("%s", line)
	}
}

func planTook(p planJSON) string {
	if p.Estimate {
		return planTime(p.DurationMs) + " (extrapolated)"
	}
	return planTime(p.DurationMs)
}

// planTime shows a span exactly enough to compare it with another one.
func planTime(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d < time.Minute {
		return d.Truncate(10 * time.Millisecond).String()
	}
	return d.Truncate(time.Second).String()
}

// The picture's size, without its scales.
const (
	pictureWidth  = 60
	pictureHeight = 8
)

// planPicture draws how many actors have moved over the time; nothing when there is nothing to see.
func planPicture(p planJSON) []string {
	if p.DurationMs <= 0 || len(p.Points) == 0 || p.Points[len(p.Points)-1].Evicted == 0 {
		return nil
	}
	most := p.Points[len(p.Points)-1].Evicted
	rows := make([][]byte, pictureHeight)
	for i := range rows {
		rows[i] = []byte(strings.Repeat(" ", pictureWidth))
	}
	next, evicted := 0, uint32(0)
	for column := range pictureWidth {
		until := p.DurationMs * int64(column+1) / pictureWidth
		for next < len(p.Points) && p.Points[next].AtMs <= until {
			evicted = p.Points[next].Evicted
			next++
		}
		for row := range int((uint64(evicted)*pictureHeight + uint64(most) - 1) / uint64(most)) {
			rows[pictureHeight-1-row][column] = '#'
		}
	}
	scale := len(fmt.Sprint(most))
	lines := make([]string, 0, pictureHeight+2)
	for i, row := range rows {
		label := ""
		if i == 0 {
			label = fmt.Sprint(most)
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%*s |%s", scale, label, row), " "))
	}
	end := planTime(p.DurationMs)
	return append(lines,
		fmt.Sprintf("%*d +%s", scale, 0, strings.Repeat("-", pictureWidth)),
		fmt.Sprintf("%*s  0s%*s", scale, "", pictureWidth-2, end))
}
