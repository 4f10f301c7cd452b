//go:build linux

package real_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// The leader's standard error is a pipe that is full and that nobody reads. It goes on deciding, also what it has to log, and it ends
// when it is told to.
func TestALeaderWhoseLogTakesNothingGoesOn(t *testing.T) {
	t.Parallel()
	s := emptyWorld(t)
	s.found("n1")
	n := s.cluster.Nodes[0]
	s.must(n.Terminate())
	_, err := n.Wait(s.Context(), patience)
	s.must(err)
	reader, writer, err := os.Pipe()
	s.must(err)
	defer func() { _ = reader.Close() }()
	n.Stderr = writer
	s.must(s.cluster.Start(s.Context(), n))
	n.Stderr = nil
	s.run(real.RunnerConfig{Key: "old", Pool: pool, Version: 1, Slots: 100_000})
	s.connected(pool, s.runners...)
	writers := s.write(5*time.Millisecond, s.callerOf("pulse", s.cluster.GRPCAddrs()))
	s.written(0)

	s.must(fillPipe(writer))
	s.must(writer.Close()) // the node has its own
	for i := range 3 {     // each opens a rollout, which is logged by the leader's loop
		key := fmt.Sprint("new-", i)
		s.run(real.RunnerConfig{Key: key, Pool: pool, Version: uint32(2 + i), Slots: 100_000})
		began := int64(history.Now())
		s.promised("a write with a log that takes nothing", s.written(began), time.Second)
		s.until("the newest runner is connected", func(ctx context.Context) error {
			shown, err := s.caller.Runners(ctx, pool)
			if err == nil && !slices.ContainsFunc(shown, func(r *callboardv1.Runner) bool { return r.GetKey() == key }) {
				err = errors.New("it is not")
			}
			return err
		})
	}
	writers.end()
	s.judge(pulse)
	told := time.Now()
	s.must(n.Terminate())
	code, err := n.Wait(s.Context(), patience)
	s.must(err)
	if code != 0 {
		s.Errorf("it ended with code %d", code)
	}
	s.promised("its end", time.Since(told), 10*time.Second)
}

// fillPipe writes into a pipe until it takes nothing more.
func fillPipe(pipe *os.File) error {
	fd, err := syscall.Open(fmt.Sprintf("/proc/self/fd/%d", pipe.Fd()), syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for size := 4096; size > 0 && err == nil; {
		if _, err = syscall.Write(fd, make([]byte, size)); errors.Is(err, syscall.EAGAIN) {
			size, err = size/2, nil
		}
	}
	return errors.Join(err, syscall.Close(fd))
}
