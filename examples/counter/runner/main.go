// Command runner runs counters. It is all that a user's runner needs to be.
//
//	go run ./examples/counter/runner -version 1
//
// What a flag does not say comes from the environment: FromEnv says which variables it heeds.
package main

import (
	"flag"
	"fmt"
	"log"
	"strconv"

	"github.com/callboard/callboard/examples/counter"
	"github.com/callboard/callboard/runner"
)

func main() {
	cfg, err := runner.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	flag.StringVar(&cfg.Endpoint, "endpoint", cfg.Endpoint, "comma list of engine `addresses`: host:port of their gRPC, or http URLs")
	flag.StringVar(&cfg.Pool, "pool", cfg.Pool, "`pool` that the runner belongs to")
	flag.Func("version", "`number` of the runner's version: newer ones get actors first", func(text string) error {
		version, err := strconv.ParseUint(text, 10, 32)
		cfg.Version = uint32(version)
		return err
	})
	flag.StringVar((*string)(&cfg.WhenDrained), "when-drained", string(cfg.WhenDrained), "`what` follows when a newer version has drained it: exit, or stay on stand-by")
	flag.Parse()

	counters := counter.Counter{Counted: func(a *runner.Actor, n uint64) {
		fmt.Printf("%s (generation %d): %d\n", a.ID(), a.Generation(), n)
	}}
	runner.Handle(counter.Name, counters.Run)
	runner.Main(cfg)
}
