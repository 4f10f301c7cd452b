// Package raftnet is how Raft talks and what it stores: the log, the votes and the snapshots of one node on disk, the TCP transport
// between nodes, the settings of the library, and the bridge from its logger to slog. It also holds the in-memory counterparts, a
// network with cuts and delays and a disk that survives a restart, so that a whole cluster runs inside testing/synctest.
//
// It never looks inside an entry, decides nothing about membership and starts no Raft: package server puts the pieces together.
package raftnet
