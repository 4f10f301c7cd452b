// Package server is one engine node: it puts the pure core (fsm, scheduler) and the rooms of transport together.
//
// replica.go applies the log and publishes Views. leader.go follows Raft's leadership: it runs one epoch at a time. loop.go is an
// epoch's loop: it gathers what waits, has the scheduler decide, proposes one entry, and answers when it has committed. engine.go is
// what the doors (HTTP, gRPC, sessions) see: it finds the leader, here or elsewhere. node.go composes, bootstrap.go makes a cluster
// of nodes that have met. docs/architecture.md names the other pieces.
package server
