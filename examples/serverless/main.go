// Command serverless is a plain Go HTTP service that is a serverless pool: the engine calls it when actors need a runner, and it runs them
// for as long as the call lasts.
//
//	go run ./examples/serverless --listen 127.0.0.1:8080
//	callboard pool set web --url http://127.0.0.1:8080/api/rivet --request-lifespan 900
//	callboard actor create --name counter --pool web
//
// It shows counters, which go on counting when they move from one call to the next.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/callboard/callboard/examples/counter"
	"github.com/callboard/callboard/runner"
)

func main() {
	var cfg runner.Config
	listen := flag.String("listen", "127.0.0.1:8080", "`address` to listen on")
	failRate := flag.Float64("fail-rate", 0, "`share` of the calls that are answered with 500, from 0 to 1")
	flag.Func("version", "`number` of the version that is served: newer ones get actors first", number(&cfg.Version))
	flag.Func("slots", "how `many` actors one call runs; default: what the engine asks for", number(&cfg.Slots))
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("%q is no flag: see --help", flag.Arg(0))
	}
	if *failRate < 0 || *failRate > 1 {
		log.Fatalf("--fail-rate %v: want 0 to 1", *failRate)
	}

	counters := counter.Counter{Counted: func(a *runner.Actor, n uint64) {
		fmt.Printf("%s (generation %d): %d\n", a.ID(), a.Generation(), n)
	}}
	runner.Handle(counter.Name, counters.Run)
	handler := runner.ServerlessHandler(cfg)
	mux := http.NewServeMux()
	mux.HandleFunc("/api/rivet/", func(w http.ResponseWriter, r *http.Request) {
		if rand.Float64() < *failRate {
			http.Error(w, "failing on purpose (--fail-rate)", http.StatusInternalServerError)
			return
		}
		handler.ServeHTTP(w, r)
	})
	if err := serve(*listen, mux); err != nil {
		log.Fatal(err)
	}
}

func number(field *uint32) func(string) error {
	return func(text string) error {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return errors.New("want a whole number from 0 to 4294967295")
		}
		*field = uint32(n)
		return nil
	}
}

// serve ends the calls when the process is told to end: their runners hand their actors over.
func serve(addr string, handler http.Handler) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	calls, end := context.WithCancel(context.Background())
	defer end()
	server := &http.Server{Addr: addr, Handler: handler, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return calls }}
	go func() { // ends with the process
		<-ctx.Done()
		end()
		leaving, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		_ = server.Shutdown(leaving)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
