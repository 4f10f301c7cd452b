// Command testrunner is a runner for tests from outside: it takes any actor, and writes down, as JSON lines of a history, when the code
// of each life began and was about to return, and what it saved. What a runner is comes from the environment, as always. With -serve it is
// the endpoint of a serverless pool in place of one runner.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/runner"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(runner.ExitCode(err))
	}
}

func run() error {
	record := flag.String("record", "", "`file` that the history is added to")
	process := flag.String("process", "", "`name` of this process in the history")
	saveEvery := flag.Duration("save-every", 0, "how often each actor counts and saves; 0: never")
	stopStep := flag.Duration("stop-step", 0, "the stop hook of an actor takes so long times its key, a number; that of the key \"hang\" never returns")
	sleepGrace := flag.Duration("sleep-grace", runner.DefaultSleepGrace, "how long the hooks of an actor may take")
	runStop := flag.Duration("run-stop-timeout", runner.DefaultRunStopTimeout, "how long the code of an actor may take to return")
	through := flag.String("through", "", "`address` of a link that every connection goes through")
	serve := flag.String("serve", "", "`address` at which it is the endpoint of a serverless pool; empty: it is a runner")
	flag.Parse()
	if *record == "" || *process == "" {
		return &runner.ExitError{Code: runner.CodeUsage, Reason: "testrunner needs -record and -process"}
	}
	cfg, err := runner.FromEnv()
	if err != nil {
		return err
	}
	if *through != "" {
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return dialThrough(ctx, *through, addr) }
	}
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	out, err := history.Append(*record, *process)
	if err != nil {
		return err
	}
	runner.HandleAny(body{out: out, saveEvery: *saveEvery, stopStep: *stopStep}.run, runner.SleepGrace(*sleepGrace), runner.RunStopTimeout(*runStop))
	if *serve != "" {
		return errors.Join(serveCalls(*serve, cfg), out.Close())
	}
	return errors.Join(runner.Run(context.Background(), cfg), out.Close())
}

// dialThrough asks a link for a connection: it names the target in a line of its own.
func dialThrough(ctx context.Context, link, target string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", link)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, target+"\n"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

type body struct {
	out       *history.Recorder
	saveEvery time.Duration
	stopStep  time.Duration
}

// run is one life of one actor.
func (b body) run(ctx context.Context, a *runner.Actor) error {
	key, _ := a.Key()
	saved, _ := a.State()
	number, _ := strconv.ParseUint(string(saved), 10, 64) // nothing was saved before the first life
	tell := func(kind history.Kind, number uint64) {
		b.out.Record(history.Event{Kind: kind, Name: a.Name(), Key: key, Actor: a.ID(), Generation: a.Generation(), Number: number})
	}
	tell(history.BodyStart, number)
	if b.stopStep == 0 {
		defer func() { tell(history.BodyStop, 0) }()
	} else if err := b.linger(a, key, func() { tell(history.BodyStop, 0) }); err != nil {
		return err
	}
	if b.saveEvery == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(b.saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		number++
		tell(history.Saving, number)
		if a.Save(ctx, strconv.AppendUint(nil, number, 10)) == nil {
			tell(history.Saved, number)
		}
	}
}

// hang is the key of the actor whose stop never ends.
const hang = "hang"

// linger has the actor's stop take its time. Its code has returned when its hook has. The first life of each crashes: the next trouble, if
// there is one, has to wait, and shows.
func (b body) linger(a *runner.Actor, key string, stopped func()) error {
	if a.Generation() == 1 {
		stopped()
		return errors.New("the first life crashes")
	}
	a.OnSleep(func(context.Context) {
		if key == hang {
			select {} // whatever its context says
		}
		steps, _ := strconv.Atoi(key) // what is no number takes no time
		time.Sleep(time.Duration(steps) * b.stopStep)
		stopped()
	})
	return nil
}
