package raftnet

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
)

// Timing is how fast Raft notices things. All nodes of a cluster should agree on it.
type Timing struct {
	Heartbeat   time.Duration // silence of the leader after which a follower asks for votes; up to twice that, at random
	Election    time.Duration // how long a candidate waits for votes
	LeaderLease time.Duration // silence of a majority after which a leader steps down
	Commit      time.Duration // how long a follower waits at most for news of a commit when no further entry brings it
}

// DefaultTiming is for nodes in one region.
func DefaultTiming() Timing {
	return Timing{
		Heartbeat:   500 * time.Millisecond,
		Election:    500 * time.Millisecond,
		LeaderLease: 250 * time.Millisecond,
		Commit:      5 * time.Millisecond,
	}
}

// Validate refuses a timing that Raft would refuse, or under which an old leader could outlive the election of the next.
func (t Timing) Validate() error {
	if t.LeaderLease > t.Heartbeat/2 {
		return fmt.Errorf("leader lease %s: at most half the heartbeat timeout %s", t.LeaderLease, t.Heartbeat)
	}
	config := Config("node", t, slog.New(slog.DiscardHandler))
	return raft.ValidateConfig(config)
}

// Config is the library's configuration for the node with this id. Callers may still change it before they start Raft.
func Config(id string, timing Timing, log *slog.Logger) *raft.Config {
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(id)
	config.Logger = Hclog(log, "raft")
	config.HeartbeatTimeout = timing.Heartbeat
	config.ElectionTimeout = timing.Election
	config.LeaderLeaseTimeout = timing.LeaderLease
	config.CommitTimeout = timing.Commit

	// One append carries at most 32 entries of at most 1 MiB: a follower that catches up must store it before the RPC times out.
	config.MaxAppendEntries = 32
	// One entry is in flight, so an uncommitted tail is a handful of entries; a leader that compacted into a follower's tail would
	// send it the same snapshot for ever (hashicorp/raft#697).
	config.TrailingLogs = 10_240
	config.SnapshotThreshold = 8_192
	config.SnapshotInterval = 30 * time.Second
	// A leader that was removed steps down; when its process ends is the server's decision.
	config.ShutdownOnRemove = false
	config.NoLegacyTelemetry = true
	return config
}
