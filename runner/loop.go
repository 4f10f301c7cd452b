package runner

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/callboard/callboard/internal/logqueue"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// loop owns a runner's state. Everything else tells it things through post; it never waits for anybody.
type loop struct {
	cfg      Config
	runner   *Runner
	logs     *logqueue.Queue
	log      *slog.Logger // through logs: it never waits
	clock    Clock
	base     context.Context // of links and actors: ends when Run returns
	messages chan message
	closed   chan struct{} // nobody reads messages any more
	group    sync.WaitGroup

	// identity
	instanceID string
	runnerID   string // from the last Welcome
	clusterID  string // from the last Welcome

	// session
	lease         lease
	watchdog      *watchdog
	woken         chan struct{} // by the watchdog
	book          *addressBook
	current       *link // welcomed
	next          *link // dialling, or its Hello is out
	dialAt        time.Duration
	failures      int // dials in a row without a Welcome
	attempt       uint32
	stopThreshold time.Duration

	// actors
	actors       map[string]*Actor
	ended        *endedMemory
	fenced       map[*Actor]struct{} // cancelled without a stop, not returned yet
	lingering    map[string]*Actor   // abandoned, and its code has not returned
	unsettled    map[endKey]*ending  // ends without acknowledgement
	events       eventQueue
	waiting      []*waitingStart // Starts of the current stream while a Hello is out
	waitingBytes int
	drain        *Drain
	drained      bool // the engine says that the drain is finished
	drainHeard   bool // it has spoken of drains on this stream

	// the end
	shutdown *shutdown
	refused  error // set when the engine does not want this runner: it ends when its actors have
	farewell *farewell
	finished bool
	result   error

	wake time.Duration // when tick has something to do next
	exit func()        // ends the process
}

type endKey struct {
	actorID    string
	generation uint64
}

func keyOf(ref *callboardv1.ActorRef) endKey {
	return endKey{ref.GetActorId(), ref.GetGeneration()}
}

// message is what the loop is told.
type message interface{}

type (
	linkReady   struct{ link *link } // connected; it waits for its Hello
	linkMessage struct {
		link *link
		body *callboardv1.ConnectResponse
		at   time.Duration // of receipt
	}
	linkClosed struct {
		link *link
		err  error
	}
	linkLearnt struct{ targets []string }

	actorRunning struct{ actor *Actor }
	actorSays    struct {
		actor *Actor
		body  *callboardv1.ActorEvent
		reply chan<- error
	}
	actorEnded struct {
		actor *Actor
		end   ending
	}
	codeReturned struct{ actor *Actor } // abandoned code
)

// inbox is the side of the loop that links and actors see.
type inbox interface {
	// post returns false when the loop has ended.
	post(message) bool
}

func newLoop(cfg Config, r *Runner) *loop {
	logs := logqueue.New(cfg.Logger.Handler())
	l := &loop{
		cfg:           cfg,
		runner:        r,
		logs:          logs,
		log:           slog.New(logs.Handler()).With("pool", cfg.Pool, "runner_key", cfg.Key),
		clock:         cfg.Clock,
		messages:      make(chan message, inboxLength),
		closed:        make(chan struct{}),
		instanceID:    cfg.instanceID,
		book:          newAddressBook(cfg.Endpoint),
		actors:        make(map[string]*Actor),
		ended:         newEndedMemory(maxEndedMemory),
		fenced:        make(map[*Actor]struct{}),
		lingering:     make(map[string]*Actor),
		unsettled:     make(map[endKey]*ending),
		stopThreshold: 30 * time.Second,
		woken:         make(chan struct{}, 1),
	}
	l.exit = sync.OnceFunc(func() {
		logs.Flush(exitFlush)
		cfg.exit(CodeLeftActors)
	})
	l.watchdog = &watchdog{clock: l.clock, log: l.log, keep: cfg.OnLeaseLost == Keep, wake: l.woken, actors: make(map[*Actor]time.Duration)}
	if cfg.OnStuck == ExitProcess {
		l.watchdog.exit = l.exit
	}
	return l
}

func (l *loop) post(m message) bool {
	select {
	case <-l.closed:
		return false
	default:
	}
	select {
	case l.messages <- m:
		return true
	case <-l.closed:
		return false
	}
}

func (l *loop) run(ctx context.Context) error {
	var endBase context.CancelFunc
	l.base, endBase = context.WithCancel(context.WithoutCancel(ctx))
	defer endBase()
	var signals chan os.Signal
	if !l.cfg.IgnoreSignals {
		signals = make(chan os.Signal, 2)
		signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
		defer signal.Stop(signals)
	}
	l.watchdog.start()
	defer l.watchdog.close()
	ended := ctx.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := l.clock.Now()
		l.tick(now)
		l.flush(now)
		l.publish(now)
		if l.finished {
			break
		}
		l.watchdog.wakeAt(l.wake)
		timer.Reset(max(l.wake-l.clock.Now(), 0))
		select {
		case m := <-l.messages:
			l.take(m)
		case <-timer.C:
		case <-l.woken:
		case <-ended:
			ended = nil
			l.beginShutdown("the context of Run has ended")
		case s := <-signals:
			l.beginShutdown(s.String())
		case o := <-l.runner.orders:
			if o == orderKill {
				l.finish(&ExitError{Code: CodeLeftActors, Reason: reasonLeftOver, Err: ErrRunnerStopped})
			} else {
				l.beginShutdown("asked by the program")
			}
		}
	}
	l.close(endBase)
	return l.result
}

// take handles a message and those behind it, so that what they cause goes out together.
func (l *loop) take(m message) {
	for taken := 1; ; taken++ {
		now := l.clock.Now()
		l.checkLease(now) // first: a message may have waited longer than the lease
		l.handle(now, m)
		if l.finished || taken >= inboxBurst {
			return
		}
		select {
		case m = <-l.messages:
		default:
			return
		}
	}
}

func (l *loop) handle(now time.Duration, m message) {
	switch m := m.(type) {
	case linkReady:
		l.greet(now, m.link)
	case linkMessage:
		l.received(now, m)
	case linkClosed:
		l.linkEnded(now, m.link, m.err)
	case linkLearnt:
		l.book.learn(m.targets)
	case actorRunning:
		l.actorRuns(m.actor)
	case actorSays:
		l.actorAsks(m)
	case actorEnded:
		l.actorHasEnded(now, m)
	case codeReturned:
		l.codeHasReturned(now, m.actor)
	default:
		panic("runner: unknown message")
	}
}

// tick does what is due and finds out when something will be.
func (l *loop) tick(now time.Duration) {
	l.wake = now + maxSleep
	l.checkLease(now)
	l.abandonFenced(now)
	l.refuseHeld(now)
	l.minds(now)
	l.endings(now)
}

// due notes that tick has something to do at t.
func (l *loop) due(t time.Duration) { l.wake = min(l.wake, t) }

func (l *loop) finish(err error) {
	if !l.finished {
		l.finished, l.result = true, err
	}
}

// close ends everything that is still there: streams, and actors if Run ends before they have.
func (l *loop) close(endBase context.CancelFunc) {
	close(l.closed)
	for _, k := range []*link{l.current, l.next} {
		if k != nil {
			k.cancel()
		}
	}
	for _, a := range l.actors {
		a.kill(ErrRunnerStopped)
	}
	all := make(chan struct{})
	go func() {
		l.group.Wait()
		close(all)
	}()
	timer := time.NewTimer(killGrace)
	defer timer.Stop()
	select {
	case <-all:
	case <-timer.C:
		for _, a := range l.actors {
			a.giveUp()
		}
		<-all
	}
	endBase()
	l.current, l.next, l.lease.held = nil, nil, false
	l.publish(l.clock.Now())
	if l.result != nil && !errors.Is(l.result, context.Canceled) {
		l.log.Info("runner has ended", "error", l.result)
	} else {
		l.log.Info("runner has ended")
	}
	l.logs.Flush(endFlush)
}

func (l *loop) publish(now time.Duration) {
	s := Status{
		RunnerID:      l.runnerID,
		Actors:        len(l.actors),
		LeaseValid:    l.lease.valid(now),
		LostThreshold: l.lease.smallest,
		Draining:      l.drain != nil || l.shutdown != nil,
	}
	if l.current != nil {
		s.Address = l.current.addr
	}
	if s != *l.runner.status.Load() {
		l.runner.status.Store(&s)
	}
}
