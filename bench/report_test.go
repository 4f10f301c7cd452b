//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFiguresHaveAPlace: a run of twenty minutes must not end with a page that it cannot write to.
func TestFiguresHaveAPlace(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	text, err := os.ReadFile("../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(page, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, figures := range []string{"FIRST FIGURES", "SECOND FIGURES"} {
		if err := replaceFigures(page, figures); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(got), "FIRST FIGURES") || strings.Count(string(got), "SECOND FIGURES") != 1 || !strings.HasPrefix(string(got), "# Benchmarks") {
		t.Errorf("the page is\n%s", got)
	}
	if err := os.WriteFile(page, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := replaceFigures(page, "third"); err == nil {
		t.Error("a page without a place was written to")
	}
}

// TestAReportSaysWhatWasMeasured: medians with their range, ratios of the same round, and nothing of what was not run.
func TestAReportSaysWhatWasMeasured(t *testing.T) {
	all := newRecord()
	for round, rate := range []float64{1000, 5000, 12_345} {
		all.add("unary/rate", rate)
		all.add("etcd/1000/rate", []float64{2000, 2500, 12_345}[round])
	}
	text := report(all, &place{busy: []float64{1, 2, 3}}, full, 3)
	for _, want := range []string{
		"| one call per actor | 5 000 | 1 000 … 12 300 | actors/s | ≥ 5 000 |",
		"| actors created, one call each : puts of etcd with 1000 clients | 1.00 | 0.500 … 2.00 | ≥ 1; 2 |",
		"something else used 2 % of the machine, at most 3 %",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "When something dies") || strings.Contains(text, "not quiet") {
		t.Errorf("it says too much:\n%s", text)
	}
	if busy := report(all, &place{busy: []float64{50}}, full, 3); !strings.Contains(busy, "not quiet") {
		t.Error("it does not say that the machine was busy")
	}
}

func TestEveryFigureHasItsRow(t *testing.T) {
	seen := map[string]bool{}
	for _, table := range tables(full) {
		for _, row := range table.rows {
			if seen[row.name] {
				t.Errorf("%s has two rows", row.name)
			}
			seen[row.name] = true
		}
	}
	for _, r := range ratioRows(full) {
		if !seen[r.over] || !seen[r.under] {
			t.Errorf("%s: its figures have no rows", r.text)
		}
	}
}

func TestTimesOfASnapshotAreReadFromTheLog(t *testing.T) {
	began, ended := snapshotTimes(`time=2026-11-26T13:00:00.000Z level=INFO msg="snapshot complete up to" component=raft index=1
time=2026-11-26T13:00:01.000Z level=INFO msg="starting snapshot up to" component=raft index=8
time=2026-11-26T13:00:03.500Z level=INFO msg="snapshot complete up to" component=raft index=8
`)
	if ended.Sub(began) != 2500*time.Millisecond {
		t.Errorf("from %v to %v", began, ended)
	}
}
