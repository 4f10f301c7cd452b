package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Headers that the engine sends with a request to start a runner.
const (
	headerEndpoint  = "x-rivet-endpoint"
	headerToken     = "x-rivet-token"
	headerSlots     = "x-rivet-total-slots"
	headerPool      = "x-rivet-runner-name"
	headerNamespace = "x-rivet-namespace-name"
	headerRequestID = "x-callboard-request-id"
	headerLifespan  = "x-callboard-request-lifespan-ms"
	headerURLs      = "x-callboard-engine-urls"
)

// commentEvery is how often a stream says that it lives: proxies end one that is silent for a minute or less.
const commentEvery = 15 * time.Second

// ServerlessHandler returns the endpoint of a serverless pool, with the handlers registered by Handle and HandleAny: the engine calls
// `GET {url}/start` when actors need a runner, and this process is that runner for as long as the request lasts. It may be mounted under
// any prefix; give the pool the url of that.
//
//	http.Handle("/api/rivet/", runner.ServerlessHandler(runner.Config{Version: 3}))
//
// Each request is a runner of its own, with a random key. Endpoint, Pool, Namespace and Slots come from the request where cfg leaves them
// out; where cfg names a pool or a namespace, a request for another one is refused. Signals are left to the program: end its HTTP server,
// and the runners of its requests shut down.
//
// A runner is told over its session that a newer version is there, and drains at the pool's pace. While it has no session it asks the
// engine's /metadata, as often as the pool's metadata_poll_interval says, and shuts down when that names a newer version twice in a row.
//
// The response is a stream of server-sent events: `instance` names the process first, `end` says that the runner has left; comments in
// between keep proxies from taking it for dead. The handler returns when the runner has left: no actor runs on, but for code that does not
// return although its context has ended.
func ServerlessHandler(cfg Config) http.Handler { return serverless{cfg, defaultRegistry} }

// ServerlessHandler is the function of the same name with this runner's handlers. The Runner itself is not run.
func (r *Runner) ServerlessHandler() http.Handler { return serverless{r.cfg, r.registry} }

type serverless struct {
	cfg      Config
	registry *registry
}

func (s serverless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "want GET", http.StatusMethodNotAllowed)
		return
	}
	switch path.Base(r.URL.Path) {
	case "metadata":
		s.metadata(w)
	case "start":
		s.start(w, r)
	default:
		http.Error(w, "want /start or /metadata: the engine calls them, nobody else", http.StatusNotFound)
	}
}

// metadata says what is served here. The engine checks it, and learns the version.
func (s serverless) metadata(w http.ResponseWriter) {
	names := map[string]struct{}{}
	for _, name := range s.registry.names() {
		names[name] = struct{}{}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{ // who asks hears of a broken connection by itself
		"runtime": "rivetkit", "version": libraryVersion(), "actorNames": names,
		"runner": map[string]any{"version": s.cfg.Version, "kind": map[string]any{"serverless": struct{}{}}},
	})
}

// libraryVersion returns the version of this module as the program was built with it.
func libraryVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(slices.Clone(info.Deps), &info.Main) {
			if m.Path == "github.com/callboard/callboard" && m.Version != "" {
				return "callboard " + m.Version
			}
		}
	}
	return "callboard"
}

// start is one runner, for as long as the request lasts.
func (s serverless) start(w http.ResponseWriter, r *http.Request) {
	cfg, lifespan, wrong := s.configOf(r)
	if wrong != "" {
		http.Error(w, wrong, http.StatusBadRequest)
		return
	}
	stream := eventStream{http.NewResponseController(w), w}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if stream.say("event: instance\ndata: %s\n\n", cfg.instanceID) != nil {
		return // who asked is gone
	}
	runner := newRunner(cfg, s.registry)
	done := make(chan error, 1)
	go func() { done <- runner.Run(context.WithoutCancel(r.Context())) }() // taken below, on every path
	over := time.NewTimer(lifespan)
	defer over.Stop()
	comment := time.NewTicker(commentEvery)
	defer comment.Stop()
	gone := r.Context().Done()
	shutdown := sync.OnceFunc(runner.Shutdown) // a second one would end the runner at once
	newer, stop := s.watchVersion(r, cfg, runner)
	defer stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				cfg.Logger.Warn("the runner of a request ended with an error", "request", cfg.requestID, "error", err)
				return // without event: end, the engine knows that something was wrong
			}
			_ = stream.say("event: end\ndata: {}\n\n") // the engine has heard the runner's goodbye
			return
		case <-comment.C:
			if stream.say(": here\n\n") != nil {
				shutdown()
			}
		case <-gone:
			gone = nil
			shutdown()
		case version := <-newer:
			cfg.Logger.Info("a newer version is there, and the engine has not been able to say so", "request", cfg.requestID, "version", version)
			shutdown()
		case <-over.C:
			shutdown()
		}
	}
}

// watchVersion asks the engine for the newest version of the runner's pool until stop is called: at the URLs of the configured Endpoint, or,
// if none is configured, at those that the request names.
func (s serverless) watchVersion(r *http.Request, cfg Config, runner *Runner) (newer <-chan uint32, stop func()) {
	urls := engineURLs(cfg.Endpoint)
	if s.cfg.Endpoint == "" {
		urls = append(urls, engineURLs(r.Header.Get(headerURLs))...)
	}
	if len(urls) == 0 {
		return nil, func() {}
	}
	found := make(chan uint32, 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	var polling sync.WaitGroup
	polling.Go(func() {
		poll := versionPoll{cfg: cfg, urls: urls, told: func() bool { return runner.Status().Draining }}
		if version := poll.run(ctx); version != 0 {
			found <- version
		}
	})
	return found, func() {
		cancel()
		polling.Wait()
	}
}

// configOf makes the configuration of the runner that a request asks for, and how long it may run; else it says what is wrong.
func (s serverless) configOf(r *http.Request) (cfg Config, lifespan time.Duration, wrong string) {
	cfg = s.cfg
	cfg.Key, cfg.instanceID, cfg.requestID, cfg.IgnoreSignals, cfg.WhenDrained = "", newUUID(), r.Header.Get(headerRequestID), true, Exit
	for _, f := range []struct {
		header string
		field  *string
		fixed  bool // a request for another one is refused
	}{
		{headerEndpoint, &cfg.Endpoint, false},
		{headerToken, &cfg.Token, false},
		{headerPool, &cfg.Pool, true},
		{headerNamespace, &cfg.Namespace, true},
	} {
		asked := r.Header.Get(f.header)
		if f.fixed && *f.field != "" && asked != "" && asked != *f.field {
			return cfg, 0, fmt.Sprintf("%s is %q, and this endpoint is of %q", f.header, asked, *f.field)
		}
		if *f.field == "" {
			*f.field = asked
		}
	}
	if cfg.Endpoint == "" {
		return cfg, 0, headerEndpoint + " is missing: the engine calls this, nobody else"
	}
	if cfg.Slots == 0 {
		if slots, err := strconv.ParseUint(r.Header.Get(headerSlots), 10, 32); err == nil {
			cfg.Slots = uint32(slots)
		}
	}
	lifespan = noLifespan
	if ms, err := strconv.ParseInt(r.Header.Get(headerLifespan), 10, 64); err == nil && ms > 0 {
		lifespan = time.Duration(ms) * time.Millisecond
	}
	// The engine drains the runner in time. If it cannot, because it has no leader, the runner leaves by itself before it is cut off.
	grace := min(lifespan/5, DefaultShutdownGrace)
	if cfg.ShutdownGrace == 0 || cfg.ShutdownGrace > grace {
		cfg.ShutdownGrace = grace
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return cfg, 0, err.Error()
	}
	return cfg, lifespan - grace, ""
}

// noLifespan is for requests that do not say how long they last.
const noLifespan = 365 * 24 * time.Hour

// eventStream writes server-sent events.
type eventStream struct {
	control *http.ResponseController
	w       http.ResponseWriter
}

// say writes at once. A reader that takes nothing is given up after a while.
func (s eventStream) say(format string, args ...any) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(commentEvery)) // where it is not supported, the server's own holds
	if _, err := fmt.Fprintf(s.w, format, args...); err != nil {
		return err
	}
	return s.control.Flush()
}
