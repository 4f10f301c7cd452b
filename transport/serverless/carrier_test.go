package serverless

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// An endpoint that answers and ends at once is faster than the state: the View still shows the request as opening when its call has
// returned, and so it does as long as there is no leader.
func TestARequestIsSentOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		deaf bool
	}{{"the state is slow", false}, {"there is no leader", true}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, streaming("event: instance\ndata: "+instance+"\n\nevent: end\ndata: {}\n\n"))
				w.deaf = test.deaf
				first := w.open(1)
				time.Sleep(2 * tellFor)
				w.open(2) // the carrier looks again
				if got := w.sent(); got != 2 {
					t.Fatalf("two requests were sent %d times", got)
				}
				if end := w.ended(first); end.GetClean() == test.deaf {
					t.Errorf("the end that is told: %v", end)
				}
				w.do(&logv1.Op{Op: &logv1.Op_SendRequest{SendRequest: &logv1.SendRequest{RequestId: first[:], JoinByMs: 1 << 40}}})
				w.end(first, fsm.RequestFinished)
				w.open(3)
				if w.carrier.calls[first] != nil {
					t.Error("a request that is over is remembered")
				}
				if got := w.sent(); got != 3 {
					t.Errorf("three requests were sent %d times", got)
				}
			})
		})
	}
}
