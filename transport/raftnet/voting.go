package raftnet

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/hashicorp/raft"
)

// Voting is the rule by which a node votes whose log is shorter than it once was: an older copy of its directory, a disk that lost what
// it had promised. What it had acknowledged may have been committed with its help, so it must not elect a leader that lacks it. Such a
// node has a vote floor: the position its log once reached, as its own mark or another node says. While its log ends before the floor it
// is on probation. It does not stand for election, and it gives its vote, and its pre-vote, only to a candidate whose log reaches the
// floor. It stores and acknowledges entries as ever, and probation ends when its log has reached the floor. So it votes exactly as it
// would with its old log, and the configuration of the cluster stays as it is.
//
// It sits between Raft and the transport, for Raft itself knows no such rule. It also remembers what other nodes had, tells them when
// they come back with less, and asks them the same before this node gives its first vote. The notices travel in Raft's own messages.
type Voting struct {
	raft.Transport // the network
	preVotes       raft.WithPreVote
	id             string
	log            *slog.Logger
	stores         *Stores
	known          *acknowledged
	leaders        leaders
	passed         chan raft.RPC
	stop           chan struct{}
	stopped        sync.WaitGroup // the goroutines that run until Close
	closing        sync.Once
	serving        sync.Once

	// A mutex and not a loop: Raft's goroutines for each follower, its main loop and the network meet here, for a few instructions; only
	// a new floor is written to the disk under it, because nothing may be voted for meanwhile.
	mu      sync.Mutex
	floor   Floor
	last    Position // where the log ends
	highest Position // where it has ended at most since the start
	asked   bool     // the others have been asked what this node had
	alarms  uint64   // notices that put this node on probation
}

var (
	_ raft.Transport   = (*Voting)(nil)
	_ raft.WithPreVote = (*Voting)(nil)
	_ raft.WithClose   = (*Voting)(nil)
)

// votedKey is where the stable store keeps the latest term in which this node is said to have voted.
var votedKey = []byte("callboard.voted")

var (
	errNotAsked  = errors.New("this node has not asked the others yet what it had acknowledged: it does not vote")
	errProbation = errors.New("this node is on probation: its log ends before what it had acknowledged, and it does not stand for election")
)

// NewVoting makes the rule for a node on its stores and transport. Give it and its Log to Raft, and call Serve just before.
func NewVoting(id string, stores *Stores, transport raft.Transport, log *slog.Logger) (*Voting, error) {
	preVotes, ok := transport.(raft.WithPreVote)
	if !ok {
		return nil, errors.New("the transport knows no pre-votes")
	}
	v := &Voting{
		Transport: transport, preVotes: preVotes, id: id, log: log, stores: stores, passed: make(chan raft.RPC), stop: make(chan struct{}),
	}
	saved, err := stores.acknowledged.Load()
	if err != nil {
		return nil, fmt.Errorf("what other nodes had acknowledged: %w", err)
	}
	if v.known, err = newAcknowledged(saved); err != nil {
		log.Warn("this node does not know any more what others had acknowledged", "error", err)
	}
	if v.floor, err = stores.loadFloor(); err != nil {
		return nil, err
	}
	if v.last, err = stores.end(); err != nil {
		return nil, err
	}
	v.highest = v.last
	if v.onProbation() {
		v.alarm("at the start")
	}
	return v, nil
}

// loadFloor reads what this node must have: by its mark, and by what others have told it before.
func (s *Stores) loadFloor() (f Floor, err error) {
	mark := s.Mark()
	f.Term, f.Index = mark.Floor()
	var held Position
	held.Term, held.Index = mark.Position()
	f.Position = f.later(held)
	if f.Voted, err = s.Stable.GetUint64(votedKey); err != nil && err.Error() != "not found" { // the library's stores say it so
		return f, fmt.Errorf("votes that this node had given: %w", err)
	}
	return f, nil
}

// keepFloor has it on the disk when it returns.
func (s *Stores) keepFloor(was, now Floor) error {
	if now.Voted != was.Voted {
		if err := s.Stable.SetUint64(votedKey, now.Voted); err != nil {
			return err
		}
	}
	return s.RaiseFloor(now.Term, now.Index)
}

// end returns where the log ends, or the newest snapshot, whichever is later.
func (s *Stores) end() (p Position, err error) {
	index, err := s.Log.LastIndex()
	if err != nil {
		return p, fmt.Errorf("end of the log: %w", err)
	}
	if index > 0 {
		var entry raft.Log
		if err := s.Log.GetLog(index, &entry); err != nil {
			return p, fmt.Errorf("end of the log: %w", err)
		}
		p = Position{entry.Term, entry.Index}
	}
	snapshots, err := s.Snapshots.List()
	if err != nil {
		return p, fmt.Errorf("end of the log: %w", err)
	}
	if len(snapshots) > 0 {
		p = p.later(Position{snapshots[0].Term, snapshots[0].Index})
	}
	return p, nil
}

// Serve takes what others send from the network, until Close.
func (v *Voting) Serve() {
	v.serving.Do(func() { v.stopped.Go(v.serve) })
}

func (v *Voting) serve() {
	for {
		select {
		case rpc := <-v.Transport.Consumer():
			v.take(rpc)
		case <-v.stop:
			return
		}
	}
}

// Consumer is where Raft takes what has passed.
func (v *Voting) Consumer() <-chan raft.RPC { return v.passed }

// SetHeartbeatHandler lets heartbeats overtake the rest, as the network does.
func (v *Voting) SetHeartbeatHandler(handle func(raft.RPC)) {
	if handle == nil {
		v.Transport.SetHeartbeatHandler(nil)
		return
	}
	v.Transport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if request, ok := rpc.Command.(*raft.AppendEntriesRequest); ok {
			if err := v.hearLeader(request.Term, request.RPCHeader, request.Leader); err != nil { //nolint:staticcheck // unused by this protocol version: see notice
				rpc.Respond(nil, err)
				return
			}
		}
		handle(rpc)
	})
}

// Close ends it and the transport. Raft calls it when it shuts down.
func (v *Voting) Close() (err error) {
	v.closing.Do(func() {
		close(v.stop)
		if t, ok := v.Transport.(raft.WithClose); ok {
			err = t.Close()
		}
		v.stopped.Wait()
		err = errors.Join(err, v.save())
	})
	return err
}

// hear takes a notice for this node. The floor is on the disk when it returns.
func (v *Voting) hear(field []byte) error {
	n, ok := readNotice(field)
	if !ok || n.Node != v.id {
		return nil
	}
	return v.raise(n.Floor, "another node says so")
}

func (v *Voting) raise(told Floor, why string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.highest.Before(told.Position) {
		told.Position = Position{} // it has had that since its start: what is gone since, a leader has had deleted
	}
	if told.Voted > 0 && v.votedIn(told.Voted) {
		told.Voted = 0
	}
	was := v.onProbation()
	raised := v.floor.raise(told)
	if raised == v.floor {
		return nil
	}
	if err := v.stores.keepFloor(v.floor, raised); err != nil {
		return fmt.Errorf("vote floor: %w", err)
	}
	v.floor = raised
	if v.onProbation() && !was {
		v.alarm(why)
	}
	return nil
}

func (v *Voting) alarm(why string) {
	v.alarms++
	v.log.Error("this node's log is shorter than what it had acknowledged: it is on probation and stands for no election until it has caught up",
		"log_ends_at", v.last, "had", v.floor.Position, "known", why,
		"alarm", "an older copy of its data directory, or a disk that lost what it had promised?")
}

// votedIn reports whether this node remembers a vote in a term or is past it: then it cannot give a second one.
func (v *Voting) votedIn(term uint64) bool {
	now, err := v.stores.Stable.GetUint64(keyTerm)
	if err == nil && now > term {
		return true
	}
	voted, err := v.stores.Stable.GetUint64(keyVoteTerm)
	return err == nil && voted >= term
}

// onProbation needs the lock, as what follows.
func (v *Voting) onProbation() bool { return v.last.Before(v.floor.Position) }

// Probation tells the vote floor of a node on probation, and where its log ends.
func (v *Voting) Probation() (floor, last Position, on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.floor.Position, v.last, v.onProbation()
}

// Alarms counts how often this node has found its log shorter than it had been.
func (v *Voting) Alarms() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.alarms
}

// MayStand returns nil if this node may stand for election.
func (v *Voting) MayStand() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case !v.asked:
		return errNotAsked
	case v.onProbation():
		return errProbation
	}
	return nil
}

// mayElect reports whether this node may vote in a term for a candidate whose log ends there.
func (v *Voting) mayElect(term uint64, candidate Position) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked && term > v.floor.Voted && (!v.onProbation() || !candidate.Before(v.floor.Position))
}

// stored takes down where the log ends now.
func (v *Voting) stored(last Position) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.moved(last)
}

// reached takes down that it ends there at least.
func (v *Voting) reached(last Position) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.moved(v.last.later(last))
}

func (v *Voting) moved(last Position) {
	was := v.onProbation()
	v.last, v.highest = last, v.highest.later(last)
	if was && !v.onProbation() {
		v.log.Info("this node's log has reached what it had acknowledged: its probation has ended", "log_ends_at", v.last, "had", v.floor.Position)
		if err := v.stores.LowerFloor(); err != nil {
			v.log.Warn("the vote floor stays on the disk, and does no harm there", "error", err)
		}
		v.floor.Position = Position{}
	}
}

// Log returns the log for Raft: the rule sees what is stored.
func (v *Voting) Log() raft.LogStore { return votingLog{v.stores.Log, v} }

// Snapshots returns the snapshots for Raft: the rule sees what another node has sent.
func (v *Voting) Snapshots() raft.SnapshotStore { return votingSnapshots{v.stores.Snapshots, v} }

type votingLog struct {
	raft.LogStore
	voting *Voting
}

func (l votingLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

func (l votingLog) StoreLogs(entries []*raft.Log) error {
	if err := l.LogStore.StoreLogs(entries); err != nil {
		return err
	}
	if n := len(entries); n > 0 {
		l.voting.stored(Position{entries[n-1].Term, entries[n-1].Index})
	}
	return nil
}

// DeleteRange follows a deletion at the end of the log: Raft stores what belongs there next, or the node ends.
func (l votingLog) DeleteRange(low, high uint64) error {
	if err := l.LogStore.DeleteRange(low, high); err != nil {
		return err
	}
	l.voting.deleted(high)
	return nil
}

func (v *Voting) deleted(high uint64) {
	v.mu.Lock()
	end := v.last.Index
	v.mu.Unlock()
	if high < end {
		return // the oldest, below a snapshot
	}
	if last, err := v.stores.end(); err == nil {
		v.stored(last)
	}
}

type votingSnapshots struct {
	raft.SnapshotStore
	voting *Voting
}

func (s votingSnapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, transport raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, transport)
	if err != nil {
		return nil, err
	}
	return votingSink{sink, s.voting, Position{term, index}}, nil
}

type votingSink struct {
	raft.SnapshotSink
	voting *Voting
	ends   Position
}

// Close follows a snapshot that another node has sent: the log may end before it.
func (s votingSink) Close() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	s.voting.reached(s.ends)
	return nil
}

func (v *Voting) save() error {
	if err := v.stores.acknowledged.Save(v.known.encode()); err != nil {
		return fmt.Errorf("what other nodes have acknowledged cannot be saved: %w", err)
	}
	return v.stores.acknowledged.Sync()
}
