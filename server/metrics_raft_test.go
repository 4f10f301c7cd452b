package server

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestRaftIsMeasured: who leads, in which term, how far the others are, and how long they have not heard from a leader.
func TestRaftIsMeasured(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		time.Sleep(time.Second)
		synctest.Wait()
		of := func(n *testNode) map[string]float64 { return gauges(t, n) }
		index := of(leader)["callboard_raft_commit_index"]
		for _, n := range c.nodes {
			m := of(n)
			leads := 0.0
			if n == leader {
				leads = 1
			}
			if m["callboard_raft_role leader"] != leads || m["callboard_raft_role follower"] != 1-leads || m["callboard_raft_role candidate"] != 0 {
				t.Errorf("%s: %v", n.name, m)
			}
			if m["callboard_raft_term"] < 1 || m["callboard_raft_last_index"] < index || m["callboard_raft_commit_index"] < index-1 || m["callboard_inbox_length"] != 0 {
				t.Errorf("%s: %v", n.name, m)
			}
			if silence := m["callboard_raft_leader_silence_seconds"]; silence < 0 || silence > 0.5 || leads == 1 && silence != 0 {
				t.Errorf("%s has not heard from a leader for %v s", n.name, silence)
			}
		}

		term := of(leader)["callboard_raft_term"]
		c.isolate(leader.name)
		time.Sleep(5 * time.Second)
		if m := of(leader); m["callboard_raft_role leader"] != 0 || m["callboard_raft_leader_silence_seconds"] < 3 {
			t.Errorf("cut off for 5 s: %v", m)
		}
		c.heal()
		if next := of(c.leader())["callboard_raft_term"]; next <= term {
			t.Errorf("term %v after an election, %v before", next, term)
		}
	})
}

// gauges reads every gauge of a node: its name and the values of its labels.
func gauges(t *testing.T, n *testNode) map[string]float64 {
	t.Helper()
	families, err := n.told.Gather()
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			read[name] = m.GetGauge().GetValue()
		}
	}
	return read
}
