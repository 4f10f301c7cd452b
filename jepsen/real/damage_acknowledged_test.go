//go:build unix

package real_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// acknowledged is what the engine has promised to keep: what callers and actors were told.
type acknowledged struct {
	keys  map[string]string // of actors that were created, by id
	saves map[string]uint64 // the newest number that an actor was told is saved, by id
}

// missing lists what is not there.
func (a acknowledged) missing(shown []history.Actor, saves map[string]uint64) []string {
	var missing []string
	there := map[string]string{}
	for _, actor := range shown {
		there[actor.ID] = actor.Key
	}
	for _, id := range slices.Sorted(maps.Keys(a.keys)) {
		if key, found := there[id]; !found || key != a.keys[id] {
			missing = append(missing, fmt.Sprintf("actor %s, key %s: it is %q", id, a.keys[id], key))
		}
	}
	if saves == nil {
		return missing
	}
	for _, id := range slices.Sorted(maps.Keys(a.saves)) {
		if saves[id] < a.saves[id] {
			missing = append(missing, fmt.Sprintf("actor %s has saved %d: it has %d", id, a.saves[id], saves[id]))
		}
	}
	return missing
}

// The check of the damage suite sees one write that is missing, one save, and an actor that has another's key.
func TestAMissingWriteIsSeen(t *testing.T) {
	known := acknowledged{keys: map[string]string{"a": "1", "b": "2"}, saves: map[string]uint64{"b": 7}}
	all := []history.Actor{{ID: "a", Key: "1"}, {ID: "b", Key: "2"}}
	if missing := known.missing(all, map[string]uint64{"b": 7}); len(missing) != 0 {
		t.Errorf("nothing is missing, and it says %v", missing)
	}
	for name, of := range map[string]struct {
		shown []history.Actor
		saves map[string]uint64
	}{
		"a create":    {all[:1], map[string]uint64{"b": 7}},
		"a save":      {all, map[string]uint64{"b": 6}},
		"all saves":   {all, map[string]uint64{}},
		"another key": {[]history.Actor{{ID: "a", Key: "1"}, {ID: "b", Key: "1"}}, nil},
	} {
		if missing := known.missing(of.shown, of.saves); len(missing) != 1 {
			t.Errorf("%s: it says %v", name, missing)
		}
	}
}

const (
	// kept are actors that were created, without a runner. savers have saved, and sleep.
	kept, saver, savers = "kept", "saver", 3
	vault               = "vault"
)

// acknowledge creates actors one after the other, so that each is an entry of its own.
func (w *wreck) acknowledge(caller *real.Caller, prefix string, n int) {
	w.Helper()
	for i := range n {
		key := prefix + strconv.Itoa(i)
		actor, err := caller.Create(w.Context(), pool, kept, key)
		w.must(err)
		w.known.keys[actor.GetActorId()] = key
	}
}

// save has actors save and sleep.
func (w *wreck) save() {
	w.Helper()
	r := w.run(real.RunnerConfig{Key: "first", Pool: vault, Slots: savers, SaveEvery: 50 * time.Millisecond})
	w.connected(vault, r)
	for i := range savers {
		_, err := w.caller.Create(w.Context(), vault, saver, strconv.Itoa(i))
		w.must(err)
	}
	w.until("each has saved", func(context.Context) error { return enough(len(w.numbers(r, history.Saved)), savers) })
	for id := range w.numbers(r, history.Saved) {
		_, err := w.caller.Actors.Sleep(w.Context(), &callboardv1.SleepRequest{ActorId: id})
		w.must(err)
	}
	w.until("all have stopped", func(context.Context) error { return enough(len(w.numbers(r, history.BodyStop)), savers) })
	w.known.saves = w.numbers(r, history.Saved)
	w.must(r.Terminate())
	_, err := r.Wait(w.Context(), patience)
	w.must(err)
	w.runners = nil
}

func enough(n, want int) error {
	if n < want {
		return fmt.Errorf("%d of %d", n, want)
	}
	return nil
}

// numbers returns the last number of each actor that a runner wrote down in an event of a kind.
func (w *wreck) numbers(r *real.Runner, kind history.Kind) map[string]uint64 {
	events, err := history.Read(filepath.Join(w.Dir, r.Name+".jsonl"))
	w.must(err)
	last := map[string]uint64{}
	for _, e := range events {
		if e.Kind == kind {
			last[e.Actor] = e.Number
		}
	}
	return last
}

// errEnded means that a node ended instead of answering.
var errEnded = errors.New("it has ended")

// missingAt returns what a node does not show of all that was acknowledged, by a linearizable reading. An error: it shows nothing within the limit.
func (w *wreck) missingAt(n *real.Node, limit time.Duration, withSaves bool) ([]string, error) {
	caller, err := w.NewCaller("judge", []string{n.Addrs.GRPC}, client.WithoutRetry())
	w.must(err)
	defer func() { _ = caller.Close() }()
	var shown []history.Actor
	ended := false
	_, err = real.Until(w.Context(), limit, n.ID+" answers", func(ctx context.Context) (err error) {
		if ended = !n.Alive(); ended {
			return nil
		}
		shown, err = caller.List(ctx, kept)
		return err
	})
	if ended {
		return nil, errEnded
	}
	var saves map[string]uint64
	if err == nil && withSaves {
		saves, err = w.savesAt(n)
	}
	if err != nil {
		return nil, err
	}
	return w.known.missing(shown, saves), nil
}

// savesAt wakes the savers, and returns what their lives begin with.
func (w *wreck) savesAt(n *real.Node) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	caller, err := w.NewCaller("waker", []string{n.Addrs.GRPC})
	w.must(err)
	defer func() { _ = caller.Close() }()
	there, err := caller.List(ctx, saver)
	if err != nil {
		return nil, err
	}
	r, err := w.StartRunner(real.RunnerConfig{Key: "later", Pool: vault, Slots: savers, Endpoints: []string{n.Addrs.GRPC}})
	w.must(err)
	defer func() { w.must(r.Kill()) }()
	for _, a := range there {
		if _, err := caller.Actors.Wake(ctx, &callboardv1.WakeRequest{ActorId: a.ID}); err != nil {
			return nil, err
		}
	}
	var saves map[string]uint64
	_, err = real.Until(ctx, patience, "the savers run", func(context.Context) error {
		saves = w.numbers(r, history.BodyStart)
		return enough(len(saves), len(there))
	})
	return saves, err
}
