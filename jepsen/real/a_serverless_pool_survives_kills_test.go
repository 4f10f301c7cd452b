//go:build unix

package real_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// counted is the name of the actors that the example service runs.
const counted = "counter"

// A serverless pool starts from zero: a hundred actors of three nodes run in the calls of a plain HTTP service. The node that carries calls
// is killed, which leads or not, and the service itself: all actors run again, and no dead node is named as a carrier. A
// newer version behind the same url is found by asking, and takes all over. When the last actor has gone no call is open.
func TestServerless(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1", "n2", "n3")
	const n, slots = 100, 25
	service, err := s.StartService(1)
	s.must(err)
	rate, poll, each := uint64(1_000_000_000), uint64(5_000), uint32(slots)
	_, err = s.caller.Pools.Put(t.Context(), &callboardv1.PoolServicePutRequest{Namespace: "default", Name: pool, Config: &callboardv1.PoolConfig{
		ActorEvictionRateMicros: &rate,
		Serverless:              &callboardv1.Serverless{Url: service.URL, RequestLifespan: 600, SlotsPerRunner: &each, MetadataPollInterval: &poll},
	}})
	s.must(err)
	began := time.Now()
	s.create(counted, "", n)
	s.allRunning(counted, n)
	s.promised(fmt.Sprintf("until %d actors run, from zero", n), time.Since(began), 3*time.Second)
	if open := s.openRequests(); len(open) > n/slots+1 {
		t.Errorf("%d requests are open for %d actors, %d slots each", len(open), n, slots)
	}

	leader, err := s.cluster.Leader(t.Context())
	s.must(err)
	s.must(leader.Kill())
	s.servedWithout(n, leader)
	s.must(s.cluster.Start(t.Context(), leader))
	follower := s.follower(s.leads())
	s.must(follower.Kill())
	s.servedWithout(n, follower)
	s.must(s.cluster.Start(t.Context(), follower))

	s.must(service.Kill())
	s.until("a request has ended with its function", func(context.Context) error {
		if len(s.openRequests()) == n/slots {
			return errors.New("all are open")
		}
		return nil
	})
	s.must(s.Restart(service, 2))
	s.until("all run on version 2", func(ctx context.Context) error {
		if _, err := s.runningNow(ctx, counted, n); err != nil {
			return err
		}
		runners, err := s.caller.Runners(ctx, pool)
		for _, r := range runners {
			if r.GetStopTs() == 0 && r.GetVersion() != 2 && r.GetState() != callboardv1.RunnerState_RUNNER_STATE_LOST {
				err = errors.Join(err, fmt.Errorf("runner %s of version %d is there", r.GetRunnerId(), r.GetVersion()))
			}
		}
		return err
	})

	for _, a := range s.allRunning(counted, n) {
		s.must(s.caller.Destroy(t.Context(), a))
	}
	took := s.until("no request is open", func(context.Context) error {
		if open := s.openRequests(); len(open) > 0 {
			return fmt.Errorf("%d are", len(open))
		}
		return nil
	})
	s.promised("until no request is open after the last actor has gone", took, 10*time.Second)
	shown, err := s.caller.List(t.Context(), counted)
	s.must(err)
	for _, a := range shown {
		if a.State != history.StateDestroyed {
			t.Errorf("actor %s is %s", a.ID, a.State)
		}
	}
}

// leads waits for a leader.
func (s *scenario) leads() (leader *real.Node) {
	s.Helper()
	s.until("there is a leader", func(ctx context.Context) (err error) {
		leader, err = s.cluster.Leader(ctx)
		return err
	})
	return leader
}

func (s *scenario) openRequests() []*callboardv1.Request {
	s.Helper()
	got, err := s.caller.Pools.ListRequests(s.Context(), &callboardv1.ListRequestsRequest{Namespace: "default", Pool: pool})
	s.must(err)
	return got.GetRequests()
}

// servedWithout waits until all actors run in calls that living nodes carry, and then until none is listed with the dead one: a runner whose
// goodbye went to it is missed only when it is lost.
func (s *scenario) servedWithout(n int, dead *real.Node) {
	s.Helper()
	took := s.until("all actors run without "+dead.ID, func(ctx context.Context) error {
		shown, err := s.runningNow(ctx, counted, n)
		if err != nil {
			return err
		}
		carried := map[string]bool{}
		for _, r := range s.openRequests() {
			carried[r.GetRunnerId()] = r.GetNode() != dead.ID
		}
		for _, a := range shown {
			if !carried[a.Runner] {
				return fmt.Errorf("actor %s runs on %s", a.Key, a.Runner)
			}
		}
		return nil
	})
	s.promised("until all actors run without "+dead.ID, took, 5*time.Second)
	s.until("no request is carried by "+dead.ID, func(context.Context) error {
		for _, r := range s.openRequests() {
			if r.GetNode() == dead.ID {
				return fmt.Errorf("request %s is", r.GetRequestId())
			}
		}
		return nil
	})
}
