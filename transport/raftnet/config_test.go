package raftnet

import (
	"testing"
	"time"
)

func TestTiming(t *testing.T) {
	must(t, DefaultTiming().Validate())
	long := DefaultTiming()
	long.LeaderLease = long.Heartbeat/2 + time.Millisecond
	if long.Validate() == nil {
		t.Fatal("a lease longer than half the heartbeat timeout was accepted")
	}
	if (Timing{}).Validate() == nil {
		t.Fatal("no timing at all was accepted")
	}
}
