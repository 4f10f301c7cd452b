package server

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// turnOfSuccessor is how long each further successor waits for the one before it.
	turnOfSuccessor = 100 * time.Millisecond
	// goneTries and goneAgain: a process that is being killed closes its connections before its listener, or after.
	goneTries = 5
	goneAgain = 10 * time.Millisecond
	// successionPause is how long a node leaves a leader alone that it has taken for gone: if it was wrong, it disturbs once and not for ever.
	successionPause = 10 * time.Second
)

// witness is what a transport tells about nodes whose process is gone.
type witness interface {
	Broken() <-chan struct{} // a token: a connection from another node has ended
	Gone(id raft.ServerID, at raft.ServerAddress) bool
	Campaign() error // this node asks for votes at once
}

// succession follows a leader whose process is gone without waiting for the heartbeat time-out. A time-out has to be long, for a busy
// leader is silent too; a connection that ended, with nobody at the address any more, is proof. Where there is no such proof (the machine
// is gone, the network is cut, the process hangs) the time-outs decide as ever.
//
// It is only ever a shortcut to an election: terms and votes keep it safe, and the worst mistake costs one change of leader.
type succession struct {
	log     *slog.Logger
	self    raft.ServerID
	raft    *raft.Raft
	voters  func() []raft.ServerID
	witness witness

	mayStand func() error // nil: this node may stand for election
}

func (s *succession) run(ctx context.Context) error {
	last := map[raft.ServerID]time.Time{} // when this node has taken which leader for gone
	for {
		select {
		case <-s.witness.Broken():
		case <-ctx.Done():
			return nil
		}
		at, leader := s.raft.LeaderWithID()
		if leader == "" || leader == s.self || time.Since(last[leader]) < successionPause && !last[leader].IsZero() {
			continue
		}
		if s.gone(ctx, leader, at) {
			last[leader] = time.Now()
			s.succeed(ctx, leader)
		}
	}
}

func (s *succession) gone(ctx context.Context, leader raft.ServerID, at raft.ServerAddress) bool {
	for range goneTries {
		if s.witness.Gone(leader, at) {
			return true
		}
		if !sleep(ctx, goneAgain) {
			return false
		}
	}
	return false
}

// succeed asks for votes when it is this node's turn and nobody leads by then: not all at once, or nobody gets a majority. A later one
// has its turn when the earlier ones failed, as one does whose log is behind.
func (s *succession) succeed(ctx context.Context, gone raft.ServerID) {
	voters := slices.DeleteFunc(s.voters(), func(id raft.ServerID) bool { return id == gone })
	slices.Sort(voters)
	turn := slices.Index(voters, s.self)
	if turn < 0 || s.mayStand() != nil || !sleep(ctx, time.Duration(turn)*turnOfSuccessor) {
		return
	}
	if _, leader := s.raft.LeaderWithID(); leader != gone && leader != "" || s.raft.State() != raft.Follower {
		return
	}
	s.log.Info("the leader's process is gone: asking for votes at once", "leader", gone)
	if err := s.witness.Campaign(); err != nil {
		s.log.Warn("asking for votes at once failed: the heartbeat time-out decides", "error", err)
	}
}

// sleep tells whether the time has passed, and not the context's.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
