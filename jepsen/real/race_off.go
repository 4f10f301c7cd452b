//go:build unix && !race

package real

// raceEnabled: see race_on.go.
const raceEnabled = false
