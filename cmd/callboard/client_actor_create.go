package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// maxCreateAtOnce bounds how many creates are under way at once.
const maxCreateAtOnce = 4096

// newActorFlags describe an actor to be made.
type newActorFlags struct {
	name, key, pool, policy, input, inputFile, idempotencyKey string
}

func (f *newActorFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "name", "", "`name` of the actor: which code runs it")
	cmd.Flags().StringVar(&f.pool, "pool", "default", "`pool` whose runners may run it")
	cmd.Flags().StringVar(&f.policy, "crash-policy", "restart", "what happens after a crash: restart, sleep or destroy")
	cmd.Flags().StringVar(&f.input, "input", "", "`text` that the actor gets as its input")
	cmd.Flags().StringVar(&f.inputFile, "input-file", "", "`file` that the actor gets as its input")
	addIdempotencyKey(cmd, &f.idempotencyKey)
}

func (f *newActorFlags) read(cmd *cobra.Command) (policy callboardv1.CrashPolicy, input []byte, err error) {
	if f.name == "" {
		return 0, nil, usage(cmd, "--name is missing: it says which code runs the actor, such as --name counter")
	}
	value, known := callboardv1.CrashPolicy_value["CRASH_POLICY_"+strings.ToUpper(f.policy)]
	if !known || value == 0 {
		return 0, nil, usage(cmd, "--crash-policy %s: want restart, sleep or destroy", f.policy)
	}
	switch {
	case f.inputFile == "":
		input = []byte(f.input)
	case f.input != "":
		return 0, nil, usage(cmd, "--input and --input-file: give one of them")
	default:
		if input, err = os.ReadFile(f.inputFile); err != nil {
			return 0, nil, usage(cmd, "--input-file: %v", err)
		}
	}
	return callboardv1.CrashPolicy(value), input, nil
}

func actorGetOrCreateCommand(g *globals) *cobra.Command {
	var f newActorFlags
	cmd := leaf("get-or-create", "Get the actor of a name and key, made now if there is none", nil, func(cmd *cobra.Command, _ []string) error {
		policy, input, err := f.read(cmd)
		if err != nil {
			return err
		}
		if f.key == "" {
			return usage(cmd, "--key is missing: it tells the actors of a name apart")
		}
		return g.waiting(cmd, func(ctx context.Context, c *client.Client, timeoutMs uint32) error {
			answer, err := c.Actors.GetOrCreate(ctx, &callboardv1.GetOrCreateRequest{
				Name: f.name, Key: f.key, Pool: f.pool, Input: input, CrashPolicy: policy, IdempotencyKey: f.idempotencyKey, TimeoutMs: timeoutMs,
			})
			if err != nil {
				return err
			}
			return g.printActor(actorAnswer{Actor: actorOf(answer.GetActor()), Created: &answer.Created, Index: answer.GetIndex()})
		})
	})
	f.add(cmd)
	cmd.Flags().StringVar(&f.key, "key", "", "`key` of the actor")
	return cmd
}

func actorCreateCommand(g *globals) *cobra.Command {
	var (
		f                  newActorFlags
		count, concurrency int
	)
	cmd := leaf("create", "Create an actor, or many", nil, func(cmd *cobra.Command, _ []string) error {
		policy, input, err := f.read(cmd)
		if err != nil {
			return err
		}
		req := &callboardv1.CreateRequest{Name: f.name, Pool: f.pool, Input: input, CrashPolicy: policy, IdempotencyKey: f.idempotencyKey}
		if cmd.Flags().Changed("key") {
			req.Key = &f.key
		}
		switch {
		case count < 1:
			return usage(cmd, "--count %d: want 1 or more", count)
		case concurrency < 1 || concurrency > maxCreateAtOnce:
			return usage(cmd, "--concurrency %d: want 1 to %d", concurrency, maxCreateAtOnce)
		case count > 1 && req.Key != nil && !strings.Contains(f.key, "%d"):
			return usage(cmd, "--key with --count: write %%d where the number goes, such as --key room-%%d")
		case count > 1 && f.idempotencyKey != "":
			return usage(cmd, "--idempotency-key names one create: it does not go with --count")
		case count > 1:
			return g.createMany(cmd, req, count, concurrency)
		}
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Actors.Create(ctx, req)
			if err != nil {
				return err
			}
			return g.printActor(actorAnswer{Actor: actorOf(answer.GetActor()), Index: answer.GetIndex()})
		})
	})
	f.add(cmd)
	cmd.Flags().StringVar(&f.key, "key", "", "`key` of the actor: at most one live actor of a name has it")
	cmd.Flags().IntVar(&count, "count", 1, "create `N` actors")
	cmd.Flags().IntVar(&concurrency, "concurrency", 16, "with --count: how many creates are under way at once")
	return cmd
}

// createMany creates actors until all are there or one fails: what is under way then is finished. The time-out holds for each of them.
func (g *globals) createMany(cmd *cobra.Command, like *callboardv1.CreateRequest, count, concurrency int) error {
	c, err := g.client(cmd)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // all calls have ended
	var (
		next, created atomic.Int64
		failed        atomic.Pointer[error] // the first failure
		ids           = make([]string, count)
		workers       sync.WaitGroup
		begin         = time.Now()
	)
	for range min(concurrency, count) {
		workers.Go(func() {
			for n := int(next.Add(1)) - 1; n < count && failed.Load() == nil; n = int(next.Add(1)) - 1 {
				id, err := g.createOne(cmd.Context(), c, like, n)
				if err != nil {
					err = fmt.Errorf("actor %d of %d: %w", n+1, count, err)
					failed.CompareAndSwap(nil, &err)
					return
				}
				ids[n] = id
				created.Add(1)
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		workers.Wait()
	}()
	g.watchProgress(ended, &created, count)
	if err := failed.Load(); err != nil {
		g.progress("%d of %d were created.", created.Load(), count)
		return *err
	}
	answer := struct {
		Created  int64    `json:"created"`
		Seconds  float64  `json:"seconds"`
		ActorIDs []string `json:"actor_ids"`
	}{created.Load(), time.Since(begin).Seconds(), ids}
	return g.print(answer, func(t *table) {
		t.line("created %d actors in %.1f s (%.0f/s)", answer.Created, answer.Seconds, float64(answer.Created)/max(answer.Seconds, 1e-9))
	})
}

func (g *globals) createOne(ctx context.Context, c *client.Client, like *callboardv1.CreateRequest, n int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	req := &callboardv1.CreateRequest{Name: like.GetName(), Pool: like.GetPool(), Input: like.GetInput(), CrashPolicy: like.GetCrashPolicy()}
	if like.Key != nil {
		key := strings.ReplaceAll(like.GetKey(), "%d", fmt.Sprint(n+1))
		req.Key = &key
	}
	answer, err := c.Actors.Create(ctx, req)
	return answer.GetActor().GetActorId(), err
}

// watchProgress tells now and then how far it is, until it has ended.
func (g *globals) watchProgress(ended <-chan struct{}, created *atomic.Int64, count int) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ticker.C:
			g.progress("%d of %d", created.Load(), count)
		}
	}
}
