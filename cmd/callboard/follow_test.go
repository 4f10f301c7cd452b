package main

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// script is a node that answers reads of a rollout and of a runner from a list, one after the other; the last one stays.
type script struct {
	callboardv1.UnimplementedRolloutServiceServer
	mu        sync.Mutex
	rollouts  []any // *callboardv1.Rollout or error
	runners   []any // *callboardv1.Runner or error
	plan      *callboardv1.RolloutPlan
	drains    []*callboardv1.DrainRequest
	holds     []*callboardv1.HoldRequest
	undrained *callboardv1.UndrainRequest
	asked     chan struct{} // gets a value at each read that finds nothing new
}

func next[T any](s *script, list *[]any) (m T, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(*list) == 1 {
		select {
		case s.asked <- struct{}{}:
		default:
		}
	}
	switch a := (*list)[0].(type) {
	case error:
		err = a
	case T:
		m = a
	}
	if len(*list) > 1 {
		*list = (*list)[1:]
	}
	return m, err
}

func (s *script) Get(context.Context, *callboardv1.RolloutServiceGetRequest) (*callboardv1.RolloutServiceGetResponse, error) {
	r, err := next[*callboardv1.Rollout](s, &s.rollouts)
	return &callboardv1.RolloutServiceGetResponse{Rollout: r, Index: 9}, err
}

func (s *script) Plan(context.Context, *callboardv1.PlanRequest) (*callboardv1.PlanResponse, error) {
	return &callboardv1.PlanResponse{Plan: s.plan, Index: 9}, nil
}

type scriptedRunners struct {
	callboardv1.UnimplementedRunnerServiceServer
	*script
}

func (s *scriptedRunners) Get(context.Context, *callboardv1.RunnerServiceGetRequest) (*callboardv1.RunnerServiceGetResponse, error) {
	r, err := next[*callboardv1.Runner](s.script, &s.runners)
	return &callboardv1.RunnerServiceGetResponse{Runner: r, Index: 9}, err
}

func (s *scriptedRunners) List(context.Context, *callboardv1.RunnerServiceListRequest) (*callboardv1.RunnerServiceListResponse, error) {
	answer := &callboardv1.RunnerServiceListResponse{Index: 9}
	for _, r := range s.runners {
		answer.Runners = append(answer.Runners, r.(*callboardv1.Runner))
	}
	return answer, nil
}

func (s *scriptedRunners) Drain(_ context.Context, req *callboardv1.DrainRequest) (*callboardv1.DrainResponse, error) {
	r, err := next[*callboardv1.Runner](s.script, &s.runners)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drains = append(s.drains, req)
	return &callboardv1.DrainResponse{Runner: r, Index: 8}, err
}

// serve puts the script behind a real gRPC port.
func (s *script) Hold(_ context.Context, req *callboardv1.HoldRequest) (*callboardv1.HoldResponse, error) {
	s.holds = append(s.holds, req)
	return &callboardv1.HoldResponse{Pool: &callboardv1.Pool{HeldVersions: []*callboardv1.HeldVersion{{Version: req.GetVersion(), Reason: req.GetReason()}}}}, nil
}

func (s *script) Release(_ context.Context, req *callboardv1.ReleaseRequest) (*callboardv1.ReleaseResponse, error) {
	return &callboardv1.ReleaseResponse{Pool: &callboardv1.Pool{Name: req.GetPool(), HeldVersions: []*callboardv1.HeldVersion{{Version: req.GetVersion() + 1, Reason: "worse"}}}}, nil
}

func (s *scriptedRunners) ListDrains(_ context.Context, req *callboardv1.ListDrainsRequest) (*callboardv1.ListDrainsResponse, error) {
	return &callboardv1.ListDrainsResponse{Drains: []*callboardv1.KeptDrain{
		{Pool: req.GetPool(), Key: "one", Version: 3, Finished: true, Reason: "disk"}, {Pool: req.GetPool(), Key: "two", Finished: true, Keep: true},
	}}, nil
}

func (s *scriptedRunners) Undrain(_ context.Context, req *callboardv1.UndrainRequest) (*callboardv1.UndrainResponse, error) {
	s.undrained = req
	return &callboardv1.UndrainResponse{}, nil
}

func (s *script) serve(t *testing.T) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	callboardv1.RegisterRolloutServiceServer(server, s)
	callboardv1.RegisterRunnerServiceServer(server, &scriptedRunners{script: s})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return listener.Addr().String()
}

// run runs a command line against the script until it ends.
func (s *script) run(t *testing.T, args ...string) result {
	t.Helper()
	return callboard(append([]string{"--address", s.serve(t), "--timeout", "5s"}, args...)...)
}

// interrupted runs a command line and interrupts it when there is nothing new to see.
func (s *script) interrupted(t *testing.T, args ...string) result {
	t.Helper()
	s.asked = make(chan struct{}, 1)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var watching sync.WaitGroup
	watching.Go(func() {
		<-s.asked
		interrupt()
	})
	defer watching.Wait()
	var out, errOut bytes.Buffer
	code := execute(ctx, append([]string{"--address", s.serve(t), "--timeout", "5s"}, args...), &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

func rollout(state callboardv1.RolloutState, moved, waiting uint32) *callboardv1.Rollout {
	return &callboardv1.Rollout{
		Namespace: "default", Pool: "p", Id: 7, Version: 12, State: state, StartTs: 1_750_000_000_000, Moved: moved, Waiting: waiting, RateMicros: 1_000_000,
	}
}

const (
	open       = callboardv1.RolloutState_ROLLOUT_STATE_OPEN
	done       = callboardv1.RolloutState_ROLLOUT_STATE_DONE
	calledOff  = callboardv1.RolloutState_ROLLOUT_STATE_CALLED_OFF
	superseded = callboardv1.RolloutState_ROLLOUT_STATE_SUPERSEDED
)

// TestARolloutIsFollowedToItsEnd: a line for each change, through an election, and the exit code tells the end.
func TestARolloutIsFollowedToItsEnd(t *testing.T) {
	s := &script{rollouts: []any{rollout(open, 1, 2), rollout(open, 1, 2), callboardv1.ErrNoLeader, rollout(open, 2, 1), rollout(done, 3, 0)}}
	r := s.run(t, "rollout", "status", "p", "-w")
	if lines := strings.Split(strings.TrimSpace(r.out), "\n"); r.code != exitOK || len(lines) != 3 || !strings.Contains(lines[0], "1 of 3 done") ||
		!strings.Contains(lines[1], "2 of 3 done") || !strings.Contains(lines[2], "done: 3 of 3 done") {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
	for state, want := range map[callboardv1.RolloutState]string{calledOff: "called off", superseded: "superseded"} {
		s := &script{rollouts: []any{rollout(open, 1, 2), rollout(state, 3, 0)}}
		if r := s.run(t, "rollout", "status", "p", "-w"); r.code != exitRefused || !strings.Contains(r.out, want) {
			t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
		}
	}
	s = &script{rollouts: []any{rollout(open, 1, 2), rollout(open, 1, 2), rollout(done, 3, 0)}}
	r = s.run(t, "rollout", "status", "p", "-w", "-o", "json")
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if len(lines) != 2 {
		t.Fatalf("want an object for each change, got %s", r.out)
	}
	if first, last := decode[rolloutAnswer](t, lines[0]), decode[rolloutAnswer](t, lines[1]); first.Rollout.State != "open" || last.Rollout.State != "done" || last.Rollout.Moved != 3 || last.Index != 9 {
		t.Errorf("%s", r.out)
	}
}

// TestLookingOnIsSafe: an interrupted command says that what it looked at goes on.
func TestLookingOnIsSafe(t *testing.T) {
	s := &script{rollouts: []any{rollout(open, 1, 2)}}
	if r := s.interrupted(t, "rollout", "status", "p", "-w"); r.code != exitOK || !strings.Contains(r.errOut, "The rollout goes on") {
		t.Errorf("%d %s%s", r.code, r.out, r.errOut)
	}
	s = &script{runners: []any{draining(0, 3), draining(1, 2)}}
	if r := s.interrupted(t, "runner", "drain", "some"); r.code != exitRefused || !strings.Contains(r.errOut, "The drain goes on") || !strings.Contains(r.errOut, "undrain some") || r.out != "" {
		t.Errorf("%d %s%s", r.code, r.out, r.errOut)
	}
}

// TestNobodyIsAskedForLong: what was never there is told at once.
func TestNobodyIsAskedForLong(t *testing.T) {
	s := &script{rollouts: []any{callboardv1.Refuse("pool", "no_rollout", "there is none")}}
	fails(t, s.run(t, "rollout", "status", "p", "-w"), exitRefused, "there is none", "Code: pool.no_rollout")
	s = &script{rollouts: []any{rollout(open, 1, 2), callboardv1.Refuse("pool", "no_rollout", "it is forgotten")}}
	fails(t, s.run(t, "rollout", "status", "p", "-w"), exitRefused, "it is forgotten")
	fails(t, callboard("--address", "127.0.0.1:1", "--timeout", "200ms", "rollout", "status", "p", "-w"), exitUnreachable, "cannot reach")
}

func draining(moved, left uint32) *callboardv1.Runner {
	return &callboardv1.Runner{RunnerId: "some", State: callboardv1.RunnerState_RUNNER_STATE_DRAINING, Drain: &callboardv1.Drain{
		Cause: callboardv1.DrainCause_DRAIN_CAUSE_OPERATOR, Total: moved + left, Moved: moved, Left: left, SafeToTerminate: left == 0,
		BlockedBy: []*callboardv1.Blocker{{Code: "rate", Message: "the rate", UntilTs: 1_750_000_000_000}},
	}}
}

// TestADrainIsWaitedFor until the runner is safe to terminate, and the exit code tells whether it is.
func TestADrainIsWaitedFor(t *testing.T) {
	s := &script{runners: []any{draining(0, 3), draining(1, 2), callboardv1.ErrNoLeader, draining(1, 2), draining(3, 0)}}
	r := s.run(t, "runner", "drain", "some", "--deadline", "10m", "--reason", "disk", "--force")
	if r.code != exitOK || !strings.Contains(r.out, "safe to terminate: 3 of 3 actors have moved") {
		t.Errorf("%d %s%s", r.code, r.out, r.errOut)
	}
	for _, want := range []string{"0 of 3 moved, 0 moving, 3 left; waits: rate", "1 of 3 moved, 0 moving, 2 left"} {
		if strings.Count(r.errOut, want) != 1 {
			t.Errorf("want %q once in\n%s", want, r.errOut)
		}
	}
	if d := s.drains; len(d) != 1 || d[0].GetDeadlineMs() != 600_000 || d[0].GetReason() != "disk" || !d[0].GetForce() || d[0].GetNamespace() != "default" {
		t.Errorf("%v", d)
	}

	s = &script{runners: []any{draining(0, 3)}}
	if r := s.run(t, "runner", "drain", "some", "--detach"); r.code != exitOK || !strings.Contains(r.out, "0 of 3 moved") {
		t.Errorf("detached: %d %s%s", r.code, r.out, r.errOut)
	}
	for state, want := range map[callboardv1.RunnerState]struct {
		code int
		text string
	}{
		callboardv1.RunnerState_RUNNER_STATE_LOST:      {exitOK, "is lost"},
		callboardv1.RunnerState_RUNNER_STATE_STOPPED:   {exitOK, "has stopped"},
		callboardv1.RunnerState_RUNNER_STATE_CONNECTED: {exitRefused, "called the drain off"},
	} {
		s := &script{runners: []any{draining(0, 3), &callboardv1.Runner{RunnerId: "some", State: state}}}
		if r := s.run(t, "runner", "drain", "some"); r.code != want.code || !strings.Contains(r.out, want.text) {
			t.Errorf("%v: %d %s%s", state, r.code, r.out, r.errOut)
		}
	}
	s = &script{runners: []any{draining(3, 0)}}
	answer := decode[struct {
		Runner runnerJSON `json:"runner"`
		Index  uint64     `json:"index"`
	}](t, s.run(t, "runner", "drain", "some", "-o", "json").out)
	if d := answer.Runner.Drain; d == nil || !d.SafeToTerminate || d.Cause != "operator" || d.Moved != 3 || *d.BlockedBy[0].UntilTs != 1_750_000_000_000 {
		t.Errorf("%+v", answer)
	}
}

func TestRollbackHoldsTheVersion(t *testing.T) {
	runner := func(id string, version uint32, cause callboardv1.DrainCause) *callboardv1.Runner {
		r := &callboardv1.Runner{RunnerId: id, Version: version, State: callboardv1.RunnerState_RUNNER_STATE_CONNECTED}
		if cause != 0 {
			r.Drain = &callboardv1.Drain{Cause: cause}
		}
		return r
	}
	s := &script{rollouts: []any{rollout(open, 1, 2)}, runners: []any{
		runner("new-1", 12, 0), runner("new-2", 12, 0), runner("new-3", 12, callboardv1.DrainCause_DRAIN_CAUSE_OPERATOR),
		runner("old", 11, callboardv1.DrainCause_DRAIN_CAUSE_NEWER_VERSION),
	}}
	if r := s.run(t, "rollout", "rollback", "p"); r.code != exitOK || len(s.holds) != 1 || s.holds[0].GetVersion() != 12 ||
		s.holds[0].GetPool() != "p" || s.holds[0].GetReason() != "rollback of version 12" || len(s.drains) != 0 {
		t.Errorf("%d %v\n%s%s", r.code, s.holds, r.out, r.errOut)
	}
	s = &script{rollouts: []any{rollout(open, 1, 2)}, runners: []any{runner("new", 12, 0), runner("old", 11, callboardv1.DrainCause_DRAIN_CAUSE_OPERATOR)}}
	fails(t, s.run(t, "rollout", "rollback", "p"), exitRefused, "would have to wait", "--force")
	if r := s.run(t, "rollout", "rollback", "p", "--force"); r.code != exitOK || len(s.holds) != 1 {
		t.Errorf("forced: %d %v", r.code, s.holds)
	}
	s = &script{rollouts: []any{rollout(done, 3, 0)}, runners: []any{runner("old", 11, 0)}}
	fails(t, s.run(t, "rollout", "rollback", "p"), exitRefused, "nothing_to_roll_back")

	r := s.run(t, "rollout", "release", "p", "12")
	if r.code != exitOK || !strings.Contains(r.out, "version 13") || !strings.Contains(r.out, "callboard rollout release p 13") {
		t.Errorf("release: %d %s%s", r.code, r.out, r.errOut)
	}
	fails(t, s.run(t, "rollout", "release", "p", "twelve"), exitUsage, "is no version")
}

func TestDrainsThatOutliveTheirRunners(t *testing.T) {
	s := &script{}
	r := s.run(t, "runner", "drains", "p")
	if r.code != exitOK || !strings.Contains(r.out, "the same process") || !strings.Contains(r.out, "whoever has its key and version") {
		t.Errorf("%d %s%s", r.code, r.out, r.errOut)
	}
	if r := s.run(t, "runner", "undrain-key", "p", "one"); r.code != exitOK || s.undrained.GetPool() != "p" || s.undrained.GetKey() != "one" {
		t.Errorf("%d %v %s%s", r.code, s.undrained, r.out, r.errOut)
	}
}

func TestAPlanIsDrawn(t *testing.T) {
	plan := &callboardv1.RolloutPlan{
		Pool: "p", Version: 13, Slots: 120, Drain: true, Moves: 120, Asleep: 4, Runners: 3, FirstMs: 60_000, DurationMs: 180_000, PeakPerS: 1, Binds: "the rate",
	}
	for at := int64(60_000); at <= 180_000; at += 1000 {
		plan.Points = append(plan.Points, &callboardv1.PlanPoint{AtMs: at, Evicted: uint32((at - 60_000) / 1000)})
	}
	r := (&script{plan: plan}).run(t, "rollout", "plan", "p", "--to", "13")
	const want = `pool p to version 13: a dry run, nothing has changed
would move   120 actors, off 3 runners
asleep       4, they wake on the newest version
assumes      120 slots on version 13
first after  1m0s
takes        3m0s
at most      1 within one second
binds        the rate
120 |                                                       #####
    |                                                  ##########
    |                                             ###############
    |                                        ####################
    |                                   #########################
    |                              ##############################
    |                         ###################################
    |                    ########################################
  0 +------------------------------------------------------------
     0s                                                      3m0s
`
	if r.code != exitWouldMove || r.out != want || r.errOut != "" {
		t.Errorf("exit code %d\n%s\nwant\n%s%s", r.code, r.out, want, r.errOut)
	}
	j := decode[struct {
		Plan  planJSON `json:"plan"`
		Index uint64   `json:"index"`
	}](t, (&script{plan: plan}).run(t, "rollout", "plan", "p", "--to", "13", "-o", "json").out)
	if len(j.Plan.Points) != 121 || j.Plan.DurationMs != 180_000 || j.Plan.Moves != 120 || !j.Plan.Drain {
		t.Errorf("%+v", j)
	}
	nothing := &callboardv1.RolloutPlan{Pool: "p", Version: 13, Drain: false, Binds: "nothing would move"}
	if r := (&script{plan: nothing}).run(t, "rollout", "plan", "p", "--to", "13"); r.code != exitOK || !strings.Contains(r.out, "is off") || strings.Contains(r.out, "+--") {
		t.Errorf("nothing moves: %d\n%s", r.code, r.out)
	}
}

func TestARolloutIsShownWhole(t *testing.T) {
	now := time.UnixMilli(1_750_000_100_000)
	m := rollout(open, 30, 60)
	m.Moving, m.Lost, m.Left, m.Asleep, m.DrainingRunners, m.DrainedRunners = 5, 3, 2, 9, 2, 1
	m.Paused, m.PauseReason, m.RateIsDefault, m.TokensMicros, m.Binds = true, "lunch", true, -250_000, "1/s (default) binds"
	m.BlockedBy = []*callboardv1.Blocker{{Code: "no_capacity", Message: "no room for 60 actors"}}
	m.EtaTs, m.EtaIsEstimate = now.Add(10*time.Minute).UnixMilli(), true
	text := render(func(t *table) { rolloutRows(t, rolloutOf(m), now) })
	for _, want := range []string{
		"rollout 7 of pool p to version 12: open, paused: lunch\n", "[##############..........................]  35 %\n", "moved       30\n", "moving      5\n",
		"waiting     60, on runners of older versions: 2 drain, 1 have drained and stay\n", "asleep      9, ", "lost        3, ", "left        2, ", "(1m40s ago)\n",
		"rate        1/s (default); -0.25 may go now\n", "binds       1/s (default) binds\n", "blocked by  no_capacity: no room for 60 actors\n", "in 10m (extrapolated)\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	m.EtaTs = 0
	if text := render(func(t *table) { rolloutRows(t, rolloutOf(m), now) }); !strings.Contains(text, "not foreseeable: see what blocks") {
		t.Errorf("%s", text)
	}
	m.State, m.EndTs, m.EndReason, m.Paused = calledOff, now.UnixMilli(), "no newer runner is left", false
	m.Waiting, m.Moving = 0, 0 // as the engine says it: those that did not move are no longer its own
	m.BlockedBy = []*callboardv1.Blocker{{Code: "called_off", Message: "the next one waits"}}
	text = render(func(t *table) { rolloutRows(t, rolloutOf(m), now) })
	if !strings.Contains(text, "called off: no newer runner is left") || !strings.Contains(text, "called_off: the next one waits") ||
		strings.Contains(text, "rate") || strings.Contains(text, "%") || strings.Contains(text, "waiting") {
		t.Errorf("%s", text)
	}
	if line := rolloutOf(m).line(); strings.Contains(line, " of ") || !strings.Contains(line, "30 moved") {
		t.Errorf("it says %q", line)
	}
}

// TestAScreenIsDrawnAnew: on a terminal the block takes the place of the one before, whatever its height, and no line wraps.
func TestAScreenIsDrawnAnew(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, width: 10}
	s.show("one\ntwo\x1b[2J\n", "")
	s.show("a line that is too long\n", "")
	s.note("the end")
	s.show("more", "")
	want := "\r\x1b[Jone\ntwo?[2J\n" + "\x1b[2A\r\x1b[Ja line t…\n" + "the end\n" + "\r\x1b[Jmore\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	out.Reset()
	s = &screen{out: &out}
	s.show("block", "a")
	s.show("block", "a")
	s.show("block", "b")
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 2 || !strings.HasSuffix(lines[0], "  a") || !strings.HasSuffix(lines[1], "  b") {
		t.Errorf("%q", out.String())
	}
}
