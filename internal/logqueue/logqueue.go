// Package logqueue keeps a log that takes nothing from holding up who writes to it: lines go through a bounded queue, and what does not
// fit is dropped and counted. It owns the queue and nothing of the log behind it. The runner library and the engine put it before the
// logger that they are given, because a heartbeat, a fence or a decision must never wait for a pipe that nobody reads.
package logqueue

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// maxLines is how many lines wait for a log. More are dropped and counted.
const maxLines = 1024

// Queue is the lines that wait for one log. A goroutine writes them in their order; it is there only while there are any.
type Queue struct {
	next slog.Handler

	// A mutex and no loop: writers of lines touch it from everywhere, and nobody waits for anything while he holds it.
	mu      sync.Mutex
	lines   []line
	idle    chan struct{} // closed when the goroutine ends; nil: there is none
	lost    uint64        // dropped since that was last told
	dropped uint64
}

// line is a record on its way to the handler that it was written to.
type line struct {
	ctx    context.Context //nolint:containedctx // a handler may take what it says from it
	to     *handler
	record slog.Record
}

// New makes a queue before next. Of next, who writes a line calls Enabled alone, and for lines below Info only.
func New(next slog.Handler) *Queue { return &Queue{next: next} }

// Handler returns the handler whose lines go through the queue.
func (q *Queue) Handler() slog.Handler { return &handler{queue: q} }

// Dropped returns how many lines have been dropped.
func (q *Queue) Dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// Flush waits until all lines are written, and no longer than limit. It reports whether they are.
func (q *Queue) Flush(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		q.mu.Lock()
		idle := q.idle
		q.mu.Unlock()
		if idle == nil {
			return true
		}
		select {
		case <-idle:
		case <-timer.C:
			return false
		}
	}
}

func (q *Queue) put(l line) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) >= maxLines {
		q.lost++
		q.dropped++
		return
	}
	q.tellLost()
	q.lines = append(q.lines, l)
	if q.idle == nil {
		q.idle = make(chan struct{})
		go q.write() // ends when nothing is left; Flush waits for it
	}
}

// tellLost puts a line in the place of those that were dropped.
func (q *Queue) tellLost() {
	if q.lost == 0 {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines are missing here: the log did not take them in time", 0)
	r.AddAttrs(slog.Uint64("dropped", q.lost))
	q.lost = 0
	q.lines = append(q.lines, line{ctx: context.Background(), to: &handler{queue: q}, record: r})
}

// write hands the lines on, one after the other.
func (q *Queue) write() {
	for {
		q.mu.Lock()
		if len(q.lines) == 0 {
			q.tellLost()
		}
		if len(q.lines) == 0 {
			close(q.idle)
			q.lines, q.idle = nil, nil
			q.mu.Unlock()
			return
		}
		l := q.lines[0]
		q.lines[0] = line{}
		q.lines = q.lines[1:]
		q.mu.Unlock()
		if to := l.to.resolved(); to.Enabled(l.ctx, l.record.Level) {
			_ = to.Handle(l.ctx, l.record) // slog ignores this error as well: where would it be told?
		}
	}
}

// handler is the queue with the attributes and groups of one logger. They reach the log behind the queue with the logger's first line.
type handler struct {
	queue  *Queue
	parent *handler // nil: the queue's own
	attrs  []slog.Attr
	group  string

	once sync.Once
	to   slog.Handler
}

func (h *handler) resolved() slog.Handler {
	h.once.Do(func() {
		switch {
		case h.parent == nil:
			h.to = h.queue.next
		case h.group != "":
			h.to = h.parent.resolved().WithGroup(h.group)
		default:
			h.to = h.parent.resolved().WithAttrs(h.attrs)
		}
	})
	return h.to
}

// Enabled asks the log about lines below Info only: whether it wants another is asked when that is written.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.queue.next.Enabled(ctx, level)
}

// Handle puts a line into the queue, or drops it.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	h.queue.put(line{ctx: ctx, to: h, record: settled(r)})
	return nil
}

// WithAttrs returns a handler of the same queue.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return &handler{queue: h.queue, parent: h, attrs: slices.Clone(attrs)}
}

// WithGroup returns a handler of the same queue.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &handler{queue: h.queue, parent: h, group: name}
}

// settled is a record that keeps its meaning: a value that is computed is computed now, as it would be without the queue.
func settled(r slog.Record) slog.Record {
	computed := false
	r.Attrs(func(a slog.Attr) bool {
		computed = a.Value.Kind() == slog.KindLogValuer
		return !computed
	})
	if !computed {
		return r.Clone()
	}
	s := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		s.AddAttrs(slog.Attr{Key: a.Key, Value: a.Value.Resolve()})
		return true
	})
	return s
}
