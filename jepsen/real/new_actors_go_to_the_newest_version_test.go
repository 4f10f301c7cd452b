//go:build unix

package real_test

import (
	"github.com/callboard/callboard/jepsen/check"
	"github.com/callboard/callboard/jepsen/real"
)

const newcomer = "newcomer"

// A runner of version 2 connects. From then on new actors go there, although the others have more room, and nobody moves.
func newActorsGoToTheNewestVersion(s *scenario) {
	before := s.allRunning(room, actors)
	const slots = 20
	newest := s.run(real.RunnerConfig{Key: "newest", Pool: pool, Version: 2, Slots: slots})
	id := s.connected(pool, s.runners...)[newest.Config.Key].GetRunnerId()

	s.create(newcomer, "", slots)
	for _, a := range s.allRunning(newcomer, slots) {
		if a.Runner != id {
			s.Errorf("actor %s went to %s, which is older than %s", a.Key, a.Runner, id)
		}
	}
	s.create(newcomer, "late", 1) // the newest is full
	for _, a := range s.allRunning(newcomer, slots+1) {
		if full := a.Key == "late1"; full == (a.Runner == id) {
			s.Errorf("with the newest full, actor %s is on %s", a.Key, a.Runner)
		}
	}
	s.verdict("nobody moved", check.GenerationsUnchanged(before, s.allRunning(room, actors)))
}
