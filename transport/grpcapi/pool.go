package grpcapi

import (
	"context"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// poolMessage returns a pool as callers see it. Its config is nil when there is none: deleted, or never written.
func poolMessage(v *fsm.View, ns *fsm.Namespace, p *fsm.Pool, count poolCount) *callboardv1.Pool {
	stats := v.PoolStats(p)
	m := &callboardv1.Pool{
		Namespace:        ns.Name,
		Name:             p.ID.Name,
		Config:           effectiveConfig(v, p),
		AutoCreated:      p.AutoCreated,
		ConnectedRunners: stats.Connected,
		NewestVersion:    count.newest,
		TotalSlots:       count.totalSlots,
		FreeSlots:        count.freeSlots,
		PendingActors:    uint64(stats.Pending),
		PacedActors:      uint64(stats.Paced),
		LiveActors:       uint64(stats.Live),
		DrainingRunners:  uint32(count.draining),
		HeldVersions:     heldVersions(v, p),
	}
	if r := v.OpenRollout(p); r != nil {
		m.RolloutId = r.ID
	}
	if p.Serverless() {
		m.OpenRequests, m.WaitingRequests, m.EndpointError = stats.Requests, stats.HalfOpen, endpointError(v, p)
		e := v.Endpoint(p)
		m.EndpointRuntime, m.EndpointVersion, m.EndpointPollTs = e.GetRuntimeVersion(), e.GetRunnerVersion(), e.GetPolledWallMs()
	}
	return m
}

// poolThere tells whether a pool is shown: one that is deleted stays until its runners and actors have gone.
func poolThere(v *fsm.View, p *fsm.Pool) bool {
	stats := v.PoolStats(p)
	return p.Config != nil || stats.Runners > 0 || stats.Live > 0
}

// List answers with every pool of a namespace, by name.
func (s *poolService) List(ctx context.Context, req *callboardv1.PoolServiceListRequest) (*callboardv1.PoolServiceListResponse, error) {
	view, ns, err := s.namespaceView(ctx, req.GetNamespace(), req.GetConsistency())
	if err != nil {
		return nil, err
	}
	answer := &callboardv1.PoolServiceListResponse{Index: view.Index()}
	runners := takeCensus(view, ns)
	for p := range view.Pools(ns, "") {
		if poolThere(view, p) {
			answer.Pools = append(answer.Pools, poolMessage(view, ns, p, runners.pool(p.ID.Name)))
		}
	}
	return answer, nil
}

// Get answers with one pool.
func (s *poolService) Get(ctx context.Context, req *callboardv1.PoolServiceGetRequest) (*callboardv1.PoolServiceGetResponse, error) {
	if err := problem(checkPoolItself(req.GetName())); err != nil {
		return nil, err
	}
	view, ns, err := s.namespaceView(ctx, req.GetNamespace(), req.GetConsistency())
	if err != nil {
		return nil, err
	}
	p, err := findPool(view, ns, req.GetName())
	if err != nil {
		return nil, err
	}
	return &callboardv1.PoolServiceGetResponse{Pool: poolMessage(view, ns, p, takeCensus(view, ns).pool(p.ID.Name)), Index: view.Index()}, nil
}

func findPool(v *fsm.View, ns *fsm.Namespace, name string) (*fsm.Pool, error) {
	p := v.Pool(fsm.PoolID{Namespace: ns.ID, Name: name})
	if p == nil || !poolThere(v, p) {
		return nil, callboardv1.Refuse("pool", "not_found", "there is no pool %s in namespace %s: see `callboard pool list`", name, ns.Name).With("pool", name)
	}
	return p, nil
}

// checkPoolItself checks the name of a pool that a request is about.
func checkPoolItself(name string) *callboardv1.Error {
	refusal := checkPool(name)
	if refusal == nil {
		return nil
	}
	if name == "" {
		refusal = badField("name", "the pool's name is missing")
	}
	return refusal.With("field", "name")
}

// Put replaces a pool's config, or makes the pool.
func (s *poolService) Put(ctx context.Context, req *callboardv1.PoolServicePutRequest) (*callboardv1.PoolServicePutResponse, error) {
	if err := problem(checkNamespace(req.GetNamespace()), checkPoolItself(req.GetName()), checkPoolConfig(req.GetConfig())); err != nil {
		return nil, err
	}
	config := req.GetConfig()
	if config == nil {
		config = &callboardv1.PoolConfig{}
	}
	success, view, index, err := s.submit(ctx, req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_PutPool{
		PutPool: &callboardv1.PoolServicePutRequest{Namespace: req.GetNamespace(), Name: req.GetName(), Config: config},
	}})
	if err != nil {
		return nil, err
	}
	answer := &callboardv1.PoolServicePutResponse{Warnings: success.GetWarnings(), Index: index}
	if ns := view.Namespace(req.GetNamespace()); ns != nil {
		if p := view.Pool(fsm.PoolID{Namespace: ns.ID, Name: req.GetName()}); p != nil {
			answer.Pool = poolMessage(view, ns, p, takeCensus(view, ns).pool(p.ID.Name))
		}
	}
	return answer, nil
}

// Delete removes a pool's config. Its runners and actors stay.
func (s *poolService) Delete(ctx context.Context, req *callboardv1.PoolServiceDeleteRequest) (*callboardv1.PoolServiceDeleteResponse, error) {
	if err := problem(checkNamespace(req.GetNamespace()), checkPoolItself(req.GetName())); err != nil {
		return nil, err
	}
	_, _, index, err := s.submit(ctx, req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_DeletePool{
		DeletePool: &callboardv1.PoolServiceDeleteRequest{Namespace: req.GetNamespace(), Name: req.GetName()},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.PoolServiceDeleteResponse{Index: index}, nil
}

// PoolConfigs answers with the pools that have a config, by name, a page at a time.
func (a *API) PoolConfigs(ctx context.Context, namespace, cursor string, limit uint32) (pools []*callboardv1.Pool, next string, index uint64, err error) {
	view, ns, q, after, size, err := a.namesPage(ctx, listPoolConfigs, namespace, cursor, limit)
	if err != nil {
		return nil, "", 0, err
	}
	runners := takeCensus(view, ns)
	for p := range view.Pools(ns, after) {
		if p.Config == nil {
			continue
		}
		if len(pools) == size {
			return pools, q.cursorAtName(pools[size-1].GetName()), view.Index(), nil
		}
		pools = append(pools, poolMessage(view, ns, p, runners.pool(p.ID.Name)))
	}
	return pools, "", view.Index(), nil
}
