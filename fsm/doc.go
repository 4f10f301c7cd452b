// Package fsm is the replicated state: a value that only ops change.
//
// A View is one version of the state, immutable and safe for any number of readers. Begin opens a private Tx on it; Do applies one
// op, validating fully before it writes; Seal turns the Tx into the next View. The leader decides on a Tx (package scheduler), and
// every node applies the same ops from the log.
//
// The package is pure: no clock, no randomness, no I/O, no goroutine, no float, no log. It never chooses: an op names one decision.
// Ordinals, the dense internal addresses of rows, never leave it; a runner's number is the one exception, because heartbeats are
// committed by number.
package fsm
