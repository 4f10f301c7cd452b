//go:build unix

package real_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// servedPool is a serverless pool, whose actors have its name, and the endpoint that it calls.
type servedPool struct {
	*scenario
	name    string
	n       int // actors
	slots   uint32
	version uint32
	every   time.Duration // each actor saves
	door    *real.Link    // where the url leads
	process *real.Runner
}

// begin starts the endpoint, writes the pool's config and waits until all actors run.
func (p *servedPool) begin(config *callboardv1.PoolConfig) {
	p.Helper()
	at := p.address()
	p.process = p.start(real.RunnerConfig{Key: p.name, Pool: p.name, Version: p.version, Slots: p.slots, SaveEvery: p.every, Serve: at})
	var err error
	p.door, err = p.NewSwitch(at)
	p.must(err)
	config.Serverless.Url, config.Serverless.SlotsPerRunner = "http://"+p.door.Addr()+"/api/rivet", &p.slots
	_, err = p.caller.Pools.Put(p.Context(), &callboardv1.PoolServicePutRequest{Namespace: "default", Name: p.name, Config: config})
	p.must(err)
	began := time.Now()
	for i := range p.n {
		_, err := p.caller.Create(p.Context(), p.name, p.name, strconv.Itoa(i+1))
		p.must(err)
	}
	p.running()
	p.promised(fmt.Sprintf("until %d actors run, from zero", p.n), time.Since(began), 3*time.Second)
}

// address returns an address that is nobody's.
func (p *servedPool) address() string {
	p.Helper()
	port, err := p.FirstPort(0)
	p.must(err)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// start starts a process of the endpoint and waits until it listens.
func (p *servedPool) start(cfg real.RunnerConfig) *real.Runner {
	p.Helper()
	r, err := p.StartRunner(cfg)
	p.must(err)
	p.until(r.Name+" listens", func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", cfg.Serve)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	return r
}

// running waits until all actors run, and returns them.
func (p *servedPool) running() []history.Actor {
	p.Helper()
	return p.allRunning(p.name, p.n)
}

// open returns an error unless so many requests are open.
func (p *servedPool) open(ctx context.Context, want int) error {
	got, err := p.caller.Pools.ListRequests(ctx, &callboardv1.ListRequestsRequest{Namespace: "default", Pool: p.name})
	if open := len(got.GetRequests()); err == nil && open != want {
		err = fmt.Errorf("%d requests are open, want %d", open, want)
	}
	return err
}

// failure returns what the pool shows of its endpoint's failures; an error when it shows none.
func (p *servedPool) failure(ctx context.Context) (*callboardv1.EndpointError, error) {
	got, err := p.caller.Pools.Get(ctx, &callboardv1.PoolServiceGetRequest{Name: p.name})
	shown := got.GetPool().GetEndpointError()
	if err == nil && shown == nil {
		err = errors.New("it shows no error")
	}
	return shown, err
}

// failedRequests counts those that ended with an error.
func (p *servedPool) failedRequests() (failed int) {
	p.Helper()
	got, err := p.caller.Pools.ListRequests(p.Context(), &callboardv1.ListRequestsRequest{Namespace: "default", Pool: p.name, IncludeEnded: true})
	p.must(err)
	for _, q := range got.GetRequests() {
		if q.GetEnd() == callboardv1.RequestEnd_REQUEST_END_FAILED {
			failed++
		}
	}
	return failed
}

// saysWhy holds what every waiting actor is told to what the pool shows.
func (p *servedPool) saysWhy(shown *callboardv1.EndpointError) {
	p.Helper()
	waiting, err := p.caller.List(p.Context(), p.name)
	p.must(err)
	for _, a := range waiting {
		if a.State != history.StatePending {
			p.Errorf("actor %s is %s while the endpoint is away", a.ID, a.State)
			continue
		}
		why, err := p.caller.Actors.Explain(p.Context(), &callboardv1.ExplainRequest{ActorId: a.ID})
		p.must(err)
		if text := why.GetSummary() + "\n" + strings.Join(why.GetSteps(), "\n"); !strings.Contains(text, shown.GetCode()) {
			p.Errorf("actor %s does not name the error %s of its pool:\n%s", a.ID, shown.GetCode(), text)
		}
		if off := why.GetNextChangeTs() - shown.GetRetryTs(); off < -100 || off > 100 {
			p.Errorf("actor %s: %q at %d, and the endpoint is called again at %d", a.ID, why.GetNextChange(), why.GetNextChangeTs(), shown.GetRetryTs())
		}
	}
}

// movedTo returns how all actors came into a process, from whichever they were in, and when the first one stopped there; an error until they
// have.
func (p *servedPool) movedTo(process *real.Runner) (m moves, began time.Time, err error) {
	events, err := p.History()
	if err != nil {
		return m, began, err
	}
	stops := map[string]history.Event{}
	for _, e := range events {
		switch {
		case e.Name != p.name:
		case e.Kind == history.BodyStop:
			stops[e.Actor] = e
		case e.Kind == history.BodyStart && e.Process == process.Name:
			stop, written := stops[e.Actor]
			if !written {
				return m, began, errors.New("a stop is not written down yet")
			}
			if at := time.UnixMilli(stop.WallMs); began.IsZero() || at.Before(began) {
				began = at
			}
			m.stopped = append(m.stopped, time.Duration(stop.AtNs))
			m.gaps = append(m.gaps, time.Duration(e.AtNs-stop.AtNs))
			m.last = time.Duration(e.AtNs)
		}
	}
	if len(m.gaps) < p.n {
		return m, began, fmt.Errorf("%d of %d have moved", len(m.gaps), p.n)
	}
	slices.Sort(m.stopped)
	return m, began, nil
}
