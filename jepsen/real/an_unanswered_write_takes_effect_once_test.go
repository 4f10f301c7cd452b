//go:build unix

package real_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// nobody is a pool without runners: what is created there moves nothing else.
const nobody = "nobody"

// way is one way to create an actor, and what it says when nobody answers.
type way struct {
	name   string // of the actor, and its idempotency key
	create func(ctx context.Context, at string) (id string, err error)
	addr   func(*real.Node) string
	link   *real.Link
	alone  bool // it knows all nodes, and brings its call to an end by itself
}

// The leader is killed when writes have reached it, have been committed, and have not been answered: through HTTP, gRPC, the command line
// and the Go client. Each says that it does not know, but for the client, which goes on to another node. The same writes again, with the
// same keys, answer with the actors that are there already.
func anUnansweredWriteTakesEffectOnce(s *scenario) {
	_, err := s.caller.Pools.Put(s.Context(), &callboardv1.PoolServicePutRequest{Name: nobody, Config: &callboardv1.PoolConfig{}})
	s.must(err)
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	ways := s.ways(leader)
	outcomes := make([]error, len(ways))
	ids := make([]string, len(ways))
	var calls sync.WaitGroup
	for i, d := range ways {
		calls.Go(func() { ids[i], outcomes[i] = d.create(s.Context(), d.link.Addr()) })
	}
	committed := make([]string, len(ways))
	s.until("all writes are committed", func(ctx context.Context) error {
		for i, d := range ways {
			var err error
			if committed[i], err = s.onlyOne(ctx, d.name); err != nil {
				return err
			}
		}
		return nil
	})
	s.must(leader.Kill())
	calls.Wait()
	for i, d := range ways {
		switch {
		case d.alone && (outcomes[i] != nil || ids[i] != committed[i]):
			s.Errorf("%s: %q, %v; want %s after another try", d.name, ids[i], outcomes[i], committed[i])
		case !d.alone && !errors.Is(outcomes[i], errNotKnown):
			s.Errorf("%s: %q, %v; want that the outcome is not known", d.name, ids[i], outcomes[i])
		}
	}

	next, err := s.cluster.Leader(s.Context())
	s.must(err)
	for range 2 {
		for i, d := range ways {
			id, err := d.create(s.Context(), d.addr(next))
			if err != nil || id != committed[i] {
				s.Errorf("%s again: %q, %v; want %s", d.name, id, err, committed[i])
			}
			if only, err := s.onlyOne(s.Context(), d.name); err != nil || only != committed[i] {
				s.Errorf("%s: %v", d.name, err)
			}
		}
	}
	s.must(s.cluster.Start(s.Context(), leader))
	s.caughtUp(leader)
	for try := 1; s.anEngineThatDoesNotKnowSaysSo(try) == 0; try++ {
		if try == 5 {
			s.Fatal("no write was under way in five tries")
		}
	}
}

// A leader that cannot reach the others any more says itself that it does not know what becomes of the writes that are under way: 504 over
// HTTP. Whatever has become of them, the same again takes effect once. It returns how many outcomes were unknown: none, if by chance what
// was under way was no write.
func (s *scenario) anEngineThatDoesNotKnowSaysSo(try int) (unknown int) {
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	type last struct {
		name, body string
		status     int
		err        error
	}
	const writers, limit = 16, 3 * time.Second
	ends, written := make([]last, writers), make(chan struct{}, writers)
	var all sync.WaitGroup
	for i := range ends {
		all.Go(func() {
			end := &ends[i]
			for n := 0; n == 0 || end.status == http.StatusOK; n++ {
				end.name = fmt.Sprintf("unknown-%d-%d-%d", try, i, n)
				end.status, end.body, end.err = s.post(s.Context(), limit, leader.Addrs.HTTP, end.name)
				if n == 0 {
					written <- struct{}{}
				}
			}
		})
	}
	for range ends {
		<-written
	}
	for _, n := range s.cluster.Nodes {
		if n != leader {
			s.must(n.Freeze(s.Context()))
		}
	}
	all.Wait()
	for _, n := range s.cluster.Nodes {
		if n != leader {
			s.must(n.Thaw())
		}
	}
	for _, end := range ends {
		var says struct{ Group, Code, Message string }
		switch err := json.Unmarshal([]byte(end.body), &says); {
		case errors.Is(end.err, context.DeadlineExceeded): // it came too late to be under way: the node looks for a leader
			continue
		case end.err != nil || err != nil:
			s.Fatalf("%d %s, %v, %v", end.status, end.body, end.err, err)
		case end.status != http.StatusGatewayTimeout || says.Group != "cluster" || says.Code != "outcome_unknown" || says.Message == "":
			s.Errorf("%d %s; want 504 and cluster.outcome_unknown", end.status, end.body)
		}
		unknown++
		next, err := s.cluster.Leader(s.Context())
		s.must(err)
		var first string
		s.until("a leader takes "+end.name, func(ctx context.Context) (err error) {
			first, err = s.web(ctx, next.Addrs.HTTP, end.name)
			return err
		})
		second, err := s.web(s.Context(), next.Addrs.HTTP, end.name)
		if only, listErr := s.onlyOne(s.Context(), end.name); err != nil || listErr != nil || first != second || only != first {
			s.Errorf("%s: %s, %s, %s, %v, %v; want one actor, each time", end.name, first, second, only, err, listErr)
		}
	}
	s.Logf("%d of %d writes had an unknown outcome", unknown, writers)
	return unknown
}

// errNotKnown is an outcome that is not known: the engine, the client or the connection said so.
var errNotKnown = errors.New("the outcome is not known")

func (s *scenario) ways(leader *real.Node) []way {
	grpcAddr := func(n *real.Node) string { return n.Addrs.GRPC }
	httpAddr := func(n *real.Node) string { return n.Addrs.HTTP }
	ways := []way{
		{name: "by-http", addr: httpAddr, create: func(ctx context.Context, at string) (string, error) { return s.web(ctx, at, "by-http") }},
		{name: "by-grpc", addr: grpcAddr, create: func(ctx context.Context, at string) (string, error) {
			return s.grpc(ctx, "by-grpc", []string{at}, client.WithoutRetry())
		}},
		{name: "by-command-line", addr: grpcAddr, create: func(ctx context.Context, at string) (string, error) {
			return s.commandLine(ctx, at, "by-command-line")
		}},
		{name: "by-client", addr: grpcAddr, alone: true, create: func(ctx context.Context, at string) (string, error) {
			return s.grpc(ctx, "by-client", append([]string{at}, s.cluster.GRPCAddrs()...))
		}},
	}
	for i := range ways {
		link, err := s.NewMuteLink(ways[i].addr(leader), ways[i].name)
		s.must(err)
		ways[i].link = link
	}
	return ways
}

// onlyOne returns the id of the actor of a name; an error unless there is exactly one.
func (s *scenario) onlyOne(ctx context.Context, name string) (string, error) {
	page, err := s.caller.Actors.List(ctx, &callboardv1.ListRequest{Name: name, IncludeDestroyed: true})
	if err != nil {
		return "", err
	}
	if n := len(page.GetActors()); n != 1 {
		return "", fmt.Errorf("%d actors are named %s, want one", n, name)
	}
	return page.GetActors()[0].GetActorId(), nil
}

func (s *scenario) grpc(ctx context.Context, name string, addrs []string, options ...client.Option) (string, error) {
	c, err := client.New(addrs, options...)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	answer, err := c.Actors.Create(ctx, &callboardv1.CreateRequest{Name: name, Pool: nobody, IdempotencyKey: name})
	if errors.Is(err, callboardv1.ErrOutcomeUnknown) {
		err = fmt.Errorf("%w: %w", errNotKnown, err)
	}
	return answer.GetActor().GetActorId(), err
}

func (s *scenario) commandLine(ctx context.Context, at, name string) (string, error) {
	out, errOut, code, err := s.Command(ctx, nil, "actor", "create", "--name", name, "--pool", nobody, "--idempotency-key", name,
		"--address", at, "--timeout", "4s", "-o", "json")
	if err != nil {
		return "", err
	}
	var answer struct {
		Actor struct {
			ID string `json:"actor_id"`
		} `json:"actor"`
		Error struct {
			Code     string            `json:"code"`
			ExitCode int               `json:"exit_code"`
			Metadata map[string]string `json:"metadata"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(out+errOut), &answer); err != nil {
		return "", fmt.Errorf("exit code %d: %s%s: %w", code, out, errOut, err)
	}
	switch e := answer.Error; {
	case code == 0:
		return answer.Actor.ID, nil
	case code == 3 && e.Code == "outcome_unknown" && e.ExitCode == 3 && e.Metadata["idempotency_key"] == name:
		return "", errNotKnown
	default:
		return "", fmt.Errorf("exit code %d: %s", code, errOut)
	}
}

// web creates an actor over HTTP. A connection that breaks says nothing about the write.
func (s *scenario) web(ctx context.Context, at, name string) (string, error) {
	status, body, err := s.post(ctx, patience, at, name)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNotKnown, err)
	}
	var answer struct {
		Actor struct {
			ID string `json:"actor_id"`
		} `json:"actor"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		return "", fmt.Errorf("%d %s", status, body)
	}
	return answer.Actor.ID, nil
}

func (s *scenario) post(ctx context.Context, limit time.Duration, at, name string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	text, err := json.Marshal(map[string]string{"name": name, "runner_name_selector": nobody, "crash_policy": "restart"})
	if err != nil {
		return 0, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at+"/actors?namespace=default", bytes.NewReader(text))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", name)
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	began := time.Now()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("after %v: %w", round(time.Since(began)), err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, string(answer), err
}
