package runner_test

import (
	"context"
	"encoding/json"
	"log"
	"time"

	"github.com/callboard/callboard/runner"
)

// A whole runner: actors that count and remember where they were.
func Example() {
	runner.Handle("counter", func(ctx context.Context, a *runner.Actor) error {
		var count int
		if saved, _ := a.State(); saved != nil {
			if err := json.Unmarshal(saved, &count); err != nil {
				return err
			}
		}
		a.OnSleep(func(ctx context.Context) { // the last word before a sleep, a move or a shutdown
			saved, _ := json.Marshal(count)
			if err := a.Save(ctx, saved); err != nil {
				log.Printf("%s: the count of this life is lost: %v", a.ID(), err)
			}
		})
		for {
			select {
			case <-time.After(time.Second):
				count++
			case <-ctx.Done():
				return nil
			}
		}
	}, runner.SleepGrace(5*time.Second))

	cfg, err := runner.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	runner.Main(cfg)
}

// Several runners in one process, each with handlers of its own.
func ExampleNew() {
	r := runner.New(runner.Config{Endpoint: "10.0.0.1:6421,10.0.0.2:6421", Pool: "rooms", Version: 3, Slots: 50, IgnoreSignals: true})
	r.HandleAny(func(ctx context.Context, a *runner.Actor) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	ctx, stop := context.WithCancel(context.Background())
	defer stop() // moves the actors away; Run returns when they have gone
	if err := r.Run(ctx); err != nil {
		log.Print(err)
	}
}

// A move that is announced: finish the round before it.
func ExampleActor_Draining() {
	runner.Handle("match", func(ctx context.Context, a *runner.Actor) error {
		select {
		case <-a.Draining():
			if d, ok := a.Drain(); ok {
				log.Printf("%s moves because of %s, planned at %v", a.ID(), d.Cause, d.Due)
			}
		case <-ctx.Done():
		}
		<-ctx.Done()
		return nil
	})
}
