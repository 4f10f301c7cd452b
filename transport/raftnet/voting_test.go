package raftnet

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
)

// newVoter makes a voter "n1" whose log ends at index 5 of term 2 and who has asked everybody; what reaches its Raft is answered with
// yes. The other end of the network is "n2".
func newVoter(t *testing.T) (*Voting, *Disk, *MemoryTransport) {
	t.Helper()
	disk, network := NewDisk(), NewMemory()
	stores := disk.Open()
	must(t, stores.Stable.SetUint64([]byte("CurrentTerm"), 2))
	for i := uint64(1); i <= 5; i++ {
		must(t, stores.Log.StoreLog(&raft.Log{Index: i, Term: 2}))
	}
	v, err := NewVoting("n1", stores, network.Join("n1"), slog.New(slog.DiscardHandler))
	must(t, err)
	v.ready()
	v.Serve()
	t.Cleanup(func() { must(t, v.Close()) })
	go func() {
		for {
			select {
			case rpc := <-v.Consumer():
				switch rpc.Command.(type) {
				case *raft.RequestVoteRequest:
					rpc.Respond(&raft.RequestVoteResponse{Granted: true}, nil)
				case *raft.RequestPreVoteRequest:
					rpc.Respond(&raft.RequestPreVoteResponse{Granted: true}, nil)
				default:
					rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
				}
			case <-v.stop:
				return
			}
		}
	}()
	return v, disk, network.Join("n2")
}

func askVote(t *testing.T, n2 *MemoryTransport, term uint64, last Position) bool {
	t.Helper()
	var pre raft.RequestPreVoteResponse
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("n2")}
	must(t, n2.RequestPreVote("n1", "n1", &raft.RequestPreVoteRequest{RPCHeader: header, Term: term, LastLogTerm: last.Term, LastLogIndex: last.Index}, &pre))
	var vote raft.RequestVoteResponse
	must(t, n2.RequestVote("n1", "n1", &raft.RequestVoteRequest{RPCHeader: header, Term: term, LastLogTerm: last.Term, LastLogIndex: last.Index}, &vote))
	if pre.Granted != vote.Granted {
		t.Errorf("term %d, %v: pre-vote %v, vote %v", term, last, pre.Granted, vote.Granted)
	}
	return vote.Granted
}

// Below its floor a node votes as it would with its old log, which the others compare by term first.
func TestAVoterBelowItsFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, disk, n2 := newVoter(t)
		must(t, v.hear(notice{"n1", Floor{Position: Position{3, 9}}}.encode()))
		for _, c := range []struct {
			last Position
			want bool
		}{{Position{2, 5}, false}, {Position{2, 50}, false}, {Position{3, 8}, false}, {Position{3, 9}, true}, {Position{4, 6}, true}} {
			if got := askVote(t, n2, 7, c.last); got != c.want {
				t.Errorf("vote for a log that ends at %v: %v", c.last, got)
			}
		}
		if v.MayStand() == nil {
			t.Error("it may stand for election")
		}
		// Its own requests do not leave it, and its Raft hears no.
		var vote raft.RequestVoteResponse
		must(t, v.RequestVote("n2", "n2", &raft.RequestVoteRequest{Term: 7}, &vote))
		var pre raft.RequestPreVoteResponse
		must(t, v.RequestPreVote("n2", "n2", &raft.RequestPreVoteRequest{Term: 7}, &pre))
		if vote.Granted || pre.Granted {
			t.Error("it was given a vote")
		}
		if err := n2.TimeoutNow("n1", "n1", &raft.TimeoutNowRequest{}, &raft.TimeoutNowResponse{}); err == nil {
			t.Error("it was told to take over")
		}
		// The next start knows it.
		again, err := NewVoting("n1", disk.Open(), NewMemory().Join("n1"), slog.New(slog.DiscardHandler))
		must(t, err)
		if floor, last, on := again.Probation(); !on || floor != (Position{3, 9}) || last != (Position{2, 5}) {
			t.Errorf("after a restart: floor %v, log ends at %v, probation %v", floor, last, on)
		}
	})
}

// An entry of the floor's term at a lower index leaves it below; one of a later term lifts it, whatever its index: its leader had all
// that was committed before.
func TestProbationEndsAtTheFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _, n2 := newVoter(t)
		must(t, v.hear(notice{"n1", Floor{Position: Position{3, 9}}}.encode()))
		must(t, v.Log().StoreLog(&raft.Log{Index: 6, Term: 3}))
		if v.MayStand() == nil || askVote(t, n2, 7, Position{3, 8}) {
			t.Error("an entry of the floor's term ended it")
		}
		must(t, v.Log().StoreLog(&raft.Log{Index: 7, Term: 4}))
		if err := v.MayStand(); err != nil {
			t.Error(err)
		}
		if !askVote(t, n2, 7, Position{4, 8}) {
			t.Error("no vote after probation")
		}
	})
}

// What a leader has had deleted since the start is not missed, and a notice for somebody else means nothing.
func TestALegalDeletionIsNoProbation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _, _ := newVoter(t)
		must(t, v.Log().DeleteRange(4, 5))
		must(t, v.hear(notice{"n1", Floor{Position: Position{2, 5}}}.encode()))
		must(t, v.hear(notice{"n2", Floor{Position: Position{9, 9}}}.encode()))
		if err := v.MayStand(); err != nil || v.Alarms() != 0 {
			t.Errorf("%v, %d alarms", err, v.Alarms())
		}
	})
}

// A vote that the older copy has forgotten is not given twice, nor to itself.
func TestAForgottenVoteIsNotGivenTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _, n2 := newVoter(t)
		must(t, v.hear(notice{"n1", Floor{Voted: 6}}.encode()))
		if askVote(t, n2, 6, Position{2, 5}) {
			t.Error("a second vote in a term")
		}
		var pre raft.RequestPreVoteResponse
		must(t, v.RequestPreVote("n2", "n2", &raft.RequestPreVoteRequest{Term: 6}, &pre))
		if pre.Granted || pre.Term != 7 {
			t.Errorf("its own candidature in that term: granted %v, sent on to term %d", pre.Granted, pre.Term)
		}
		if !askVote(t, n2, 7, Position{2, 5}) {
			t.Error("no vote in the next term")
		}
		if _, _, on := v.Probation(); on {
			t.Error("it is on probation with a whole log")
		}
	})
}

// A node remembers as many others as the limit says, and those that are members when it starts.
func TestWhatOthersAcknowledgedIsBounded(t *testing.T) {
	a, err := newAcknowledged(nil)
	must(t, err)
	for i := range maxAcknowledged + 1 {
		a.note(fmt.Sprint(i), Floor{Position: Position{1, 1}})
	}
	if a.about(fmt.Sprint(maxAcknowledged-1)) == (Floor{}) || a.about(fmt.Sprint(maxAcknowledged)) != (Floor{}) {
		t.Error("the limit is another one")
	}
	if len(a.encode()) > ledgerSlot-ledgerHead {
		t.Error("they do not fit into the file")
	}
	a.keep([]string{"7"})
	again, err := newAcknowledged(a.encode())
	must(t, err)
	if again.about("7") == (Floor{}) || again.about("8") != (Floor{}) {
		t.Error("others are remembered than those that were kept")
	}
}

// What others have acknowledged is in the file, the newest whole version of it.
func TestTheLedgerKeepsTheNewestWholeVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), acknowledgedFile)
	l, err := openLedger(path)
	must(t, err)
	for _, content := range []string{"one", "two", "three"} {
		must(t, l.Save([]byte(content)))
	}
	load := func() string {
		again, err := openLedger(path)
		must(t, err)
		defer func() { must(t, again.close()) }()
		content, err := again.Load()
		must(t, err)
		return string(content)
	}
	if got := load(); got != "three" {
		t.Errorf("loaded %q", got)
	}
	if _, err := l.file.WriteAt([]byte("x"), int64(l.version%2)*ledgerSlot+ledgerHead); err != nil {
		t.Fatal(err)
	}
	if got := load(); got != "two" {
		t.Errorf("loaded %q after the newest was damaged", got)
	}
	must(t, l.close())
	if l.Save(make([]byte, ledgerSlot)) == nil {
		t.Error("too much was taken")
	}
}
