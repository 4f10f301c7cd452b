package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// TestARolloutThatWasCalledOffIsNotTheOneWaitedFor: who deploys the same version again waits for its next rollout, and is told what became
// of the one before.
func TestARolloutThatWasCalledOffIsNotTheOneWaitedFor(t *testing.T) {
	c := startCluster(t, 10)
	c.ok(t, "pool", "set", "p", "--eviction-delay", "600")
	c.ok(t, "actor", "create", "--name", "a", "--pool", "p")
	c.engine.ReportRunning()
	newer := c.engine.AddRunner("p", "newer", 2, 10)
	c.engine.EndRunner(newer)
	if out := c.ok(t, "rollout", "status", "p", "--to", "2"); !strings.Contains(out, "called off: no runner of version 2 or newer is left") {
		t.Fatalf("the one before:\n%s", out)
	}

	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var told []string
	say := func(text string, then func()) step { return step{text, func() { told = append(told, text); then() }} }
	errOut := &story{steps: []step{
		say("rollout 1 to version 2 was called off: no runner of version 2 or newer is left; waiting for a runner of version 2 in pool p", func() {
			c.engine.AddRunner("p", "newer", 2, 10)
		}),
		say("version 2 is in pool p; waiting for its rollout to begin: called_off: ", func() {
			for range 70 {
				c.engine.Advance(1000)
			}
		}),
	}}
	out := &story{steps: []step{say("rollout 2 to version 2 open", interrupt)}}
	code := execute(ctx, []string{"--address", c.addr, "rollout", "status", "p", "-w", "--to", "2"}, out, errOut)
	if code != exitOK || len(told) != 3 {
		t.Errorf("exit code %d, after %q\n%s%s", code, told, out.all.String(), errOut.all.String())
	}
}

// TestASupersededRolloutSaysByWhich.
func TestASupersededRolloutSaysByWhich(t *testing.T) {
	c := startCluster(t, 10)
	c.ok(t, "pool", "set", "p", "--eviction-delay", "600")
	c.ok(t, "actor", "create", "--name", "a", "--pool", "p")
	c.engine.ReportRunning()
	c.engine.AddRunner("p", "second", 2, 10)
	c.engine.AddRunner("p", "third", 3, 10)
	c.engine.AddRunner("p", "fourth", 4, 10)
	const first, second = "superseded: a newer version has come: rollout 2 to version 3", "superseded: a newer version has come: rollout 3 to version 4"
	if out := c.ok(t, "rollout", "history", "p"); !strings.Contains(out, first) || !strings.Contains(out, second) {
		t.Errorf("history:\n%s", out)
	}
	if out := c.ok(t, "rollout", "status", "p", "--to", "2"); !strings.Contains(out, first) {
		t.Errorf("status:\n%s", out)
	}
	if r := c.run("rollout", "status", "p", "-w", "--id", "1"); r.code != exitRefused || !strings.Contains(r.out, first) || !strings.Contains(r.errOut, "`callboard rollout status p -w`") {
		t.Errorf("%d %s%s", r.code, r.out, r.errOut)
	}
	fails(t, c.run("rollout", "status", "p", "-w", "--to", "2"), exitRefused, "rollout 1 to version 2 was "+first, "pool p is on version 4", "Code: pool.version_outdated")
}

// step is something that happens when a text is written; story is steps in their order.
type step struct {
	text string
	then func()
}

type story struct {
	steps []step
	all   bytes.Buffer
}

func (s *story) Write(p []byte) (int, error) {
	if len(s.steps) > 0 && strings.Contains(string(p), s.steps[0].text) {
		now := s.steps[0]
		s.steps = s.steps[1:]
		now.then()
	}
	return s.all.Write(p)
}
