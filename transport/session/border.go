// Package session is the engine's side of a runner's stream: it welcomes the runner, tells it what should run, and passes on what it
// reports. It owns the streams of this node and nothing else.
//
// What should run is read from the node's own View and never decided here: a session looks at the View, compares it with what it has
// sent, and sends the difference. So only committed decisions leave the node, and a change of leader breaks no stream. What a runner
// says goes to the leader through Reporter. The logic does not know its wire; wire_grpc.go is one.
//
// Package server composes it: it implements Views and Reporter.
package session

import (
	"context"
	"log/slog"
	"time"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Wire carries the messages of one stream. Receive and Send are called by one goroutine each.
//
// The context is the stream's: when it ends the stream is over, both calls return, and context.Cause tells why: a refusal, or nothing
// that the runner must know.
type Wire interface {
	// Receive waits for the runner's next message; io.EOF says that there will be none.
	Receive(ctx context.Context) (*callboardv1.ConnectRequest, error)
	// Send waits until the message is on its way.
	Send(ctx context.Context, m *callboardv1.ConnectResponse) error
}

// Views is the node's own state, as it moves.
type Views interface {
	Current() *fsm.View
	// WaitIndex waits for the View that an entry made, or a later one.
	WaitIndex(ctx context.Context, index uint64) error
	// Wait returns the first View for which the predicate holds, beginning with the current one.
	Wait(ctx context.Context, holds func(*fsm.View) bool) (*fsm.View, error)
	// Subscribe gives a channel with room for one token, which is there whenever a View was published since the last token was
	// taken whose Touched names the runner. Cancel ends it.
	Subscribe(runnerNumber uint32) (wake <-chan struct{}, cancel func())
}

// Reporter hands reports to the leader, in the order of the calls.
type Reporter interface {
	// ReadIndex returns the index of an entry proposed after the call.
	ReadIndex(ctx context.Context) (index uint64, err error)
	// Report never blocks. It refuses with callboardv1.ErrOverloaded when its queue is full; otherwise reply is called exactly once,
	// from another goroutine, after the commit and once this node's View has its index. An error means that the outcome is unknown or
	// that there was no leader. The tag of the report is the Reporter's own. The answer to a Hello may come before the View: the
	// session waits for that one itself, and gives up after ViewTimeout.
	Report(report *nodev1.SessionReport, reply func(*nodev1.SessionAnswer, error)) error
}

// What a Host allows unless its Config says otherwise.
const (
	maxStreams      = 20_000
	helloTimeout    = 5 * time.Second
	sendTimeout     = 10 * time.Second
	maxUnacked      = 128
	maxUnackedBytes = 16 << 20
	maxBacklog      = 16
	maxBacklogBytes = 4 << 20
)

// Config is what a Host needs to know. The zero value of a limit or time means its default.
type Config struct {
	Node        string          // name of this node
	EngineAddrs func() []string // gRPC addresses of the engine nodes; nil: none are told
	Logger      *slog.Logger    // nil: silent

	MaxStreams int // on this node; further ones are refused. Default 20 000

	HelloTimeout time.Duration // for the first message, and between those of one Hello. Default 5 s
	ViewTimeout  time.Duration // for the node's View to catch up. Default 2 s
	SendTimeout  time.Duration // a runner that takes or acknowledges nothing for so long is slow. Default 10 s

	MaxUnacked      int // Desired messages without receipt; further ones wait. Default 128
	MaxUnackedBytes int // one message may exceed it. Default 16 MiB
	MaxBacklog      int // batches of events that wait for the leader; nothing is read meanwhile. Default 16
	MaxBacklogBytes int // one batch may exceed it. Default 4 MiB

	Protocol          uint32 // version of the stream's protocol. Default 1
	HeartbeatFraction uint32 // heartbeats in a lost threshold. Default 5
}

func (c Config) withDefaults() Config {
	if c.EngineAddrs == nil {
		c.EngineAddrs = func() []string { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.MaxStreams, maxStreams)
	orDefault(&c.HelloTimeout, helloTimeout)
	orDefault(&c.ViewTimeout, 2*time.Second)
	orDefault(&c.SendTimeout, sendTimeout)
	orDefault(&c.MaxUnacked, maxUnacked)
	orDefault(&c.MaxUnackedBytes, maxUnackedBytes)
	orDefault(&c.MaxBacklog, maxBacklog)
	orDefault(&c.MaxBacklogBytes, maxBacklogBytes)
	orDefault(&c.Protocol, 1)
	orDefault(&c.HeartbeatFraction, 5)
	return c
}

func orDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}
