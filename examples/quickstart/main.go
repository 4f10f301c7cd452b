// Command quickstart is a runner with one kind of actor: a greeter that counts, and remembers where it was.
package main

import (
	"context"
	"fmt"
	"log"
	"strconv"
	"time"

	"github.com/callboard/callboard/runner"
)

func main() {
	runner.Handle("greeter", greet)
	cfg, err := runner.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	runner.Main(cfg) // until Ctrl-C or SIGTERM; the exit code says why it ended
}

// greet is one life of one actor. It must return when its context ends.
func greet(ctx context.Context, a *runner.Actor) error {
	key, _ := a.Key()
	saved, _ := a.State()
	count, _ := strconv.Atoi(string(saved)) // nothing was saved before the first life
	for {
		select {
		case <-time.After(time.Second):
			count++
			fmt.Printf("hello %s, number %d (generation %d)\n", key, count, a.Generation())
			if err := a.Save(ctx, []byte(strconv.Itoa(count))); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}
