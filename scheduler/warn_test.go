package scheduler

import (
	"slices"
	"testing"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
)

// A version that is the time at which its process started is warned of. A process that does not say when it started is not: then its
// first versions, from 1, would be taken for that time.
func TestAVersionThatIsTheStartOfItsProcessIsWarnedOf(t *testing.T) {
	const startMs = wallStartMs + 400
	for _, test := range []struct {
		name    string
		version uint32
		startMs int64
		warned  bool
	}{
		{"the very second", startMs / 1000, startMs, true},
		{"shortly before", startMs/1000 - versionIsStartWithin, startMs, true},
		{"a build of yesterday", startMs/1000 - 86_400, startMs, false},
		{"a build number", 42, startMs, false},
		{"not configured", 0, startMs, false},
		{"version 1 of a process that does not say when it started", 1, 0, false},
		{"version 1 of a process that says nonsense", 1, -1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.start(&process{name: "r1", manual: true, version: test.version})
			hello := p.hello(w)
			hello.GetHello().GetHello().ProcessStartUnixMs = test.startMs
			out := w.turn(Input{Reports: []*nodev1.SessionReport{hello}})
			warned := slices.ContainsFunc(out.Warnings, func(w Warning) bool { return w.Code == WarnVersionIsStart })
			if warned != test.warned {
				t.Errorf("version %d, started at %d: warned %v, want %v", test.version, test.startMs, warned, test.warned)
			}
		})
	}
}
