//go:build unix && race

package real

// raceEnabled: under the race detector what is built is watched too, and a race that it reports is a failure.
const raceEnabled = true
