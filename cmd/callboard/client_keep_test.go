package main

import (
	"regexp"
	"strings"
	"testing"
)

// TestKeepIsSeen: what a runner gives up that keeps its actors without a lease stands in the lists, and beside its actors.
func TestKeepIsSeen(t *testing.T) {
	c := startCluster(t, 1)
	keeper := c.engine.AddKeeper("k", "keeper", 1, 1).String()
	c.ok(t, "actor", "create", "--name", "a", "--pool", "k")
	list := decode[struct {
		Runners    []runnerJSON `json:"runners"`
		NextCursor *string      `json:"next_cursor"`
		Index      uint64       `json:"index"`
	}](t, c.ok(t, "runner", "list", "-o", "json"))
	for _, r := range list.Runners {
		if want := map[bool]string{true: "keep", false: "fence"}[r.RunnerID == keeper]; r.OnLeaseLost != want {
			t.Errorf("runner %s: on_lease_lost %q, want %q", r.Key, r.OnLeaseLost, want)
		}
	}
	for line := range strings.Lines(c.ok(t, "runner", "list")) {
		if strings.Contains(line, " keep ") != strings.Contains(line, keeper) {
			t.Error(line)
		}
	}
	if out := c.ok(t, "runner", "show", keeper); !regexp.MustCompile(`(?m)^on lease lost +keep\b`).MatchString(out) {
		t.Errorf("runner show:\n%s", out)
	}
	if out := c.ok(t, "actor", "list", "--name", "a"); !strings.Contains(out, "may run twice") {
		t.Errorf("actor list:\n%s", out)
	}
	actors := decode[struct {
		Actors     []actorJSON `json:"actors"`
		NextCursor *string     `json:"next_cursor"`
		Index      uint64      `json:"index"`
	}](t, c.ok(t, "actor", "list", "--name", "a", "-o", "json")).Actors
	if len(actors) != 1 || !actors[0].MayRunTwice {
		t.Fatalf("%+v", actors)
	}
	if out := c.ok(t, "actor", "show", actors[0].ActorID); !strings.Contains(out, "may run twice") {
		t.Errorf("actor show:\n%s", out)
	}
	if out := c.ok(t, "actor", "explain", actors[0].ActorID); !strings.Contains(out, "on_lease_lost: keep") {
		t.Errorf("actor explain:\n%s", out)
	}
}
