package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/callboard/callboard/runner"
)

// leaveWithin is how long the calls may take to end when the process is told to.
const leaveWithin = 2 * time.Minute

// serveCalls is the endpoint of a serverless pool until a signal ends it: each call is a runner.
func serveCalls(addr string, cfg runner.Config) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	calls, end := context.WithCancel(context.Background())
	defer end()
	server := &http.Server{
		Addr: addr, Handler: runner.ServerlessHandler(cfg), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return calls },
	}
	left := make(chan error, 1)
	go func() { // waited for below
		<-ctx.Done()
		end()
		leaving, cancel := context.WithTimeout(context.Background(), leaveWithin)
		defer cancel()
		left <- server.Shutdown(leaving)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-left
}
