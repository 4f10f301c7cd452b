//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/callboard/callboard/jepsen/real"
	"github.com/callboard/callboard/runner"
)

// arrivals is what the actors of this process's runners tell when their code begins: the worker that waits for them, by its number.
// That is the end of "create to running": the runner library has the actor and runs its code.
type arrivals struct {
	count   atomic.Int64
	waiting []chan struct{} // by worker
}

func newArrivals(workers, each int) *arrivals {
	a := &arrivals{waiting: make([]chan struct{}, workers)}
	for i := range a.waiting {
		a.waiting[i] = make(chan struct{}, each)
	}
	return a
}

// key names an actor so that its arrival finds its worker.
func (a *arrivals) key(worker int, n int64) string {
	return strconv.Itoa(worker) + "-" + strconv.FormatInt(n, 10)
}

// run is the code of every actor.
func (a *arrivals) run(ctx context.Context, actor *runner.Actor) error {
	a.count.Add(1)
	key, _ := actor.Key()
	worker, _, _ := strings.Cut(key, "-")
	if n, err := strconv.Atoi(worker); err == nil && n < len(a.waiting) {
		select {
		case a.waiting[n] <- struct{}{}:
		default: // nobody counts this one
		}
	}
	<-ctx.Done()
	return nil
}

// startRunners runs some runners in this process and returns when the engine has them. stop ends them as a crash would.
func startRunners(ctx context.Context, pool string, slots uint32, code runner.Handler, endpoints ...string) (stop func(), err error) {
	var all sync.WaitGroup
	var runners []*runner.Runner
	failed := make(chan error, len(endpoints))
	for _, endpoint := range endpoints {
		r := runner.New(runner.Config{
			Endpoint: endpoint, Pool: pool, Slots: slots, IgnoreSignals: true, Logger: slog.New(slog.DiscardHandler),
		})
		r.HandleAny(code)
		runners = append(runners, r)
		all.Go(func() { failed <- r.Run(context.WithoutCancel(ctx)) })
	}
	stop = func() {
		for _, r := range runners {
			r.Kill()
		}
		all.Wait()
	}
	ended := error(nil)
	_, err = real.Until(ctx, 3*time.Minute, "the runners are connected", func(context.Context) error {
		select {
		case ended = <-failed:
			return nil // never will they be
		default:
		}
		for i, r := range runners {
			if !r.Status().LeaseValid {
				return fmt.Errorf("runner %d of %d has no lease", i+1, len(runners))
			}
		}
		return nil
	})
	if err == nil && ended != nil {
		err = fmt.Errorf("a runner ended: %w", ended)
	}
	if err != nil {
		stop()
	}
	return stop, err
}

// runnersChild is a process with many runners, or with one that is to be killed.
func runnersChild(args []string) error {
	flags := flag.NewFlagSet("child-runners", flag.ContinueOnError)
	endpoints := flags.String("endpoints", "", "comma list; the runners take turns")
	pool := flags.String("pool", "", "")
	count := flags.Int("count", 1, "")
	slots := flags.Uint("slots", 1000, "")
	crash := flags.Bool("crash", false, "from SIGUSR1 on the actors crash as soon as they run, those that run then included")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	at := strings.Split(*endpoints, ",")
	var every []string
	for i := range *count {
		every = append(every, at[i%len(at)])
	}
	boom, begin := errors.New("crashed, as it should"), crashesFrom(ctx, *crash)
	end, err := startRunners(ctx, *pool, uint32(*slots), func(ctx context.Context, _ *runner.Actor) error {
		select {
		case <-begin:
			return boom
		case <-ctx.Done():
			return nil
		}
	}, every...)
	if err != nil {
		return errors.Join(err, ctx.Err())
	}
	<-ctx.Done()
	end()
	return nil
}

// crashesFrom returns what is closed by SIGUSR1; never, unless the actors are to crash.
func crashesFrom(ctx context.Context, crash bool) <-chan struct{} {
	begin := make(chan struct{})
	if crash {
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGUSR1)
		go func() { // ends with the process
			select {
			case <-told:
				close(begin)
			case <-ctx.Done():
			}
		}()
	}
	return begin
}
