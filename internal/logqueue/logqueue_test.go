package logqueue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"
)

// pipe takes nothing while it is shut.
type pipe struct {
	gate sync.Mutex
	text bytes.Buffer
}

func (p *pipe) Write(b []byte) (int, error) {
	p.gate.Lock()
	defer p.gate.Unlock()
	return p.text.Write(b)
}

func newLog(p *pipe) (*Queue, *slog.Logger) {
	q := New(slog.NewTextHandler(p, nil))
	return q, slog.New(q.Handler())
}

// Who writes a line never waits. What the queue does not hold is dropped, counted, and told in its place.
func TestAStuckLogHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{}
		q, log := newLog(p)
		release := make(chan struct{})
		stuck := slog.New(New(slog.NewTextHandler(waiting{release}, nil)).Handler())
		began := time.Now()
		for range 10 * maxLines {
			stuck.Info("line")
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("who wrote waited for %v", took)
		}
		close(release)
		log.Info("another log goes on")
		if !q.Flush(time.Second) || !strings.Contains(p.text.String(), "another log goes on") {
			t.Errorf("the other log has %q", p.text.String())
		}
	})
}

type waiting struct{ release chan struct{} }

func (w waiting) Write(b []byte) (int, error) { <-w.release; return len(b), nil }

func TestDroppedLinesAreToldInTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var text bytes.Buffer
		first := true
		q := New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
			if first {
				<-release
				first = false
			}
			return text.Write(b)
		}), nil))
		log := slog.New(q.Handler())
		log.Info("first")
		synctest.Wait() // it is out of the queue, and on its way
		for i := range maxLines + 7 {
			log.Info(fmt.Sprintf("line-%d.", i))
		}
		if got := q.Dropped(); got != 7 {
			t.Errorf("%d lines are dropped, want 7", got)
		}
		if q.Flush(time.Second) {
			t.Error("Flush says that all is written")
		}
		close(release)
		if !q.Flush(time.Second) {
			t.Error("Flush says that not all is written")
		}
		log.Info("last")
		q.Flush(time.Second)
		lines := strings.Split(strings.TrimSpace(text.String()), "\n")
		if len(lines) != maxLines+3 {
			t.Fatalf("%d lines were written", len(lines))
		}
		for i, want := range map[int]string{0: "first", 1: "line-0.", maxLines: fmt.Sprintf("line-%d.", maxLines-1), maxLines + 1: "dropped=7", maxLines + 2: "last"} {
			if !strings.Contains(lines[i], want) {
				t.Errorf("line %d is %q, want %q", i, lines[i], want)
			}
		}
	})
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// A line says the same with the queue as without it.
func TestLinesAreWhatTheyWouldBeWithoutTheQueue(t *testing.T) {
	write := func(log *slog.Logger) {
		log = log.With("a", 1).WithGroup("g").With("b", 2)
		log.Info("plain", "c", 3, slog.Group("h", "d", 4))
		counter := 0
		value := valuer(func() slog.Value { counter++; return slog.IntValue(counter) })
		log.Warn("computed", "value", value, "again", value)
		log.Debug("not enabled")
	}
	options := &slog.HandlerOptions{AddSource: true, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	var with, without bytes.Buffer
	q := New(slog.NewTextHandler(&with, options))
	write(slog.New(q.Handler()))
	q.Flush(time.Minute)
	write(slog.New(slog.NewTextHandler(&without, options)))
	if with.String() != without.String() {
		t.Errorf("with the queue:\n%s\nwithout:\n%s", with.String(), without.String())
	}
}

type valuer func() slog.Value

func (v valuer) LogValue() slog.Value { return v() }

func TestTheQueueIsAHandler(t *testing.T) {
	var text bytes.Buffer
	var q *Queue
	slogtest.Run(t, func(*testing.T) slog.Handler {
		text.Reset()
		q = New(slog.NewJSONHandler(&text, nil))
		return q.Handler()
	}, func(t *testing.T) map[string]any {
		q.Flush(time.Minute)
		return parsed(t, text.Bytes())
	})
}

func parsed(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var line map[string]any
	if err := json.Unmarshal(text, &line); err != nil {
		t.Fatal(err)
	}
	return line
}
