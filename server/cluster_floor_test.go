package server

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/transport/raftnet"
)

// muted is a node's transport in memory that sends no entries to one node while it is told so: that one stays as short as it is.
type muted struct {
	*raftnet.MemoryTransport
	to *atomic.Value // of string
}

var errMuted = errors.New("this test lets no entries pass")

func (m muted) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if len(args.Entries) > 0 && string(id) == m.to.Load().(string) {
		return errMuted
	}
	return m.MemoryTransport.AppendEntries(id, target, args, resp)
}

func (m muted) InstallSnapshot(raft.ServerID, raft.ServerAddress, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse, io.Reader) error {
	return errMuted
}

// oldCopy is a cluster of three in which a follower has come to an older copy of its disk: five writes were acknowledged by the leader
// and by it, and the third node lacks them.
type oldCopy struct {
	*testCluster
	knows, short, behind string // the leader of then, the one with the copy, the one that lacks the writes
	writes               []fsm.ActorID
	mute                 *atomic.Value
}

// inOldCopy runs a test on it. All nodes have been killed; the one with the copy has its older disk already.
func inOldCopy(t *testing.T, test func(t *testing.T, c *oldCopy)) {
	t.Helper()
	mute := &atomic.Value{}
	mute.Store("")
	inClusterWith(t, 3, func(c *testCluster) {
		c.join = func(name string) raft.Transport { return muted{c.network.Join(name), mute} }
	}, func(t *testing.T, all *testCluster) {
		c := &oldCopy{testCluster: all, mute: mute, knows: all.leader().name}
		for _, name := range c.names {
			switch {
			case name == c.knows:
			case c.short == "":
				c.short = name
			default:
				c.behind = name
			}
		}
		c.putThreshold(60) // a pool, for actors to be made in
		time.Sleep(time.Second)
		c.kill(c.short)
		older := c.disks[c.short].Copy()
		c.start(c.short)
		c.isolate(c.behind)
		time.Sleep(2 * time.Second)
		leader := c.leader()
		if leader.name != c.knows {
			t.Fatalf("%s leads, %s did: this test wants it to stay", leader.name, c.knows)
		}
		for i := range 5 {
			id, err := c.create(leader, fmt.Sprintf("w%d", i))
			if err != nil {
				t.Fatal(err)
			}
			c.writes = append(c.writes, id)
		}
		time.Sleep(20 * time.Millisecond) // what a leader knows of others is in its file some milliseconds later
		for _, name := range c.names {
			c.kill(name)
		}
		c.heal()
		c.disks[c.short] = older
		test(t, c)
	})
}

// told waits until the node with the copy is on probation.
func (c *oldCopy) told() {
	c.t.Helper()
	c.eventually(300*time.Millisecond, c.short+" on probation", func() bool {
		_, _, on := c.nodes[c.short].core.voting.Probation()
		return on
	})
}

// whole checks that a leader is there and that every node has every write.
func (c *oldCopy) whole() {
	c.t.Helper()
	c.mute.Store("")
	c.leader()
	for _, name := range c.names {
		n := c.nodes[name]
		if n == nil {
			continue
		}
		for i, id := range c.writes {
			c.eventually(20*time.Second, fmt.Sprintf("write %d at %s", i, name), func() bool { return n.core.replica.Current().Actor(id) != nil })
		}
		c.eventually(20*time.Second, name+" off probation", func() bool {
			_, _, on := n.core.voting.Probation()
			return !on
		})
	}
}

// nobody checks that no node leads for a while.
func (c *oldCopy) nobody(within time.Duration) {
	c.t.Helper()
	for began := time.Now(); time.Since(began) < within; time.Sleep(10 * time.Millisecond) {
		for name, n := range c.nodes {
			if n.core.raft.State() == raft.Leader && name != c.knows {
				c.t.Fatalf("%s leads and lacks what was acknowledged", name)
			}
		}
	}
}

// The one who knows lives when the copy starts, and dies before the copy has caught up. The two others are a majority, and elect nobody:
// the copy has been told. It keeps that over a restart, and is one of the voters again once the writes are back.
func TestAnOlderCopyElectsNobodyThatLacksWhatItAcknowledged(t *testing.T) {
	for _, last := range []string{"killed", "cut off"} {
		t.Run(last, func(t *testing.T) {
			inOldCopy(t, func(t *testing.T, c *oldCopy) {
				c.mute.Store(c.short)
				c.start(c.knows)
				c.start(c.short)
				c.told()
				if last == "killed" {
					c.kill(c.knows)
				} else {
					c.isolate(c.knows)
				}
				c.start(c.behind)
				c.nobody(10 * time.Second)
				c.kill(c.short)
				c.start(c.short)
				c.nobody(10 * time.Second)
				if last == "killed" {
					c.start(c.knows)
				}
				c.heal()
				c.whole()
			})
		})
	}
}

// All nodes were dead, and start in every order, each before the next election: whoever knows tells it in time.
func TestAnOlderCopyLosesNothingInAnyOrderOfStarts(t *testing.T) {
	for order := range 6 {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			inOldCopy(t, func(t *testing.T, c *oldCopy) {
				names := []string{c.knows, c.short, c.behind}
				for left := order; len(names) > 0; {
					at := left % len(names)
					left /= len(names)
					c.start(names[at])
					names = append(names[:at:at], names[at+1:]...)
					time.Sleep(200 * time.Millisecond)
				}
				c.whole()
			})
		})
	}
}

// A quorum of whole nodes elects a leader although the third is on probation, and that one catches up and is told of no more.
func TestProbationEndsWhenTheLogHasCaughtUp(t *testing.T) {
	inOldCopy(t, func(t *testing.T, c *oldCopy) {
		c.mute.Store(c.short)
		c.start(c.knows)
		c.start(c.behind)
		leader := c.leader()
		c.start(c.short)
		c.told()
		if got := c.counted(c.nodes[c.short], "callboard_raft_probation"); got != 1 {
			t.Errorf("callboard_raft_probation is %v on probation", got)
		}
		if got := c.counted(c.nodes[c.short], "callboard_raft_short_logs_total"); got != 1 {
			t.Errorf("callboard_raft_short_logs_total is %v", got)
		}
		if got := c.nodes[c.short].core.probation(); !strings.Contains(got, "its log ends at entry") || c.nodes[c.knows].core.probation() != "" {
			t.Errorf("on probation it says %q, and a whole node %q", got, c.nodes[c.knows].core.probation())
		}
		if err := c.nodes[c.short].core.voting.MayStand(); err == nil {
			t.Error("a node on probation may stand for election")
		}
		if leader.core.raft.LeadershipTransferToServer(raft.ServerID(c.short), raft.ServerAddress(c.short)).Error() == nil {
			t.Error("a node on probation was made the leader")
		}
		c.whole()
		if got := c.counted(c.nodes[c.short], "callboard_raft_probation"); got != 0 {
			t.Errorf("callboard_raft_probation is %v after it", got)
		}
		if got := c.nodes[c.short].core.probation(); got != "" {
			t.Errorf("after it, it says %q", got)
		}
		other := c.leader()
		c.kill(other.name)
		c.leader()
	})
}

// A node that is whole is told nothing: through kills, cuts and changes of leaders no node is ever on probation.
func TestAWholeNodeIsNeverOnProbation(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.putThreshold(60)
		w := c.write(4)
		for i := range 12 {
			leader := c.leader().name
			switch i % 3 {
			case 0:
				c.kill(leader)
				time.Sleep(3 * time.Second)
				c.start(leader)
			case 1:
				c.isolate(leader)
				time.Sleep(3 * time.Second)
				c.heal()
			case 2:
				f := c.follower().name
				c.kill(f)
				time.Sleep(time.Second)
				c.start(f)
			}
			time.Sleep(3 * time.Second)
			for name, n := range c.nodes {
				if n.core.voting.Alarms() > 0 {
					t.Fatalf("%s was on probation", name)
				}
			}
		}
		w.end()
		c.check(w)
	})
}
