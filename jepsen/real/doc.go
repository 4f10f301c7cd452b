//go:build unix

// Package real runs the built binary, as many processes as a scenario needs, and does to them what happens to processes: it kills,
// freezes, restarts and wipes them, and cuts them off. It returns errors and knows nothing of tests; its own tests are the scenarios.
//
// A World owns every process, port and file of a run. What happens in it is in its history, which check judges.
package real
