package history

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// Recorder writes events, each with one write, so that a process that is killed loses none that it has recorded.
type Recorder struct {
	mu      sync.Mutex // many callers record, and each line must stay whole
	out     io.WriteCloser
	process string
	err     error // the first one; nothing is written after it
}

// Append opens a recorder that adds to a file. Events without a process are about the given one.
func Append(path, process string) (*Recorder, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("record the history: %w", err)
	}
	return &Recorder{out: f, process: process}, nil
}

// Record writes an event and stamps it with the time, unless it has one.
func (r *Recorder) Record(e Event) {
	if e.AtNs == 0 {
		e.AtNs = int64(Now())
	}
	if e.WallMs == 0 {
		e.WallMs = time.Now().UnixMilli()
	}
	if e.Process == "" {
		e.Process = r.process
	}
	line, err := json.Marshal(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && r.err == nil {
		_, err = r.out.Write(append(line, '\n'))
	}
	if err != nil && r.err == nil {
		r.err = err
	}
}

// Close closes the file and returns what went wrong since Append: a history with holes proves nothing.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	closed := r.out.Close()
	if r.err != nil {
		return fmt.Errorf("record the history: %w", r.err)
	}
	return closed
}

// Read returns the events of some files in the order of their times. A last line without an end is one that a kill cut off.
func Read(paths ...string) ([]Event, error) {
	var events []Event
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the history: %w", err)
		}
		if last := bytes.LastIndexByte(data, '\n'); last+1 < len(data) {
			data = data[:last+1]
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, len(data)+1)
		for number := 1; lines.Scan(); number++ {
			var e Event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				return nil, fmt.Errorf("read the history: %s:%d: %w", path, number, err)
			}
			events = append(events, e)
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read the history: %s: %w", path, err)
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.AtNs, b.AtNs) })
	return events, nil
}
