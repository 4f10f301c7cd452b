package fsm_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/callboard/callboard/fsm"
)

// TestDrawingIsTheTable holds the state diagram of docs/concepts.md to the transition table, arrow by arrow.
func TestDrawingIsTheTable(t *testing.T) {
	text, err := os.ReadFile("../docs/concepts.md")
	if err != nil {
		t.Fatal(err)
	}
	var drawn []string
	for _, arrow := range regexp.MustCompile(`(?m)^\s*(\S+) --> (\S+): (.+)$`).FindAllStringSubmatch(string(text), -1) {
		for event := range strings.SplitSeq(arrow[3], ", ") {
			drawn = append(drawn, arrow[1]+" --> "+arrow[2]+": "+event)
		}
	}
	var legal []string
	for from := fsm.NoPhase; from <= fsm.Destroyed; from++ {
		for event := fsm.EventCreate; event <= fsm.EventForget; event++ {
			for _, to := range fsm.Next(from, event) {
				legal = append(legal, outside(from)+" --> "+outside(to)+": "+event.String())
			}
		}
	}
	if len(legal) == 0 {
		t.Fatal("the table has no transitions")
	}
	for _, arrow := range legal {
		if !slices.Contains(drawn, arrow) {
			t.Errorf("docs/concepts.md lacks %s", arrow)
		}
	}
	for _, arrow := range drawn {
		if !slices.Contains(legal, arrow) {
			t.Errorf("docs/concepts.md draws %s, which is not legal", arrow)
		}
	}
}

// outside names a phase as diagrams do: an actor that is not there is [*].
func outside(phase fsm.Phase) string {
	if phase == fsm.NoPhase {
		return "[*]"
	}
	return phase.String()
}
