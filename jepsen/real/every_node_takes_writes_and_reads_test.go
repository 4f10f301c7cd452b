//go:build unix

package real_test

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/callboard/callboard/jepsen/history"
)

const visitor = "visitor"

// Clients of every node create, destroy, and race for the same keys, each through its own node only. What one node has acknowledged
// every other node shows at once; of all that raced for a key, all were told the same actor. (The checks of the world's end judge it.)
func everyNodeTakesWritesAndReads(s *scenario) {
	const rounds = 20
	var clients sync.WaitGroup
	errs := make([]error, len(s.cluster.Nodes))
	for i, n := range s.cluster.Nodes {
		c := s.callerOf(n.ID, []string{n.Addrs.GRPC})
		clients.Go(func() {
			errs[i] = func(ctx context.Context) error {
				for round := range rounds {
					mine := n.ID + "-" + strconv.Itoa(round)
					made, err := c.Create(ctx, pool, visitor, mine)
					if err != nil {
						return err
					}
					if _, err := c.GetOrCreate(ctx, pool, visitor, "raced-"+strconv.Itoa(round)); err != nil {
						return err
					}
					if round%2 == 0 {
						if err := c.Destroy(ctx, history.Actor{ID: made.GetActorId(), Name: visitor, Key: mine}); err != nil {
							return err
						}
					}
					if _, err := c.List(ctx, visitor); err != nil {
						return err
					}
				}
				return nil
			}(s.Context())
		})
	}
	clients.Wait()
	s.must(errors.Join(errs...))

	// One after the other: written through one node, read through all, with nothing else going on that would bring the news.
	for i, writer := range s.cluster.Nodes {
		key := "relay-" + strconv.Itoa(i)
		_, err := s.callerOf("writer", []string{writer.Addrs.GRPC}).Create(s.Context(), pool, visitor, key)
		s.must(err)
		for _, reader := range s.cluster.Nodes {
			shown, err := s.callerOf("reader", []string{reader.Addrs.GRPC}).List(s.Context(), visitor)
			s.must(err)
			if !holds(shown, key) {
				s.Errorf("%s was written through %s, and %s does not show it", key, writer.ID, reader.ID)
			}
		}
	}
}

func holds(actors []history.Actor, key string) bool {
	for _, a := range actors {
		if a.Key == key {
			return true
		}
	}
	return false
}
