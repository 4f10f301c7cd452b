//go:build unix

package real_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Three serverless pools of one cluster, at once: the actors of one all sleep, and are woken; the endpoint of one goes away and comes back;
// behind the url of one a newer version takes the place of a process that lives on.
//
//	CALLBOARD_SERVERLESS_LONG=1   the endpoint is killed and away for a minute, the upgrade takes half a minute (`make serverless`)
func TestServerlessPoolsRestFailAndUpgrade(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1")
	scenes := map[string]func(*servedPool){"zero": scalesToZero, "away": endpointAway, "newer": newerVersionBehindTheURL}
	var all sync.WaitGroup
	for name, scene := range scenes {
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				in := *s
				in.T = t
				scene(&servedPool{scenario: &in, name: name, n: 20, slots: 10, version: 1, every: 50 * time.Millisecond})
			})
		})
	}
	all.Wait()
	if !t.Failed() {
		s.judge("zero", "away", "newer")
	}
}

func serverlessLong() bool { return os.Getenv("CALLBOARD_SERVERLESS_LONG") != "" }

// scalesToZero has all actors sleep: no request stays open. They are woken, and are back.
func scalesToZero(p *servedPool) {
	p.begin(&callboardv1.PoolConfig{Serverless: &callboardv1.Serverless{RequestLifespan: 600}})
	for _, a := range p.running() {
		_, err := p.caller.Actors.Sleep(p.Context(), &callboardv1.SleepRequest{ActorId: a.ID})
		p.must(err)
	}
	took := p.until("no request is open", func(ctx context.Context) error { return p.open(ctx, 0) })
	p.promised("until no request is open after the last actor was put to sleep", took, 10*time.Second)
	asleep, err := p.caller.List(p.Context(), p.name)
	p.must(err)
	began := time.Now()
	for _, a := range asleep {
		if a.State != "sleeping" {
			p.Errorf("actor %s is %s", a.ID, a.State)
		}
		_, err := p.caller.Actors.Wake(p.Context(), &callboardv1.WakeRequest{ActorId: a.ID})
		p.must(err)
	}
	p.running()
	p.promised("until all run after they were woken, from zero", time.Since(began), 3*time.Second)
	p.must(p.open(p.Context(), p.n/int(p.slots)))
}

// endpointAway ends the process behind the url. The pool backs off and says so, also to who waits; when the process is back all run.
func endpointAway(p *servedPool) {
	p.begin(&callboardv1.PoolConfig{Serverless: &callboardv1.Serverless{RequestLifespan: 600}})
	away, leave := 3*time.Second, p.process.Terminate
	if serverlessLong() {
		away, leave = time.Minute, p.process.Kill
	}
	left := time.Now()
	p.must(leave())
	var shown *callboardv1.EndpointError
	_, err := real.Until(p.Context(), away+patience, fmt.Sprintf("the endpoint is away for %v, and the pool backs off", away), func(ctx context.Context) (err error) {
		shown, err = p.failure(ctx)
		if err == nil && (p.process.Running() || shown.GetCount() < 2 || time.Until(time.UnixMilli(shown.GetRetryTs())) < time.Second/2 || time.Since(left) < away) {
			err = fmt.Errorf("after %v its error is: %v", round(time.Since(left)), shown)
		}
		return err
	})
	p.must(err)
	p.saysWhy(shown)
	p.process = p.start(p.process.Config)
	due := max(0, time.Until(time.UnixMilli(shown.GetRetryTs())))
	began := time.Now()
	p.running()
	p.promised(fmt.Sprintf("until all run after the endpoint is back (it is asked again after %v)", round(due)), time.Since(began), due+3*time.Second)
	failed, most := p.failedRequests(), 1+doublings(time.Since(left))
	p.Logf("%d requests have failed within %v", failed, round(time.Since(left)))
	if failed < 2 || failed > most {
		p.Errorf("%d requests have failed within %v; a back-off of 2 s · 2^n lets %d fail at most", failed, round(time.Since(left)), most)
	}
}

// doublings returns how many waits of 2 s · 2^n, one after the other, fit into a time.
func doublings(d time.Duration) (n int) {
	for wait := 2 * time.Second; d >= wait; n, wait = n+1, 2*wait {
		d -= wait
	}
	return n
}

// newerVersionBehindTheURL leads the url to a process of a newer version, beside the old one, which lives on. The engine learns of it by
// asking, and moves the actors after the delay, at the pool's rate.
func newerVersionBehindTheURL(p *servedPool) {
	delayS, rate, pollMs := uint32(2), 20, uint64(5_000)
	if serverlessLong() {
		delayS, rate = 5, 1
	}
	micros := uint64(rate) * 1_000_000
	p.begin(&callboardv1.PoolConfig{
		ActorEvictionDelay: &delayS, ActorEvictionRateMicros: &micros,
		Serverless: &callboardv1.Serverless{RequestLifespan: 600, MetadataPollInterval: &pollMs},
	})
	next := p.process.Config
	next.Version, next.Serve = 2, p.address()
	newer := p.start(next)
	p.door.Lead(next.Serve)
	var came time.Time
	took := p.until("a runner of version 2 is there", func(ctx context.Context) error {
		runners, err := p.caller.Runners(ctx, p.name)
		for _, r := range runners {
			if at := time.UnixMilli(r.GetCreateTs()); r.GetVersion() == 2 && (came.IsZero() || at.Before(came)) {
				came = at
			}
		}
		if err == nil && came.IsZero() {
			err = fmt.Errorf("%d runners are of version 1", len(runners))
		}
		return err
	})
	p.promised("until the newer version is learnt by asking", took, time.Duration(pollMs)*time.Millisecond+2*time.Second)
	var (
		m     moves
		began time.Time
	)
	p.until("all run in the newer process", func(context.Context) (err error) {
		m, began, err = p.movedTo(newer)
		return err
	})
	m.pace(p.scenario, float64(rate))
	first := began.Sub(came)
	p.Logf("the first actor stopped %v after the newer version had come, the last one %v after that", round(first), round(m.stopped[p.n-1]-m.stopped[0]))
	if first < time.Duration(delayS)*time.Second {
		p.Errorf("the first actor was moved %v after the newer version had come; the delay is %d s", first, delayS)
	}
	p.until("the old version has no request", func(ctx context.Context) error { return p.open(ctx, p.n/int(p.slots)) })
	if !p.process.Running() {
		p.Error("the process of the old version has ended; it was to live on")
	}
}
