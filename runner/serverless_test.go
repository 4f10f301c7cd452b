package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// function is one request to a serverless handler, and what it has answered.
type function struct {
	t      *testing.T
	cancel context.CancelFunc // the engine hangs up
	done   chan struct{}      // the handler has returned

	mu     sync.Mutex
	header http.Header
	status int
	text   bytes.Buffer
	broken bool // nobody reads any more
}

// callStart calls /start with headers beside those that every request has; an empty value takes one away.
func callStart(t *testing.T, h http.Handler, headers map[string]string) *function {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &function{t: t, cancel: cancel, done: make(chan struct{}), header: http.Header{}}
	r := httptest.NewRequest(http.MethodGet, "/api/rivet/start", nil).WithContext(ctx)
	all := map[string]string{
		headerEndpoint: "a:1", headerPool: "web", headerNamespace: "games", headerSlots: "7",
		headerRequestID: "01977420-dc00-7000-8000-00000000000a", headerLifespan: "900000",
	}
	for name, value := range headers {
		all[name] = value
	}
	for name, value := range all {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	go func() {
		defer close(f.done)
		h.ServeHTTP(f, r)
	}()
	t.Cleanup(func() {
		f.cancel()
		<-f.done
	})
	return f
}

// Header is of http.ResponseWriter.
func (f *function) Header() http.Header { return f.header }

// WriteHeader is of http.ResponseWriter.
func (f *function) WriteHeader(status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status = status
}

// Write is of http.ResponseWriter.
func (f *function) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken {
		return 0, errors.New("nobody reads")
	}
	return f.text.Write(p)
}

// Flush is of http.Flusher.
func (f *function) Flush() {}

// said returns what has come, without the comments and the instance's id.
func (f *function) said() string {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	var events []string
	for line := range strings.SplitSeq(f.text.String(), "\n") {
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			events = append(events, name)
		}
	}
	return strings.Join(events, " ")
}

// announced returns what a runner has said of its shutdown.
func (s *fakeSession) announced() []*callboardv1.Draining {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.draining)
}

func (f *function) returned() bool {
	synctest.Wait()
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// handlerOn is a serverless handler whose runners dial the fake network.
func handlerOn(t *testing.T, n *fakeNet, cfg Config, handler Handler) http.Handler {
	cfg.Dial, cfg.Clock = n.dial, ProcessClock()
	cfg.Logger = slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r := New(cfg)
	r.Handle("test", handler)
	return r.ServerlessHandler()
}

// A request is a runner: it names the request, brings the slots that were asked for, and leaves with a Goodbye before the stream ends well.
func TestARequestIsARunner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		f := callStart(t, handlerOn(t, n, Config{Version: 3}, untilStopped), nil)
		s := e.session(0)
		h := s.hello
		if h.GetPool() != "web" || h.GetNamespace() != "games" || h.GetSlots() != 7 || h.GetVersion() != 3 || h.GetServerlessRequestId() == "" {
			t.Errorf("Hello: %v", h)
		}
		if got := f.said(); got != "instance" || !strings.Contains(f.text.String(), "data: "+h.GetInstanceId()+"\n\n") {
			t.Errorf("before a Hello: %q, and the instance is %s", f.text.String(), h.GetInstanceId())
		}
		if f.status != http.StatusOK || f.header.Get("Content-Type") != "text/event-stream" || f.header.Get("X-Accel-Buffering") != "no" ||
			f.header.Get("Cache-Control") != "no-cache, no-transform" {
			t.Errorf("answered %d %v", f.status, f.header)
		}
		s.start("x")
		e.expect("running x/1")
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if got := strings.Count(f.text.String(), ": here\n\n"); got != 4 {
			t.Errorf("%d comments in a minute", got)
		}
		f.cancel()
		synctest.Wait()
		if f.returned() || len(s.announced()) != 1 {
			t.Fatalf("the engine has hung up: announced %v, returned %v", s.announced(), f.returned())
		}
		s.stop("x", 1, shutdownReason)
		e.expect("stopped x/1 clean")
		if !s.saidGoodbye() {
			t.Error("no Goodbye")
		}
		if got := f.said(); got != "instance end" || !f.returned() {
			t.Errorf("said %q, returned %v", got, f.returned())
		}
	})
}

// The handler returns only when every body has: it drains before its lifespan is over, and what does not return is not waited for.
func TestAFunctionEndsWithinItsLifespan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		began, body := time.Now(), make(chan struct{})
		f := callStart(t, handlerOn(t, n, Config{}, func(ctx context.Context, a *Actor) error {
			defer close(body)
			return untilStopped(ctx, a)
		}), map[string]string{headerLifespan: "100000"})
		e.session(0).start("x")
		e.expect("running x/1")
		sleepUntil(began.Add(79 * time.Second))
		if len(e.session(0).announced()) != 0 {
			t.Error("it leaves early")
		}
		sleepUntil(began.Add(81 * time.Second))
		if got := e.session(0).announced(); len(got) != 1 || got[0].GetDeadlineMs() != 20_000 {
			t.Errorf("a fifth of the lifespan before its end: %v", got)
		}
		<-body // the engine asks nothing: it stops by itself
		<-f.done
		if took := time.Since(began); took > 100*time.Second || took < 85*time.Second {
			t.Errorf("returned after %s", took)
		}
		if got := f.said(); got != "instance end" {
			t.Errorf("said %q", got)
		}
	})
}

// Who is hung up on just before its end is not ended at once.
func TestOneShutdownOfAFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		began := time.Now()
		f := callStart(t, handlerOn(t, n, Config{}, untilStopped), map[string]string{headerLifespan: "100000"})
		s := e.session(0)
		s.start("x")
		e.expect("running x/1")
		sleepUntil(began.Add(79 * time.Second))
		f.cancel()
		sleepUntil(began.Add(82 * time.Second))
		if f.returned() {
			t.Fatal("the end of its time cut the shutdown off")
		}
		s.stop("x", 1, shutdownReason)
		e.expect("stopped x/1 clean")
		if !f.returned() {
			t.Error("it has not returned")
		}
	})
}

// A stream that breaks is one that has been hung up.
func TestABrokenStreamEndsAFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		f := callStart(t, handlerOn(t, n, Config{}, untilStopped), nil)
		s := e.session(0)
		f.mu.Lock()
		f.broken = true
		f.mu.Unlock()
		time.Sleep(31 * time.Second)
		if !f.returned() || !s.saidGoodbye() {
			t.Errorf("returned %v, goodbye %v", f.returned(), s.saidGoodbye())
		}
	})
}

// A runner that the engine refuses ends its stream without event: end.
func TestARefusedRunnerEndsBadly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		e.set(func(e *fakeEngine) {
			e.welcome = func(*callboardv1.Hello) *callboardv1.ConnectResponse { return disconnectMessage("request_over", false) }
		})
		f := callStart(t, handlerOn(t, n, Config{}, untilStopped), nil)
		time.Sleep(time.Minute)
		if got := f.said(); got != "instance" || !f.returned() {
			t.Errorf("said %q, returned %v", got, f.returned())
		}
	})
}

// What is wrong with a request is said with a status, and no runner begins.
func TestRequestsThatAreRefused(t *testing.T) {
	for _, test := range []struct {
		name    string
		cfg     Config
		headers map[string]string
		text    string
	}{
		{"no endpoint", Config{}, map[string]string{headerEndpoint: ""}, "x-rivet-endpoint is missing"},
		{"another pool", Config{Pool: "mine"}, nil, `x-rivet-runner-name is "web", and this endpoint is of "mine"`},
		{"another namespace", Config{Namespace: "mine"}, nil, `x-rivet-namespace-name is "games", and this endpoint is of "mine"`},
		{"no address", Config{}, map[string]string{headerEndpoint: "nonsense"}, "Endpoint"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := callStart(t, handlerOn(t, &fakeNet{}, test.cfg, untilStopped), test.headers)
				if !f.returned() || f.status != http.StatusBadRequest || !strings.Contains(f.text.String(), test.text) {
					t.Errorf("%d %q, want %q", f.status, f.text.String(), test.text)
				}
			})
		})
	}
}

// The handler stands below any prefix, and answers what the engine asks and nothing else.
func TestWhatAHandlerServes(t *testing.T) {
	h := handlerOn(t, &fakeNet{}, Config{Version: 3}, untilStopped)
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/metadata", 200}, {"GET", "/api/rivet/metadata", 200}, {"POST", "/api/rivet/start", 405}, {"GET", "/api/rivet/health", 404}, {"GET", "/", 404},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil))
		if w.Code != test.status {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, w.Code, test.status)
		}
		if w.Code != http.StatusOK {
			continue
		}
		var got struct {
			Runtime, Version string
			Runner           struct{ Version uint32 }
			ActorNames       map[string]any
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Runtime != "rivetkit" || got.Version == "" || got.Runner.Version != 3 || len(got.ActorNames) != 1 {
			t.Errorf("%s: %s (%v)", test.path, w.Body, err)
		}
	}
}

// As long as it has no session, a function learns from the engine's /metadata that a newer version is there, and leaves.
func TestAFunctionLearnsOfANewerVersion(t *testing.T) {
	const told = `"newest_version":4,"drain_on_version_upgrade":true,"metadata_poll_interval":5000`
	for _, test := range []struct {
		name, runner string
		session      bool // the engine's node still answers
		leaves       bool
	}{
		{"a newer version, and no session", told, false, true},
		{"a newer version, and a session that does not say so", told, true, true},
		{"no newer one", `"newest_version":3,"drain_on_version_upgrade":true`, false, false},
		{"versions run side by side", `"newest_version":4,"drain_on_version_upgrade":false`, false, false},
		{"none that counts: it is held back", `"newest_version":0,"drain_on_version_upgrade":true`, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				asked := engineOverHTTP(t, n, "web:6420", `{"runtime":"engine","runner":{`+test.runner+`}}`)
				f := callStart(t, handlerOn(t, n, Config{Version: 3, Token: "secret"}, untilStopped), map[string]string{headerURLs: "http://gone:1,http://web:6420"})
				e.session(0).start("x")
				e.expect("running x/1")
				if !test.session {
					e.away(true)
					e.session(0).end <- nil
				}
				time.Sleep(90 * time.Second)
				if got := f.returned() || len(e.session(0).announced()) > 0; got != test.leaves {
					t.Errorf("leaves: %v, want %v", got, test.leaves)
				}
				if got := asked(); len(got) == 0 || got[0] != "/metadata?namespace=games&runner_name=web" {
					t.Errorf("asked %q", got)
				}
			})
		})
	}
}

// A runner that the engine has told drains at the pool's pace: what /metadata says adds nothing. It asks as often as the pool says.
func TestAFunctionThatDrainsIsLeftToTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		asked := engineOverHTTP(t, n, "web:6420", `{"runner":{"newest_version":4,"drain_on_version_upgrade":true,"metadata_poll_interval":20000}}`)
		f := callStart(t, handlerOn(t, n, Config{Version: 3}, untilStopped), map[string]string{headerURLs: "http://web:6420"})
		s := e.session(0)
		s.start("x")
		s.send(drained(false))
		time.Sleep(5 * time.Minute)
		if f.returned() || len(s.announced()) != 0 {
			t.Errorf("returned %v, announced %v", f.returned(), s.announced())
		}
		if got := len(asked()); got < 14 || got > 18 {
			t.Errorf("asked %d times in 5 minutes, each 20 s", got)
		}
	})
}

// With an Endpoint of its own a function asks nobody whom the request names.
func TestAFunctionAsksOnlyItsOwnEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "b:1")
		asked := engineOverHTTP(t, n, "web:6420", `{}`)
		callStart(t, handlerOn(t, n, Config{Endpoint: "b:1"}, untilStopped), map[string]string{headerURLs: "http://web:6420"})
		e.session(0)
		time.Sleep(time.Minute)
		if got := asked(); len(got) != 0 {
			t.Errorf("asked %q", got)
		}
	})
}

// engineOverHTTP is a node that answers every GET with a text, and tells what it was asked.
func engineOverHTTP(t *testing.T, n *fakeNet, addr, text string) (asked func() []string) {
	var mu sync.Mutex
	var paths []string
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.String())
		if token := r.Header.Get("Authorization"); token != "" {
			t.Errorf("it was told the token: %q", token)
		}
		_, _ = fmt.Fprint(w, text)
	})}
	listener := newFakeListener(n, addr)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return func() []string {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(paths)
	}
}
