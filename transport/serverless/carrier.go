package serverless

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Headers of a request beside those of the pool's config. The first four are the reference's.
const (
	HeaderEndpoint  = "x-rivet-endpoint"
	HeaderSlots     = "x-rivet-total-slots"
	HeaderPool      = "x-rivet-runner-name"
	HeaderNamespace = "x-rivet-namespace-name"
	HeaderRequestID = "x-callboard-request-id"
	HeaderLifespan  = "x-callboard-request-lifespan-ms" // what is left of it when the request is sent
	HeaderURLs      = "x-callboard-engine-urls"         // where the engine nodes are asked for /metadata
)

const (
	// announceEvery is how often a node tells the leader that it can carry requests.
	announceEvery = time.Second
	// endsWithin is how long a stream may take to end by itself when its runner has left.
	endsWithin = 2 * time.Second
	// retryEvery is how long a report that was not taken waits before it is told again.
	retryEvery = 250 * time.Millisecond
)

var (
	errExpired = errors.New("the lifespan of the request is over")
	errSilent  = errors.New("the stream is silent")
	errOver    = errors.New("the request is over")
)

// Views is the node's View and the news of it.
type Views interface {
	Current() *fsm.View
	Wait(ctx context.Context, until func(*fsm.View) bool) (*fsm.View, error)
}

// Reporter tells the leader. An error that is no refusal means that it may not have been heard.
type Reporter interface {
	ReportRequest(ctx context.Context, report *nodev1.RequestReport) error
	Announce(ctx context.Context) error
}

// Config is what a Carrier needs to know of its node.
type Config struct {
	Start    fsm.StartID
	Endpoint func() string // what x-rivet-endpoint says: where the runners of this cluster connect
	URLs     func() string // what x-callboard-engine-urls says
	Policy   *Policy
	Logger   *slog.Logger
}

// Carrier carries the requests that the state gives to this process. It owns the calls under way.
type Carrier struct {
	cfg      Config
	views    Views
	reporter Reporter
	calls    map[fsm.RequestID]*call // sent, and not over as far as this node knows; owned by Run
	done     chan fsm.RequestID      // calls that have returned
}

// call is one request under way.
type call struct {
	over     func() // its runner has left, or it ended otherwise: the stream should end
	returned bool
}

// New returns a Carrier; Run makes it work.
func New(cfg Config, views Views, reporter Reporter) *Carrier {
	return &Carrier{cfg: cfg, views: views, reporter: reporter, calls: map[fsm.RequestID]*call{}, done: make(chan fsm.RequestID)}
}

// Run carries requests until ctx ends. Then every stream is ended, and what lives behind it shuts down.
func (c *Carrier) Run(ctx context.Context) error {
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return c.announce(ctx) })
	tasks.Go(func() error { return c.follow(ctx) })
	return tasks.Wait()
}

// announce tells the leader again and again that this process is there, as long as there is a serverless pool.
func (c *Carrier) announce(ctx context.Context) error {
	for {
		if c.views.Current().HasServerlessPools() {
			call, cancel := context.WithTimeout(ctx, announceEvery)
			_ = c.reporter.Announce(call) // who is not heard is told again
			cancel()
		}
		if !sleep(ctx, announceEvery) {
			return nil
		}
	}
}

// follow sends what the state gives to this process, and ends what the state has ended.
func (c *Carrier) follow(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for ctx.Err() == nil {
		view := c.views.Current()
		c.settle(ctx, view, &running)
		waiting, cancel := context.WithCancel(ctx)
		go func() { // ends with its context
			defer cancel()
			_, _ = c.views.Wait(waiting, func(v *fsm.View) bool { return v.RequestsIndex() > view.RequestsIndex() })
		}()
		select {
		case id := <-c.done:
			c.calls[id].returned = true
		case <-waiting.Done():
		}
		cancel()
	}
	return nil
}

// settle begins and ends calls. A call that has returned is remembered until the View shows its request past opening: the View may be
// behind what was sent, and nothing is sent twice.
func (c *Carrier) settle(ctx context.Context, view *fsm.View, running *sync.WaitGroup) {
	open, opening := map[fsm.RequestID]bool{}, map[fsm.RequestID]bool{}
	for q := range view.AllOpenRequests() {
		if q.Start != c.cfg.Start {
			continue
		}
		open[q.ID], opening[q.ID] = true, q.Phase == fsm.RequestOpening
		if c.calls[q.ID] != nil || !opening[q.ID] {
			continue
		}
		callCtx, cancel := context.WithCancelCause(ctx)
		overed := make(chan struct{})
		c.calls[q.ID] = &call{over: sync.OnceFunc(func() { close(overed) })}
		plan := c.plan(view, q)
		running.Go(func() {
			defer cancel(nil)
			plan.run(callCtx, cancel, overed)
			select {
			case c.done <- q.ID:
			case <-ctx.Done():
			}
		})
	}
	for id, call := range c.calls {
		if !open[id] {
			call.over()
		}
		if call.returned && !opening[id] {
			delete(c.calls, id)
		}
	}
}

// errand is all that one call needs, taken from the View that began it.
type errand struct {
	carrier   *Carrier
	request   *fsm.Request
	namespace string
	pool      *fsm.Pool
	lifespan  time.Duration
}

func (c *Carrier) plan(view *fsm.View, q *fsm.Request) errand {
	p := view.RequestPool(q)
	return errand{
		carrier: c, request: q, namespace: view.PoolNamespace(p).Name, pool: p,
		lifespan: time.Duration(q.ExpireMs-view.ClockMs()) * time.Millisecond,
	}
}

// run sends the request and reads its stream until it is over.
func (e errand) run(ctx context.Context, cancel context.CancelCauseFunc, over <-chan struct{}) {
	var reports sync.WaitGroup
	defer reports.Wait()
	tell := func(r *nodev1.RequestReport) { reports.Go(func() { e.carrier.tell(ctx, e.request, r) }) }

	expires := time.AfterFunc(e.lifespan, func() { cancel(errExpired) })
	defer expires.Stop()
	reading, stop := context.WithCancel(ctx)
	defer stop()
	finished := make(chan struct{})
	defer close(finished)
	go func() { // ends with the call: `finished` is closed when it returns
		select {
		case <-over:
			timer := time.AfterFunc(endsWithin, func() { cancel(errOver) })
			defer timer.Stop()
			<-finished
		case <-finished:
		}
	}()
	tell(&nodev1.RequestReport{Report: &nodev1.RequestReport_Sent{Sent: &nodev1.RequestSent{}}})
	err := e.call(reading, cancel, func(instance string) {
		tell(&nodev1.RequestReport{Report: &nodev1.RequestReport_Claimed{Claimed: &nodev1.RequestClaimed{InstanceId: instance}}})
	})
	end := ended(ctx, err)
	select {
	case <-over:
		return // everybody knows
	default:
	}
	if ctx.Err() != nil && !end.GetExpired() && end.GetError() == nil {
		return // this node ends: it is known as gone
	}
	if end.GetError() != nil {
		e.carrier.cfg.Logger.Warn("a request to a serverless endpoint failed", "pool", e.pool.ID.Name, "namespace", e.namespace, "request", e.request.ID,
			"error", end.GetError().Error())
	}
	e.carrier.tell(context.WithoutCancel(ctx), e.request, &nodev1.RequestReport{Report: &nodev1.RequestReport_Ended{Ended: end}})
}

// call sends the request, once, and reads its events.
func (e errand) call(ctx context.Context, cancel context.CancelCauseFunc, claimed func(string)) error {
	config := e.pool.Config.GetServerless()
	request, err := newRequest(ctx, config.GetUrl(), "start", config.GetHeaders())
	if err != nil {
		return callboardv1.Refuse("serverless", "invalid_request", "the url or the headers cannot be sent: %v", err)
	}
	for name, value := range map[string]string{
		"Accept": "text/event-stream", "Cache-Control": "no-cache",
		HeaderEndpoint: e.carrier.cfg.Endpoint(), HeaderSlots: strconv.Itoa(int(e.request.Slots)), HeaderPool: e.pool.ID.Name,
		HeaderURLs: e.carrier.cfg.URLs(), HeaderNamespace: e.namespace, HeaderRequestID: e.request.ID.String(), HeaderLifespan: strconv.FormatInt(e.lifespan.Milliseconds(), 10),
	} {
		request.Header.Set(name, value)
	}
	client := e.carrier.cfg.Policy.client(answerWithin)
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		if context.Cause(ctx) != nil {
			return err
		}
		return requestError(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	if refusal := checkStart(response); refusal != nil {
		return refusal
	}
	silence := time.AfterFunc(silenceLimit, func() { cancel(errSilent) })
	defer silence.Stop()
	return (&stream{claimed: claimed}).read(&quiet{body: response.Body, timer: silence})
}

// tell reports until the leader has taken it, or has refused it.
func (c *Carrier) tell(ctx context.Context, q *fsm.Request, report *nodev1.RequestReport) {
	report.RequestId, report.StartId = q.ID[:], c.cfg.Start[:]
	ctx, cancel := context.WithTimeout(ctx, tellFor)
	defer cancel()
	for {
		err := c.reporter.ReportRequest(ctx, report)
		if err == nil {
			return
		}
		if refusal, refused := callboardv1.AsRefusal(err); refused && refusal.Name() == "cluster.not_the_carrier" {
			return
		}
		if !sleep(ctx, retryEvery) {
			return
		}
	}
}

// tellFor is how long a report is told again: by then the leader has taken the request for lost.
const tellFor = time.Minute

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
