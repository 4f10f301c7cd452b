// Package crowd is very many runners at little cost: each has a connection of its own, says Hello, beats, and dials again as the runner
// library does, and none can run an actor. It is there to find out what runners cost an engine, so it must cost little itself: it
// speaks just as much HTTP/2 as a session needs, on one goroutine and a few kilobytes for each runner.
package crowd
