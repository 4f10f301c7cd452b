//go:build unix

package real

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/jepsen/history"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Caller is a client whose calls are in the history. Any number of goroutines may call.
type Caller struct {
	*client.Client // for calls that no check looks at

	world *World
	name  string
	nodes string // that it speaks to
	calls atomic.Uint64
}

// NewCaller makes a client for some nodes; it goes on to the next when one is away.
func (w *World) NewCaller(name string, addrs []string, options ...client.Option) (*Caller, error) {
	c, err := client.New(addrs, append(w.secure(), options...)...)
	if err != nil {
		return nil, err
	}
	return &Caller{Client: c, world: w, name: w.nextName("caller-" + name), nodes: strings.Join(addrs, ",")}, nil
}

// do records a call around its making. The call fills in what its outcome says.
func (c *Caller) do(e history.Event, call func(e *history.Event) error) error {
	e.Process, e.Target, e.Call, e.Kind = c.name, c.nodes, c.calls.Add(1), history.Invoke
	c.world.Record(e)
	err := call(&e)
	e.Kind = outcome(err)
	if err != nil {
		e.Error = err.Error()
	}
	c.world.Record(e)
	return err
}

// outcome sorts what a call came to. An error that is no refusal and not one of the client's own leaves everything open.
func outcome(err error) history.Kind {
	var (
		unreachable *client.UnreachableError
		late        *client.TimeoutError
	)
	switch refusal, refused := callboardv1.AsRefusal(err); {
	case err == nil:
		return history.OK
	case errors.Is(err, callboardv1.ErrOutcomeUnknown):
		return history.Unknown
	case refused && refusal != nil, errors.As(err, &unreachable), errors.As(err, &late):
		return history.Refused
	default:
		return history.Unknown
	}
}

// Create creates an actor.
func (c *Caller) Create(ctx context.Context, pool, name, key string) (*callboardv1.Actor, error) {
	var made *callboardv1.Actor
	err := c.do(history.Event{Op: history.Create, Name: name, Key: key}, func(e *history.Event) error {
		answer, err := c.Actors.Create(ctx, &callboardv1.CreateRequest{Name: name, Key: &key, Pool: pool})
		made = answer.GetActor()
		e.Actor, e.Generation, e.Index = made.GetActorId(), made.GetGeneration(), answer.GetIndex()
		return err
	})
	return made, err
}

// GetOrCreate returns the actor that has the key, and creates it if there is none.
func (c *Caller) GetOrCreate(ctx context.Context, pool, name, key string) (*callboardv1.Actor, error) {
	var got *callboardv1.Actor
	err := c.do(history.Event{Op: history.GetOrCreate, Name: name, Key: key}, func(e *history.Event) error {
		answer, err := c.Actors.GetOrCreate(ctx, &callboardv1.GetOrCreateRequest{Name: name, Key: key, Pool: pool})
		got = answer.GetActor()
		e.Actor, e.Generation, e.Index = got.GetActorId(), got.GetGeneration(), answer.GetIndex()
		return err
	})
	return got, err
}

// Destroy ends an actor, and waits for its end.
func (c *Caller) Destroy(ctx context.Context, a history.Actor) error {
	return c.do(history.Event{Op: history.Destroy, Name: a.Name, Key: a.Key, Actor: a.ID}, func(e *history.Event) error {
		answer, err := c.Actors.Destroy(ctx, &callboardv1.DestroyRequest{ActorId: a.ID})
		e.Index = answer.GetIndex()
		if err == nil && !answer.GetEnded() {
			return callboardv1.ErrOutcomeUnknown // it is under way
		}
		return err
	})
}

// List returns all actors of a name, from linearizable readings, those that have ended lately included.
func (c *Caller) List(ctx context.Context, name string) ([]history.Actor, error) {
	var all []history.Actor
	err := c.do(history.Event{Op: history.List, Name: name}, func(e *history.Event) error {
		req := &callboardv1.ListRequest{Name: name, IncludeDestroyed: true, Limit: 1000}
		for {
			page, err := c.Actors.List(ctx, req)
			if err != nil {
				return err
			}
			for _, a := range page.GetActors() {
				all = append(all, actorOf(a))
			}
			e.Index, req.Cursor = page.GetIndex(), page.GetNextCursor()
			if req.Cursor == "" {
				e.Actors = all
				return nil
			}
		}
	})
	return all, err
}

func actorOf(a *callboardv1.Actor) history.Actor {
	state := strings.ToLower(strings.TrimPrefix(a.GetState().String(), "ACTOR_STATE_"))
	return history.Actor{ID: a.GetActorId(), Name: a.GetName(), Key: a.GetKey(), State: state, Generation: a.GetGeneration(), Runner: a.GetRunnerId()}
}

// Runners lists the runners of a pool, those that have stopped lately included, from a linearizable reading.
func (c *Caller) Runners(ctx context.Context, pool string) ([]*callboardv1.Runner, error) {
	var all []*callboardv1.Runner
	req := &callboardv1.RunnerServiceListRequest{Pool: pool, IncludeStopped: true, Limit: 1000}
	for {
		page, err := c.Client.Runners.List(ctx, req)
		if err != nil {
			return nil, err
		}
		all = append(all, page.GetRunners()...)
		if req.Cursor = page.GetNextCursor(); req.Cursor == "" {
			return all, nil
		}
	}
}
