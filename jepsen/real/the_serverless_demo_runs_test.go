//go:build unix

package real_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// `callboard dev --demo-serverless` runs a hundred counters behind an endpoint of its own, also in the directory of its last run, and ends at
// once when it is told to, without a complaint.
func TestServerlessDemo(t *testing.T) {
	t.Parallel()
	s := emptyWorld(t)
	port, err := s.FirstPort(0, 1, 2)
	s.must(err)
	at := func(offset int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+offset)) }
	s.caller = s.callerOf("demo", []string{at(0)})
	for run := range uint64(2) {
		demo, err := s.Start("demo-"+strconv.Itoa(int(run)), s.Binaries.Callboard, "dev", "--demo-serverless", "--data-dir", s.Dir+"/demo",
			"--grpc-addr", at(0), "--http-addr", at(1), "--metrics-addr", at(2))
		s.must(err)
		s.until("a hundred counters run", func(ctx context.Context) error {
			_, err := s.runningNow(ctx, counted, 100)
			return err
		})
		for _, a := range s.allRunning(counted, 100) {
			if a.Generation != run+1 {
				t.Errorf("counter %s is in its life %d, want %d", a.Key, a.Generation, run+1)
			}
		}
		began := time.Now()
		s.must(demo.Terminate())
		if code, err := demo.Wait(t.Context(), patience); code != 0 || err != nil {
			t.Errorf("exit code %d, %v", code, err)
		}
		s.promised("until the demo has ended", time.Since(began), 5*time.Second)
		if log := demo.Log(); !strings.Contains(log, "callboard pool show serverless") || strings.Contains(log, "endpoint failed") {
			t.Errorf("it says:\n%s", log)
		}
	}
}
