package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// rolloutWatch looks at one rollout: the one of an id, the last one to a version, or the last one.
type rolloutWatch struct {
	g     *globals
	req   *callboardv1.RolloutServiceGetRequest
	to    uint32
	named bool // to is given
	watch bool
	past  *rolloutJSON // the last rollout to the version, if it ended early: another one may come
}

// run shows the rollout until it ends. On a terminal the picture is drawn anew; elsewhere there is a line for each change, and for
// programs an object in a line of its own.
func (w *rolloutWatch) run(cmd *cobra.Command) error {
	var (
		r      rolloutJSON
		last   string
		shown  = newScreen(w.g.out)
		waited = newScreen(w.g.errOut)
	)
	err := w.g.follow(cmd, func(ctx context.Context, c *client.Client) (bool, error) {
		if err := w.find(ctx, c); err != nil {
			return w.comes(ctx, c, err, waited)
		}
		answer, err := c.Rollouts.Get(ctx, w.req)
		if err != nil {
			return false, err
		}
		r = rolloutOf(answer.GetRollout())
		w.req.Id = r.ID // that one until its end, whatever begins meanwhile
		if w.g.output != "json" {
			shown.show(render(func(t *table) { rolloutRows(t, r, time.Now()) }), r.line())
		} else if line := r.line(); line != last {
			last = line
			if err := json.NewEncoder(w.g.out).Encode(rolloutAnswer{r, answer.GetIndex()}); err != nil {
				return false, err
			}
		}
		return r.State != "open", nil
	})
	switch {
	case errors.Is(err, errInterrupted):
		w.g.progress("The rollout goes on: this only looked. `callboard rollout pause %s` stops it.", w.req.GetPool())
		return nil
	case err != nil:
		return err
	case r.ID != 0 && r.endedEarly():
		w.g.progress("%s", r.whatNext())
		return quietExit(exitRefused)
	default:
		return nil
	}
}

// endedEarly tells whether a rollout ended with actors still to be moved.
func (j rolloutJSON) endedEarly() bool { return j.State == "called_off" || j.State == "superseded" }

// whatNext tells whoever followed a rollout that ended early where its actors are, and what to look at now.
func (j rolloutJSON) whatNext() string {
	if j.State == "superseded" {
		return fmt.Sprintf("It was not finished: the rollout after it goes on with what is left. Follow that one: `callboard rollout status %s -w`.", j.Pool)
	}
	return fmt.Sprintf("It was not finished: what has not moved stays where it is. Another one begins by itself once the pool drains and has a newer version: `callboard rollout status %s -w --to %d` waits for it.", j.Pool, j.Version)
}

// ended says in short how a rollout ended.
func (j rolloutJSON) ended() string {
	return fmt.Sprintf("rollout %d to version %d was %s", j.ID, j.Version, j.stateText())
}

// find looks for the last rollout to the version that is asked for. Who watches waits for another one where that ended early.
func (w *rolloutWatch) find(ctx context.Context, c *client.Client) error {
	if !w.named || w.req.GetId() != 0 {
		return nil
	}
	list := &callboardv1.RolloutServiceListRequest{Pool: w.req.GetPool(), Limit: pageSize, Consistency: w.req.GetConsistency()}
	for {
		page, err := c.Rollouts.List(ctx, list)
		if err != nil {
			return err
		}
		for _, r := range page.GetRollouts() {
			if r.GetVersion() != w.to {
				continue
			}
			if found := rolloutOf(r); w.watch && found.endedEarly() {
				w.past = &found
				return errNoSuchRollout(w.req.GetPool(), w.to)
			}
			w.req.Id = r.GetId()
			return nil
		}
		if list.Cursor = page.GetNextCursor(); list.Cursor == "" {
			return errNoSuchRollout(w.req.GetPool(), w.to)
		}
	}
}

func errNoSuchRollout(pool string, version uint32) error {
	return callboardv1.Refuse("pool", "no_rollout", "pool %s has no rollout to version %d, and had none within the last hour: see `callboard rollout history %s`", pool, version, pool)
}

// comes tells whether the rollout to the version is still to be waited for: until a runner brings the version, and then unless there is
// nothing to be moved.
func (w *rolloutWatch) comes(ctx context.Context, c *client.Client, missing error, shown *screen) (done bool, err error) {
	refusal, refused := callboardv1.AsRefusal(missing)
	before := ""
	if w.past != nil {
		before = w.past.ended() + "; "
	}
	waits := fmt.Sprintf("%swaiting for a runner of version %d in pool %s", before, w.to, w.req.GetPool())
	switch {
	case refused && refusal.Name() == "pool.not_found": // a runner makes it when it connects
		shown.show(waits, waits)
		return false, nil
	case !refused || refusal.Name() != "pool.no_rollout":
		return false, missing
	}
	got, err := c.Pools.Get(ctx, &callboardv1.PoolServiceGetRequest{Name: w.req.GetPool()})
	if err != nil {
		return false, err
	}
	_, older, err := runnersOfVersion(ctx, c, w.req.GetPool(), w.to)
	newest, connected := got.GetPool().GetNewestVersion(), got.GetPool().GetConnectedRunners()
	switch {
	case err != nil:
		return false, err
	case connected > 0 && newest > w.to:
		return false, callboardv1.Refuse("pool", "version_outdated", "%spool %s is on version %d: no rollout to version %d will come", before, w.req.GetPool(), newest, w.to)
	case connected == 0 || newest < w.to:
		shown.show(waits, waits)
		return false, nil
	case !slices.ContainsFunc(older, hasToMove):
		shown.note("Version %d is in pool %s, and no older runner has anything to move.", w.to, w.req.GetPool())
		return true, nil
	case !got.GetPool().GetConfig().GetDrainOnVersionUpgrade():
		return false, callboardv1.Refuse("pool", "versions_coexist", "%sversion %d is in pool %s, and nothing moves: drain_on_version_upgrade is off, see `callboard pool set %s --help`",
			before, w.to, w.req.GetPool(), w.req.GetPool())
	default:
		text := fmt.Sprintf("%sversion %d is in pool %s; waiting for its rollout to begin", before, w.to, w.req.GetPool())
		if w.past != nil && len(w.past.BlockedBy) > 0 {
			text += ": " + w.past.BlockedBy[0].sentence()
		}
		shown.show(text, text)
		return false, nil
	}
}

// hasToMove tells whether an outdated runner has yet to give up its actors.
func hasToMove(r *callboardv1.Runner) bool {
	return !r.GetDrain().GetSafeToTerminate() && !r.GetDrain().GetStandby()
}
