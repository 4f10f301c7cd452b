//go:build unix

package main

import (
	"context"
	"time"
)

// benchCase is one measurement, or several that share their processes.
type benchCase struct {
	name  string
	about string
	once  bool // long, and not compared with others: it runs in the first round only
	run   func(ctx context.Context, b *bench) error
}

// cases in the order of a round: what is compared stands side by side.
var cases = []benchCase{
	{name: "latency", about: "create to running at 1 and 64 in flight, everything at the leader and at a follower", run: latency},
	{name: "unary", about: "sustained create to running, one call per actor", run: unary},
	{name: "batch", about: "sustained create to running, 1 000 actors per call", run: batch},
	{name: "etcd", about: "three nodes of etcd: puts of 256 bytes from 1, 100, 1000 clients", run: etcd},
	{name: "bare", about: "three nodes of Raft on the engine's own stores, commands packed into entries", run: bare},
	{name: "serverless", about: "create to running behind an HTTP endpoint, from zero and with room, and 1 000 actors at once", run: serverless},
	{name: "runner-kill", about: "kill -9 of a runner with 1 000 actors until the last runs again", once: true, run: runnerKill},
	{name: "leader-kill", about: "kill -9 of the leader until the next write", once: true, run: leaderKill},
	{name: "crash-loop", about: "10 000 actors that crash as soon as they run, beside others that are created", once: true, run: crashLoop},
	{name: "streams", about: "10 000 idle runners: memory and CPU", once: true, run: streams},
	{name: "million", about: "a million actors in the state: memory, snapshot, restore", once: true, run: million},
}

// scale is how long and how large.
type scale struct {
	name         string
	warmUp       time.Duration
	window       time.Duration // of a rate
	latency      time.Duration // of a latency case
	coldStarts   int
	outstanding  int
	killedActors int
	leaderKills  int
	crashers     int
	streams      int
	idleFor      time.Duration
	actors       int
}

var (
	full = scale{
		name: "full", warmUp: 2 * time.Second, window: 8 * time.Second, latency: 4 * time.Second, coldStarts: 200, outstanding: 16_384,
		killedActors: 1_000, leaderKills: 10, crashers: 10_000, streams: 10_000, idleFor: 30 * time.Second, actors: 1_000_000,
	}
	quick = scale{
		name: "quick", warmUp: time.Second, window: 3 * time.Second, latency: 2 * time.Second, coldStarts: 50, outstanding: 16_384,
		killedActors: 1_000, leaderKills: 2, crashers: 10_000, streams: 1_000, idleFor: 5 * time.Second, actors: 50_000,
	}
)
