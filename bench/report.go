//go:build unix

package main

import (
	"fmt"
	"os"
	"strings"
)

// row is one line of a table: figures under a name, what they are in, and what they should be. wants is empty where nothing is aimed at.
type row struct {
	text  string
	name  string
	unit  string
	wants string // target now; the goal behind it
}

// table is some rows under a headline.
type table struct {
	title string
	note  string
	rows  []row
}

func tables(s scale) []table {
	return []table{
		{
			title: "From a create call to the actor's code", note: "Caller and runner are at the same node. In milliseconds, the median of the rounds.",
			rows: []row{
				{"leader, 1 in flight, p50", "latency/leader/1/p50", "ms", ""},
				{"leader, 1 in flight, p99", "latency/leader/1/p99", "ms", ""},
				{"follower, 1 in flight, p50", "latency/follower/1/p50", "ms", "≤ 10; 4"},
				{"follower, 1 in flight, p99", "latency/follower/1/p99", "ms", "≤ 40; 15"},
				{"leader, 64 in flight, p50", "latency/leader/64/p50", "ms", ""},
				{"leader, 64 in flight, p99", "latency/leader/64/p99", "ms", ""},
				{"follower, 64 in flight, p50", "latency/follower/64/p50", "ms", ""},
				{"follower, 64 in flight, p99", "latency/follower/64/p99", "ms", ""},
			},
		},
		{
			title: fmt.Sprintf("Sustained, with %d actors under way", s.outstanding),
			note:  "Callers at all three nodes over 30 connections, four runners. CPU is that of all three nodes.",
			rows: []row{
				{"one call per actor", "unary/rate", "actors/s", "≥ 5 000"},
				{"engine CPU per actor", "unary/cpu", "ms", "≤ 1; 0.15"},
				{"CPU of callers and runners per actor", "unary/own-cpu", "ms", ""},
				{"until the last one was known to run", "unary/settled", "s", ""},
				{"1 000 actors per call", "batch/rate", "actors/s", ""},
				{"engine CPU per actor", "batch/cpu", "ms", ""},
				{"CPU of callers and runners per actor", "batch/own-cpu", "ms", ""},
				{"until the last one was known to run", "batch/settled", "s", ""},
			},
		},
		{
			title: "Beside them, in the same rounds",
			note: "etcd: puts of 256 bytes over up to 30 connections. Raft alone: commands of 256 bytes, packed as the engine packs them, " +
				"from within the leader.",
			rows: []row{
				{"etcd, 1 client", "etcd/1/rate", "puts/s", ""},
				{"etcd, 100 clients", "etcd/100/rate", "puts/s", ""},
				{"etcd, 1000 clients", "etcd/1000/rate", "puts/s", ""},
				{"etcd, 1 client, p50", "etcd/1/p50", "ms", ""},
				{"etcd, 1 client, p99", "etcd/1/p99", "ms", ""},
				{"etcd, CPU per put, 1000 clients", "etcd/1000/cpu", "ms", ""},
				{"Raft alone, 1 writer", "bare/1/rate", "commands/s", ""},
				{"Raft alone, 1000 writers", "bare/1000/rate", "commands/s", ""},
				{fmt.Sprintf("Raft alone, %d writers", s.outstanding), fmt.Sprintf("bare/%d/rate", s.outstanding), "commands/s", ""},
			},
		},
		serverlessTable(),
		{
			title: "When something dies",
			rows: []row{
				{fmt.Sprintf("kill -9 of a runner with %d actors, until the first runs again", s.killedActors), "runner-kill/first", "s", ""},
				{"until the last runs again", "runner-kill/last", "s", ""},
				{fmt.Sprintf("kill -9 of the leader until the next write, p50 of %d", s.leaderKills), "leader-kill/p50", "s", ""},
				{"the slowest of them", "leader-kill/max", "s", ""},
			},
		},
		{
			title: fmt.Sprintf("Beside %d actors that crash as soon as they run", s.crashers),
			note: "64 callers create actors of another pool. The back-off of the crashers is that of the defaults, and their first seconds are " +
				"the worst.",
			rows: []row{
				{"created while they run", "crash-loop/without/rate", "actors/s", ""},
				{"from their first crash on", "crash-loop/with/rate", "actors/s", ""},
				{"later", "crash-loop/with, later/rate", "actors/s", ""},
				{"create to running while they run, p50", "crash-loop/without/p50", "ms", ""},
				{"p99", "crash-loop/without/p99", "ms", ""},
				{"from their first crash on, p50", "crash-loop/with/p50", "ms", ""},
				{"p99", "crash-loop/with/p99", "ms", ""},
				{"engine CPU while they run", "crash-loop/without/cpu", "% of a core", ""},
				{"engine CPU from their first crash on", "crash-loop/with/cpu", "% of a core", ""},
				{"lives of the crashers", "crash-loop/lives", "", ""},
			},
		},
		{
			title: fmt.Sprintf("%d idle runners", s.streams), note: "Spread over three nodes, at the default lost threshold of 15 s. Memory and CPU are those of all nodes.",
			rows: []row{
				{"until all were connected", "streams/connected", "s", ""},
				{"resident memory per runner", "streams/memory", "KiB", ""},
				{"CPU", "streams/cpu", "% of a core", ""},
			},
		},
		{
			title: fmt.Sprintf("%d actors in the state", s.actors), note: "One node. The actors have keys and 64 bytes of input, and wait for a runner.",
			rows: []row{
				{"made, 1 000 per call", "million/filled", "actors/s", ""},
				{"heap in use after garbage collection", "million/heap", "MiB", "≤ 600; 300"},
				{"resident memory", "million/memory", "MiB", ""},
				{"resident memory, at most", "million/peak", "MiB", ""},
				{"snapshot", "million/snapshot", "s", ""},
				{"16 writes at once during it, p50", "million/write-during/p50", "ms", ""},
				{"p99", "million/write-during/p99", "ms", ""},
				{"slowest: the stall", "million/write-during/max", "ms", "≤ 20; 5 more than otherwise"},
				{"16 writes at once otherwise, p50", "million/write-else/p50", "ms", ""},
				{"p99", "million/write-else/p99", "ms", ""},
				{"slowest", "million/write-else/max", "ms", ""},
				{"from the start to the restored snapshot", "million/restore", "s", "≤ 5; 2"},
				{"from the start to the first linearizable read", "million/restart", "s", ""},
			},
		},
	}
}

// ratio is what two figures of the same round are to each other.
type ratio struct{ text, over, under, wants string }

func ratioRows(s scale) []ratio {
	return []ratio{
		{"actors created, one call each : puts of etcd with 1000 clients", "unary/rate", "etcd/1000/rate", "≥ 1; 2"},
		{"actors created, 1 000 per call : puts of etcd with 1000 clients", "batch/rate", "etcd/1000/rate", ""},
		{"actors created, one call each : commands of Raft alone", "unary/rate", fmt.Sprintf("bare/%d/rate", s.outstanding), ""},
		{"actors created, 1 000 per call : commands of Raft alone", "batch/rate", fmt.Sprintf("bare/%d/rate", s.outstanding), ""},
		{"engine CPU per actor, one call each : CPU of etcd per put", "unary/cpu", "etcd/1000/cpu", ""},
		{"actors created beside 10 000 that crash : without them", "crash-loop/with/rate", "crash-loop/without/rate", "≥ 0.67"},
		{"create to running at a follower, p50 : etcd's put, p50", "latency/follower/1/p50", "etcd/1/p50", ""},
		{"create to running in a serverless pool, from zero, p50 : create to running at a follower, p50", "serverless/cold/p50", "latency/follower/1/p50", "≤ 6"},
	}
}

// report writes what was measured. What was not is left out.
func report(all *record, at *place, s scale, rounds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Machine: %s.\n", at)
	fmt.Fprintf(&b, "Scale: %s, %d rounds; figures are the median of the rounds, with the lowest and the highest.\n", s.name, rounds)
	fmt.Fprintf(&b, "%s\n", at.disturbance())
	for _, t := range tables(s) {
		t.write(&b, all)
	}
	writeRatios(&b, all, s)
	return b.String()
}

func (t table) write(b *strings.Builder, all *record) {
	head := false
	for _, r := range t.rows {
		values := all.of(r.name)
		if len(values) == 0 {
			continue
		}
		if !head {
			head = true
			fmt.Fprintf(b, "\n### %s\n\n", t.title)
			if t.note != "" {
				fmt.Fprintf(b, "%s\n\n", t.note)
			}
			b.WriteString("| what | median | lowest … highest | unit | target; goal |\n|---|---|---|---|---|\n")
		}
		middle, low, high := median(values)
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", r.text, number(middle), spread(low, high, len(values)), r.unit, r.wants)
	}
}

func writeRatios(b *strings.Builder, all *record, s scale) {
	head := false
	for _, r := range ratioRows(s) {
		values := all.ratios(r.over, r.under)
		if len(values) == 0 {
			continue
		}
		if !head {
			head = true
			b.WriteString("\n### Ratios\n\nOf figures of the same round: a machine that is slow for one is slow for both.\n\n")
			b.WriteString("| what | median | lowest … highest | target; goal |\n|---|---|---|---|\n")
		}
		middle, low, high := median(values)
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", r.text, number(middle), spread(low, high, len(values)), r.wants)
	}
}

func spread(low, high float64, rounds int) string {
	if rounds == 1 {
		return "once"
	}
	return number(low) + " … " + number(high)
}

// number shows three digits that count.
func number(v float64) string {
	switch {
	case v >= 1000:
		whole := int(v + 0.5)
		if v >= 10_000 {
			whole = int(v/100+0.5) * 100
		}
		return fmt.Sprintf("%d %03d", whole/1000, whole%1000)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

// The figures of the page stand between these.
const (
	figuresBegin = "<!-- figures: written by `make bench`, not by hand -->"
	figuresEnd   = "<!-- end of figures -->"
)

// replaceFigures puts a report where the last one stood.
func replaceFigures(path, text string) error {
	before, after, err := figuresOf(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(before+figuresBegin+"\n\n"+text+"\n"+figuresEnd+after), 0o644)
}

// figuresOf returns what stands before and behind the figures of a page.
func figuresOf(path string) (before, after string, err error) {
	page, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	before, rest, ok1 := strings.Cut(string(page), figuresBegin)
	_, after, ok2 := strings.Cut(rest, figuresEnd)
	if !ok1 || !ok2 {
		return "", "", fmt.Errorf("%s has no place for figures: want a line %q and a line %q", path, figuresBegin, figuresEnd)
	}
	return before, after, nil
}
