package session

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Ten thousand idle streams are the target for a node: each is two goroutines and a few KiB (those of
// the test and of the state included), whatever its wire adds.
func TestAnIdleStreamIsSmall(t *testing.T) {
	const streams, goroutines, most = 2_000, 2, 10 << 10
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		before, used := runtime.NumGoroutine(), memory()
		pipes := make([]*pipe, streams)
		ended := make(chan error, streams)
		for i := range pipes {
			p := &pipe{up: make(chan *callboardv1.ConnectRequest, 1), down: make(chan *callboardv1.ConnectResponse, 4), broken: make(chan struct{})}
			h := testHello()
			h.Key, h.InstanceId = fmt.Sprint("key-", i), testID(uint64(1_000+i)).String()
			p.up <- helloMessage(h)
			go func() { ended <- host.Serve(t.Context(), p) }()
			pipes[i] = p
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		for round := range uint64(3) { // heartbeats leave nothing behind
			for _, p := range pipes {
				for len(p.down) > 0 {
					<-p.down
				}
				p.up <- beat(round + 1)
			}
			time.Sleep(3 * time.Second)
		}
		for _, p := range pipes {
			if m := <-p.down; m.GetHeartbeatAck().GetSeq() != 3 {
				t.Fatalf("heard %v, want the acknowledgement of 3", m)
			}
		}
		synctest.Wait()
		// What ended or began meanwhile beside the streams is counted too: one of the runtime, or of a test before.
		if n := runtime.NumGoroutine() - before; n < goroutines*streams-streams/10 || n > goroutines*streams+streams/10 {
			t.Errorf("%d goroutines for %d streams, want %d each", n, streams, goroutines)
		}
		each := (memory() - used) / streams
		t.Logf("%d bytes a stream", each)
		if each > most {
			t.Errorf("%d bytes a stream, want at most %d", each, most)
		}
		for _, p := range pipes {
			close(p.broken)
		}
		for range pipes {
			if err := <-ended; !errors.Is(err, errCut) {
				t.Errorf("Serve returned %v", err)
			}
		}
	})
}

// memory counts the heap, after a collection. Stacks are left out: they are 2 to 8 KiB each as the runtime sees fit.
func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
