package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// TestARolloutOnTheCommandLine: what the commands show of a pool that moves to a newer version, and what they change.
func TestARolloutOnTheCommandLine(t *testing.T) {
	c := startCluster(t, 10)
	if out := c.ok(t, "pool", "set", "p", "--eviction-delay", "5", "--eviction-period", "60", "--eviction-rate", "unlimited"); !strings.Contains(out, "eviction_rate       unlimited") ||
		!strings.Contains(out, "eviction_delay      5 s") || !strings.Contains(out, "eviction_period     60 s") || !strings.Contains(out, "Warning: drain_on_version_upgrade is on") {
		t.Errorf("pool set:\n%s", out)
	}
	if pool := decode[poolAnswer](t, c.ok(t, "pool", "show", "p", "-o", "json")).Pool; pool.Config.ActorEvictionRate != 1e5 || !pool.Config.DrainOnVersionUpgrade || pool.RolloutID != nil {
		t.Errorf("pool show: %+v", pool)
	}
	if out := c.ok(t, "pool", "set", "p", "--eviction-period", "7"); !strings.Contains(out, "eviction_delay      0 s") || !strings.Contains(out, "eviction_period     7 s") {
		t.Errorf("pool set:\n%s", out)
	}
	fails(t, c.run("rollout", "status", "p"), exitRefused, "has no rollout", "drain_on_version_upgrade", "Code: pool.no_rollout")
	c.ok(t, "pool", "set", "p", "--drain-on-version-upgrade", "--eviction-rate", "1")
	for range 3 {
		c.ok(t, "actor", "create", "--name", "a", "--pool", "p")
	}
	c.engine.ReportRunning()
	if r := c.run("rollout", "plan", "p", "--to", "2"); r.code != exitWouldMove || !strings.Contains(r.out, "3 actors, off 1 runner\n") || !strings.Contains(r.out, "+-----") {
		t.Errorf("plan: %d\n%s%s", r.code, r.out, r.errOut)
	}
	if out := c.ok(t, "rollout", "plan", "p", "--to", "1"); !strings.Contains(out, "0 actors") {
		t.Errorf("plan for what is there:\n%s", out)
	}

	c.engine.AddRunner("p", "newer", 2, 10)
	rollout := decode[rolloutAnswer](t, c.ok(t, "rollout", "status", "p", "-o", "json")).Rollout
	if rollout.State != "open" || rollout.Version != 2 || rollout.Moving+rollout.Waiting != 3 || rollout.Rate != 1 || rollout.EtaTs == nil {
		t.Errorf("%+v", rollout)
	}
	if out := c.ok(t, "rollout", "pause", "p", "--reason", "lunch"); !strings.Contains(out, "open, paused: lunch") {
		t.Errorf("pause:\n%s", out)
	}
	if out := c.ok(t, "rollout", "resume", "p"); !strings.Contains(out, "to version 2: open\n") || !strings.Contains(out, "1/s; ") {
		t.Errorf("resume:\n%s", out)
	}
	if out := c.ok(t, "pool", "list"); !regexp.MustCompile(`(?m)^p +2 +2 .* written +moves 1/s +1 open$`).MatchString(out) {
		t.Errorf("pool list:\n%s", out)
	}
	if out := c.ok(t, "runner", "list"); !regexp.MustCompile(`(?m) first +1 +draining .* 0 of 3 moved`).MatchString(out) {
		t.Errorf("runner list:\n%s", out)
	}
	for range 8 {
		c.engine.ReportStopped()
		c.engine.ReportRunning()
		c.engine.Advance(1000)
	}
	if out := c.ok(t, "rollout", "status", "p", "-w", "--id", "1"); !strings.Contains(out, "done: 3 of 3 done") {
		t.Errorf("the end:\n%s", out)
	}
	if out := c.ok(t, "rollout", "history", "p"); !regexp.MustCompile(`(?m)^1 +2 +done .* 3 +0 +0 +0 +0$`).MatchString(out) {
		t.Errorf("history:\n%s", out)
	}
	if out := c.ok(t, "runner", "list"); !strings.Contains(out, "safe to terminate, 3 of 3 moved") {
		t.Errorf("runner list:\n%s", out)
	}

	newer := decode[struct {
		Runners    []runnerJSON `json:"runners"`
		NextCursor *string      `json:"next_cursor"`
		Index      uint64       `json:"index"`
	}](t, c.ok(t, "runner", "list", "-o", "json")).Runners[0]
	if out := c.ok(t, "runner", "drain", newer.RunnerID, "--detach", "--reason", "disk"); !strings.Contains(out, "safe to terminate    no") || !strings.Contains(out, "reason of the drain  disk") {
		t.Errorf("drain:\n%s", out)
	}
	if out := c.ok(t, "runner", "undrain", newer.RunnerID); !strings.Contains(out, "connected") || strings.Contains(out, "safe to terminate") {
		t.Errorf("undrain:\n%s", out)
	}
	page := decode[struct {
		Actors     []actorJSON `json:"actors"`
		NextCursor *string     `json:"next_cursor"`
		Index      uint64      `json:"index"`
	}](t, c.ok(t, "actor", "list", "--name", "a", "-o", "json"))
	if out := c.ok(t, "actor", "reschedule", page.Actors[0].ActorID); !strings.Contains(out, "stopping") {
		t.Errorf("reschedule:\n%s", out)
	}
	if out := c.ok(t, "rollout", "rollback", "p"); !strings.Contains(out, newer.RunnerID) {
		t.Errorf("rollback:\n%s", out)
	}
}

// TestARolloutIsWaitedFor: who has just deployed a version waits for the runner that brings it, and is told when nothing will move.
func TestARolloutIsWaitedFor(t *testing.T) {
	c := startCluster(t, 10)
	c.ok(t, "pool", "set", "p")
	fails(t, c.run("rollout", "status", "p", "--to", "2"), exitRefused, "no rollout to version 2", "Code: pool.no_rollout")
	fails(t, c.run("rollout", "status", "p", "--to", "2", "--id", "1"), exitUsage, "both name a rollout")
	if r := c.run("rollout", "status", "p", "-w", "--to", "1"); r.code != exitOK || !strings.Contains(r.errOut, "no older runner has anything to move") {
		t.Errorf("the version that is there: %d %s%s", r.code, r.out, r.errOut)
	}
	fails(t, c.run("rollout", "status", "p", "-w", "--to", "0"), exitRefused, "is on version 1", "Code: pool.version_outdated")

	waiting := &story{steps: []step{{"waiting for a runner of version 2", func() { c.engine.AddRunner("p", "newer", 2, 10) }}}}
	var out bytes.Buffer
	if code := execute(t.Context(), []string{"--address", c.addr, "rollout", "status", "p", "-w", "--to", "2"}, &out, waiting); code != exitOK || !strings.Contains(out.String(), "version 2 done") {
		t.Errorf("%d %s", code, out.String())
	}
	waiting = &story{steps: []step{{"waiting for a runner of version 1 in pool first", func() { c.engine.AddRunner("first", "r", 1, 10) }}}}
	if code := execute(t.Context(), []string{"--address", c.addr, "rollout", "status", "first", "-w", "--to", "1"}, &out, waiting); code != exitOK {
		t.Errorf("a pool that is not there yet: %d", code)
	}
	c.ok(t, "pool", "set", "p", "--drain-on-version-upgrade=false")
	c.engine.AddRunner("p", "newest", 3, 10)
	fails(t, c.run("rollout", "status", "p", "-w", "--to", "3"), exitRefused, "drain_on_version_upgrade is off", "Code: pool.versions_coexist")
}
