package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
	"github.com/callboard/callboard/transport/serverless"
)

const (
	// maxPollsAtOnce bounds how many endpoints a leader asks at once.
	maxPollsAtOnce = 32
	// pollerLooksEvery is how soon a new url is asked for its metadata.
	pollerLooksEvery = time.Second
)

// poller asks the endpoints of serverless pools for their versions: a task of the leader's, so that one node asks each.
type poller struct {
	log    *slog.Logger
	engine *engine
	policy *serverless.Policy
}

// poll is when an endpoint is asked next.
type poll struct {
	endpoint uint64 // fingerprint of its url and headers
	at       time.Time
	asking   bool
}

// run lasts as long as an epoch.
func (p *poller) run(ctx context.Context) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	next := map[fsm.PoolID]*poll{}
	answered := make(chan fsm.PoolID)
	room := maxPollsAtOnce
	tick := time.NewTicker(pollerLooksEvery)
	defer tick.Stop()
	for {
		room -= p.ask(ctx, next, room, &asking, answered)
		select {
		case <-tick.C:
		case id := <-answered:
			room++
			if n := next[id]; n != nil {
				n.asking = false
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// ask begins the polls that are due, and returns how many.
func (p *poller) ask(ctx context.Context, next map[fsm.PoolID]*poll, room int, asking *sync.WaitGroup, answered chan<- fsm.PoolID) (begun int) {
	view, now := p.engine.replica.Current(), time.Now()
	there := map[fsm.PoolID]bool{}
	for _, pool := range view.ServerlessPools() {
		there[pool.ID] = true
		n := next[pool.ID]
		if n == nil {
			n = &poll{}
			next[pool.ID] = n
		}
		if n.endpoint != pool.EndpointFingerprint() {
			n.endpoint, n.at = pool.EndpointFingerprint(), now
		}
		if n.asking || now.Before(n.at) || begun == room {
			continue
		}
		n.asking, n.at = true, now.Add(time.Duration(view.MetadataPollMs(pool))*time.Millisecond)
		begun++
		asking.Go(func() {
			if _, err := p.refresh(ctx, pool, view); err != nil && ctx.Err() == nil {
				p.log.Debug("a poll of a serverless endpoint was not written down", "pool", pool.ID.Name, "error", err)
			}
			select {
			case answered <- pool.ID:
			case <-ctx.Done():
			}
		})
	}
	for id := range next {
		if !there[id] {
			delete(next, id)
		}
	}
	return begun
}

// RefreshEndpoint asks the endpoint of a pool now, on whichever node it is called.
func (p *poller) RefreshEndpoint(ctx context.Context, pool *fsm.Pool, view *fsm.View) (*callboardv1.EndpointCheck, error) {
	return p.refresh(ctx, pool, view)
}

// CheckEndpoint asks any url for its metadata, under the rules that hold for pools.
func (p *poller) CheckEndpoint(ctx context.Context, url string, headers []*callboardv1.Header) (*callboardv1.EndpointCheck, *callboardv1.Error) {
	fields, refusal := scheduler.CheckEndpoint(url, headers)
	if refusal != nil {
		return nil, refusal
	}
	return serverless.Check(ctx, p.policy, url, fields), nil
}

// refresh asks an endpoint once, and has what it says written down.
func (p *poller) refresh(ctx context.Context, pool *fsm.Pool, view *fsm.View) (*callboardv1.EndpointCheck, error) {
	config := pool.Config.GetServerless()
	check := serverless.Check(ctx, p.policy, config.GetUrl(), config.GetHeaders())
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	_, err := p.engine.Submit(ctx, &nodev1.SubmitRequest{
		Command: &nodev1.Command{Command: &nodev1.Command_EndpointPolled{EndpointPolled: &nodev1.EndpointPolled{
			Namespace: view.PoolNamespace(pool).Name, Pool: pool.ID.Name, Endpoint: pool.EndpointFingerprint(), Index: view.Index(), Check: check,
		}}},
		Principal: enginePrincipal,
	})
	return check, err
}
