// Command runner runs counters. It is all that a user's runner needs to be.
//
//	go run ./examples/counter/runner
//
// FromEnv says which environment variables it heeds: the engine's address, the pool, the version and so on.
package main

import (
	"fmt"
	"log"

	"github.com/callboard/callboard/examples/counter"
	"github.com/callboard/callboard/runner"
)

func main() {
	counters := counter.Counter{Counted: func(a *runner.Actor, n uint64) {
		fmt.Printf("%s (generation %d): %d\n", a.ID(), a.Generation(), n)
	}}
	runner.Handle(counter.Name, counters.Run)
	cfg, err := runner.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	runner.Main(cfg)
}
