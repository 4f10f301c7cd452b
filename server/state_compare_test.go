package server

import (
	"strings"
	"testing"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
)

// Only a majority of the voters that agree with each other stops a node, and only at an index that it remembers, in its own form.
func TestOnlyAMajorityStopsANode(t *testing.T) {
	report := func(name string, hashes ...uint64) hashReport { // index, hash, index, hash, ...
		r := hashReport{voter: true, StateHashesResponse: &nodev1.StateHashesResponse{Name: name, Form: fsm.HashForm}}
		for i := 0; i < len(hashes); i += 2 {
			r.Hashes = append(r.Hashes, &nodev1.StateHash{Index: hashes[i], Low: hashes[i+1]})
		}
		return r
	}
	without := func(r hashReport) hashReport { r.voter = false; return r }
	of := func(form uint32, r hashReport) hashReport { r.Form = form; return r }
	own := map[uint64]fsm.StateHash{7: {Low: 70}, 8: {Low: 80}, 16: {Low: 160}}
	tests := []struct {
		name    string
		voters  int
		reports []hashReport
		kind    string
		against bool
		text    []string
	}{
		{"nobody answers", 3, nil, "none", false, nil},
		{"no index in common", 3, []hashReport{report("n2", 9, 90)}, "none", false, nil},
		{"all agree", 3, []hashReport{report("n2", 7, 70, 8, 80), report("n3", 16, 160)}, "equal", false, nil},
		{"one other differs", 3, []hashReport{report("n2", 8, 80), report("n3", 8, 81)}, "different", false, []string{"index 8", "here and on n2", "on n3"}},
		{"both others agree", 3, []hashReport{report("n2", 8, 81), report("n3", 8, 81)}, "different", true, []string{"index 8", "on n2, n3", "majority of the 3 voters"}},
		{"both others differ from each other too", 3, []hashReport{report("n2", 8, 81), report("n3", 8, 82)}, "different", false, []string{"on n2", "on n3"}},
		{"both others, at different indexes", 3, []hashReport{report("n2", 7, 71), report("n3", 8, 81)}, "different", false, []string{"index 7"}},
		{"one is away", 3, []hashReport{report("n2", 8, 81)}, "different", false, []string{"index 8"}},
		{"one of two", 2, []hashReport{report("n2", 8, 81)}, "different", false, []string{"index 8"}},
		{"two of five", 5, []hashReport{report("n2", 8, 81), report("n3", 8, 81)}, "different", false, []string{"on n2, n3"}},
		{"three of five", 5, []hashReport{report("n2", 8, 81), report("n3", 8, 81), report("n4", 8, 80), report("n5", 8, 81)}, "different", true, []string{"n2, n3, n5"}},
		{"who has no vote does not count", 3, []hashReport{report("n2", 8, 81), without(report("n3", 8, 81))}, "different", false, []string{"n2, n3"}},
		{"another form says nothing", 3, []hashReport{of(fsm.HashForm+1, report("n2", 8, 81)), of(fsm.HashForm+1, report("n3", 8, 81))}, "none", false, nil},
		{"a majority at a later index", 3, []hashReport{report("n2", 7, 71, 16, 161), report("n3", 8, 80, 16, 161)}, "different", true, []string{"index 16"}},
		{"a node that is being fed has no vote itself", 3, []hashReport{report("n1", 8, 81), report("n2", 8, 81), report("n3", 8, 80)}, "different", true, []string{"n1, n2"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			j := judge(own, test.reports, test.voters)
			if j.kind() != test.kind || j.against != test.against || (j.text() == "") != (test.text == nil) {
				t.Errorf("%s, against %v: %q", j.kind(), j.against, j.text())
			}
			for _, want := range test.text {
				if !strings.Contains(j.text(), want) {
					t.Errorf("%q does not say %q", j.text(), want)
				}
			}
		})
	}
}

// Two nodes find an index that both remember, however many entries lie between them and wherever each began, and after a restore.
func TestNodesRememberTheSameIndexes(t *testing.T) {
	views := func(r *hashRing, from, to, gap uint64) {
		for i := from; i < to; i += gap {
			r.add(i, fsm.StateHash{Low: i})
		}
	}
	for _, lag := range []uint64{0, 1, 15, 17, 100, 1_000, 5_000, 20_000} {
		var ahead, behind, restored hashRing
		views(&ahead, 3, 40_000, 3)
		views(&behind, 3, 40_000-lag, 3)
		restored.restart(3*3_333, fsm.StateHash{Low: 3 * 3_333})
		views(&restored, 3*3_334, 40_000-lag, 3)
		for name, other := range map[string]*hashRing{"behind": &behind, "restored": &restored} {
			common := 0
			for index, hash := range other.all() {
				if mine, ok := ahead.all()[index]; ok && mine == hash {
					common++
				}
			}
			if common == 0 {
				t.Errorf("%d entries %s: nothing in common", lag, name)
			}
		}
		if n := len(ahead.all()); n > hashLevels*hashesPerLevel {
			t.Errorf("%d are remembered", n)
		}
	}
}
