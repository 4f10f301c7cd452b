package scheduler

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Stories are scripts in testdata/<topic>. A directive does one thing and prints what came of it: the answer, then every entry that
// was committed, with its time on the cluster clock and its ops. Run with -rewrite to write the results anew, and read the difference.
//
//	start r1 version=2 slots=3 pool=p key=k    a process starts and connects. It obeys, reports and heartbeats by itself;
//	                                           with `manual` a story speaks for it, and it only heartbeats
//	hello r1 running=(a1/1) ended=(a2/1:clean) it connects again, saying what it has; slots= and version= change it
//	say r1 running a1                          one event: running, stopped, finished, refused, crashed, abandoned, fenced, sleep,
//	                                           alarm in=10s or at=MS or neither, save
//	broken|draining|goodbye|kill|silence|hear r1
//	heartbeat r1 threshold=20s                 one more heartbeat now
//	create a1 key=k pool=p policy=sleep idem=i, get-or-create, destroy, sleep, wake a1
//	pool p lost=20s placement=binpack drain=true delay=5 period=60 rate=0.5, delete-pool p, namespace n, settings name=value
//	hold p version=2 reason=bad, release p version=2, undrain key=k
//	drain r1 deadline=1m force keep, undrain r1, pause p, resume p, reschedule a1
//	rollout p, plan p to=2 slots=5             how a rollout stands, what one would do
//	moves p for=60s                            time passes, and what was evicted in each second is plotted
//	carriers n1 n2                             which nodes carry requests; function p version=2 slots=3 cold=1s fails=CODE, mute, early,
//	                                           stays: how the endpoint of a pool answers; requests p; polled p version=2 index=1 fails=CODE
//	batch                                      the directives in its input, one a line, in one Step
//	advance 15s                                time passes; wall 1h: the wall clock is set forward
//	actors, runners, why a1, loop a1 times=12  print what is; runners when=seen: and when each was heard
type story struct {
	*world
}

func TestStories(t *testing.T) {
	topics, err := filepath.Glob("testdata/*")
	if err != nil || len(topics) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, topic := range topics {
		if base := filepath.Base(topic); base == "rapid" || base == "logs" {
			continue // what a failed property left there, and recorded logs
		}
		t.Run(filepath.Base(topic), func(t *testing.T) {
			datadriven.Walk(t, topic, func(t *testing.T, path string) {
				s := &story{world: newWorld(t)}
				recorder.called(s.world, strings.TrimPrefix(path, "testdata/"))
				datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
					s.t = t
					return s.run(d)
				})
			})
		})
	}
}

// line is one directive, or one line of a batch.
type line struct {
	s     *story
	cmd   string
	names []string
	args  map[string][]string
}

func (s *story) line(cmd string, args []datadriven.CmdArg) line {
	l := line{s: s, cmd: cmd, args: map[string][]string{}}
	for _, a := range args {
		if len(a.Vals) == 0 {
			l.names = append(l.names, a.Key)
		}
		l.args[a.Key] = a.Vals
	}
	return l
}

func (l line) has(key string) bool { _, ok := l.args[key]; return ok }

func (l line) text(key, otherwise string) string {
	if vals := l.args[key]; len(vals) > 0 {
		return vals[0]
	}
	return otherwise
}

func (l line) number(key string, otherwise int64) int64 {
	if !l.has(key) {
		return otherwise
	}
	n, err := strconv.ParseInt(l.text(key, ""), 10, 64)
	if err != nil {
		l.s.t.Fatalf("%s: %s: %v", l.cmd, key, err)
	}
	return n
}

func (l line) ms(key string) int64 { return l.s.parseMs(l.text(key, "0")) }

func (s *story) parseMs(text string) int64 {
	if text == "0" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	return d.Milliseconds()
}

func (l line) name(i int) string {
	if i >= len(l.names) {
		l.s.t.Fatalf("%s: say what", l.cmd)
	}
	return l.names[i]
}

func (s *story) run(d *datadriven.TestData) string {
	l := s.line(d.Cmd, d.CmdArgs)
	s.trace.Reset()
	var out string
	switch d.Cmd {
	case "batch":
		out = s.batch(d.Input)
	case "advance":
		s.advance(s.parseMs(l.name(0)))
	case "wall":
		s.wallSkew += s.parseMs(l.name(0))
		s.turn(Input{})
	case "actors":
		return s.showActors()
	case "runners":
		return s.showRunners(l.has("when"))
	case "rollout":
		return s.showRollout(l)
	case "drains":
		return s.showDrain(l)
	case "plan":
		return s.showPlan(l)
	case "moves":
		return s.plotMoves(l)
	case "requests":
		return s.showRequests(l.name(0))
	case "carriers":
		s.carriersAre(l.names...)
		s.turn(Input{})
	case "function":
		out = l.function()
	case "why":
		return s.why(l.name(0))
	case "loop":
		return s.loop(l.name(0), int(l.number("times", 1)), l.ms("runs"))
	default:
		out = s.together([]line{l})
	}
	return s.named(out) + s.trace.String()
}

// named puts names in the place of ids.
func (s *story) named(text string) string {
	return ids.ReplaceAllStringFunc(text, func(id string) string {
		parsed, _ := fsm.ParseID(id)
		if label, ok := s.labels[parsed]; ok {
			return label
		}
		return id
	})
}

var ids = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func (s *story) batch(input string) string {
	var lines []line
	for _, text := range strings.Split(input, "\n") {
		cmd, args, err := datadriven.ParseLine(text)
		if err != nil {
			s.t.Fatalf("%v", err)
		}
		l := s.line(cmd, args)
		times := int(l.number("times", 1))
		for i := range times {
			each := s.line(cmd, args)
			if times > 1 {
				each.names = append([]string{fmt.Sprintf("%s%d", l.name(0), i+1)}, l.names[1:]...)
			}
			lines = append(lines, each)
		}
	}
	return s.together(lines)
}

// together gives all lines to one Step and prints their answers.
func (s *story) together(lines []line) string {
	var in Input
	printers := make([]func(Output) string, len(lines))
	for i, l := range lines {
		printers[i] = s.input(&in, l)
	}
	out := s.turn(in)
	var answers []string
	for _, print := range printers {
		if answer := print(out); answer != "" {
			answers = append(answers, answer)
		}
	}
	return joined(summary(answers))
}

func joined(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// input adds what a line says to the input of a Step, and returns what prints the answer.
func (s *story) input(in *Input, l line) func(Output) string {
	if c := l.command(); c != nil {
		n := len(in.Commands)
		in.Commands = append(in.Commands, Command{Command: c, IdempotencyKey: l.text("idem", ""), Principal: l.text("as", "")})
		return func(out Output) string { return s.answerText(out.Commands[n]) }
	}
	p, report := l.processDoes()
	if report == nil {
		return func(Output) string { heard := p.heard; p.heard = ""; return heard }
	}
	n := len(in.Reports)
	in.Reports = append(in.Reports, report)
	return func(out Output) string { return s.reportText(p, report, out.Reports[n]) }
}

func (s *story) answerText(a Answer) string {
	switch {
	case a.Refusal != nil:
		return refusalText(a.Refusal)
	case a.Success.GetCreated():
		return "created " + s.label(a.Success.GetId())
	case len(a.Success.GetWarnings()) > 0:
		return "ok, warned: " + strings.Join(a.Success.GetWarnings(), "; ")
	case len(a.Success.GetId()) > 0:
		return "ok " + s.label(a.Success.GetId())
	}
	return "ok"
}

func refusalText(e *callboardv1.Error) string { return "refused " + e.Name() + ": " + e.GetMessage() }

func (s *story) reportText(p *process, report *nodev1.SessionReport, answer *nodev1.SessionAnswer) string {
	p.answered(s.world, report, answer)
	var text []string
	if answer.GetRefusal() != nil {
		again := ", for good"
		if answer.GetRetry() {
			again = ", may dial again"
		}
		text = append(text, refusalText(answer.GetRefusal())+again)
	}
	for _, refused := range answer.GetRefusedEvents() {
		id, _ := fsm.ParseID(refused.GetRef().GetActorId())
		text = append(text, fmt.Sprintf("%s/%d %s", s.label(id[:]), refused.GetRef().GetGeneration(), refusalText(refused.GetError())))
	}
	return strings.Join(text, "\n")
}

func (s *story) showActors() string {
	var all []string
	for ns := range s.view.Namespaces("") {
		for name := range s.view.ActorNames(ns, "") {
			var lines []string
			for a := range s.view.Actors(ns, name, 0) {
				lines = append(lines, s.actorLine(s.label(a.ID[:]), a))
			}
			slices.Reverse(lines)
			all = append(all, lines...)
		}
	}
	return joined(summary(all))
}

func (s *story) showRunners(when bool) string {
	var all []string
	for ns := range s.view.Namespaces("") {
		var lines []string
		for r := range s.view.Runners(ns, 0) {
			text := s.runnerLine(r)
			if when {
				text += fmt.Sprintf(", seen at %d ms", s.view.LastSeenMs(r))
			}
			lines = append(lines, text)
		}
		slices.Reverse(lines)
		all = append(all, lines...)
	}
	return joined(all)
}

func (s *story) why(name string) string {
	d := s.actor(name).Decision
	text := fmt.Sprintf("%s; runners=%d with room=%d of its version=%d, version %d", Rule(d.Rule), d.InPool, d.Eligible, d.Newest, d.Version)
	if up := s.view.RunnerByNumber(d.RunnerUp); up != nil {
		text += ", then " + s.label(up.ID[:])
	}
	return text + "\n"
}

// loop has an actor crash again and again, each time when it has run for a while, and prints how long it waited after each.
func (s *story) loop(name string, times int, runsMs int64) string {
	var text strings.Builder
	for range times {
		a := s.actor(name)
		r := s.view.RunnerByNumber(a.Runner)
		if a.Phase != fsm.Running || r == nil {
			return text.String() + s.actorLine(name, a) + "\n"
		}
		s.advance(runsMs)
		for _, p := range s.processes {
			if p.runner == r.ID {
				p.finish(s.world, a.Ref(), false)
			}
		}
		s.trace.Reset()
		s.turn(Input{})
		for _, l := range strings.Split(s.trace.String(), "\n") {
			if strings.Contains(l, "stopped") {
				text.WriteString(strings.TrimSpace(l) + "\n")
			}
		}
		if a := s.actor(name); a.Phase == fsm.BackingOff {
			s.advance(a.DueMs - s.clockMs)
		}
	}
	return text.String()
}
