package fsm

import (
	"iter"
	"slices"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// RequestID names a request.
type RequestID ID

func (id RequestID) String() string { return ID(id).String() }

// StartID names one process of an engine node: the next one of the same node has another.
type StartID ID

// RequestPhase is how far a request has come, numbered as callboard.v1.RequestState.
type RequestPhase uint8

// The phases.
const (
	RequestOpening RequestPhase = 1 // decided; its node has not said that it is sent
	RequestWaiting RequestPhase = 2 // sent; its runner has not connected
	RequestJoined  RequestPhase = 3 // its runner has connected
	RequestEnded   RequestPhase = 4
)

// RequestEnd says why a request ended, numbered as callboard.v1.RequestEnd.
type RequestEnd uint8

// The ends.
const (
	RequestFinished        RequestEnd = 1
	RequestFailed          RequestEnd = 2
	RequestExpired         RequestEnd = 3
	RequestNotNeeded       RequestEnd = 4
	RequestNodeLost        RequestEnd = 5
	RequestRunnerLost      RequestEnd = 6
	RequestEndpointChanged RequestEnd = 7
)

// maxRequestText bounds what a request keeps of an error, in bytes.
const maxRequestText = 512

// Request is one HTTP request that a node holds open to a pool's endpoint, so that a runner lives behind it. It is sent at most once and
// becomes at most one runner. A row is never changed: it is replaced.
type Request struct {
	ID       RequestID
	Seq      uint64 // order of opening
	Node     string // name of the node that carries it
	Start    StartID
	Slots    uint32 // asked for
	Endpoint uint64 // fingerprint of the url and the headers that it was opened with
	Probes   uint32 // version that it was opened to look for; 0: actors needed it

	Phase    RequestPhase
	Expiring bool // a replacement is wanted
	Drains   bool // its runner drains because of its end
	Instance InstanceID
	Runner   RunnerID

	OpenMs, SendMs, EndedMs                                    int64 // cluster clock
	SendByMs, JoinByMs, ReplaceMs, DrainMs, ExpireMs, RetireMs int64 // cluster clock; RetireMs 0: it has actors
	OpenWall, SendWall, JoinWall, EndWall                      int64
	End                                                        RequestEnd
	Code, Message                                              string

	pool, ordinal uint32
}

// poolRequestKey lists the requests of a pool that have not ended, or those that have; oldest first.
type poolRequestKey struct {
	pool    uint32
	ended   bool
	seq     uint64
	ordinal uint32
}

func poolRequestLess(a, b poolRequestKey) bool {
	if a.pool != b.pool {
		return a.pool < b.pool
	}
	if a.ended != b.ended {
		return b.ended
	}
	return a.seq < b.seq
}

func (r *Request) poolKey() poolRequestKey {
	return poolRequestKey{r.pool, r.Phase == RequestEnded, r.Seq, r.ordinal}
}

// agendaKey says when something follows by itself.
func (r *Request) agendaKey() agendaKey {
	return agendaKey{atMs: r.dueMs(), kind: DueRequest, seq: r.Seq, row: r.ordinal}
}

func (r *Request) dueMs() int64 {
	var at int64
	switch {
	case r.Phase == RequestOpening:
		return r.SendByMs
	case r.Phase == RequestWaiting:
		return r.JoinByMs
	case r.Phase == RequestEnded:
		return r.EndedMs + endedKeptMs
	case r.Drains:
		return r.ExpireMs
	case r.Expiring:
		at = r.DrainMs
	default:
		at = r.ReplaceMs
	}
	if r.RetireMs != 0 {
		at = min(at, r.RetireMs)
	}
	return at
}

// halfOpen tells whether its runner is still to come.
func (r *Request) halfOpen() bool { return r.Phase == RequestOpening || r.Phase == RequestWaiting }

// counts are what one request adds to the counts of its pool.
func (r *Request) counts() PoolStats {
	if r == nil {
		return PoolStats{}
	}
	c := PoolStats{
		Expiring: uint32(count(r.Phase == RequestJoined && r.Expiring && !r.Drains)),
		Requests: uint32(count(r.Phase != RequestEnded)), EndedRequests: uint32(count(r.Phase == RequestEnded)), HalfOpen: uint32(count(r.halfOpen())),
	}
	if r.halfOpen() {
		c.AskedSlots = uint64(r.Slots)
	}
	return c
}

// OpenedSince returns how many requests a pool has opened after a cluster clock, and when the oldest of those was opened; it counts at most
// limit, the newest first.
func (s *State) OpenedSince(p *Pool, sinceMs int64, limit int) (opened int, oldestMs int64) {
	var times []int64
	for _, ended := range []bool{false, true} {
		n := 0
		for r := range s.Requests(p, ended, 0) {
			if r.OpenMs <= sinceMs || n == limit {
				break
			}
			times, n = append(times, r.OpenMs), n+1
		}
	}
	slices.Sort(times)
	times = times[max(0, len(times)-limit):]
	if len(times) == 0 {
		return 0, 0
	}
	return len(times), times[0]
}

// Request finds a request by id; nil: there is none.
func (s *State) Request(id RequestID) *Request {
	k, ok := s.requestsByID.Get(idKey{id: ID(id)})
	if !ok {
		return nil
	}
	return s.requests.Get(k.row)
}

// RequestPool returns the pool of a request.
func (s *State) RequestPool(r *Request) *Pool { return s.pools.Get(r.pool) }

// RequestCount returns how many requests there are, ended ones included.
func (s *State) RequestCount() int { return s.requestOrdinals.taken() }

// RequestsIndex returns the log index of the last entry that changed a request, as far as this node knows.
func (s *State) RequestsIndex() uint64 { return s.requestsIndex }

// RequestsOpened returns how many requests have been opened since the beginning.
func (s *State) RequestsOpened() uint64 { return s.requestSeq }

// OpenRequests yields the requests of a pool that have not ended, oldest first.
func (s *State) OpenRequests(p *Pool) iter.Seq[*Request] {
	return s.poolRequestsFrom(poolRequestKey{pool: p.ordinal})
}

func (s *State) poolRequestsFrom(from poolRequestKey) iter.Seq[*Request] {
	return func(yield func(*Request) bool) {
		for k := range s.poolRequests.From(from) {
			if k.pool != from.pool || k.ended != from.ended || !yield(s.requests.Get(k.ordinal)) {
				return
			}
		}
	}
}

// Requests yields the requests of a pool, newest first: those that have not ended, or those that have, beginning below a Seq; 0: from the
// newest.
func (s *State) Requests(p *Pool, ended bool, before uint64) iter.Seq[*Request] {
	return func(yield func(*Request) bool) {
		for k := range s.poolRequests.DownFrom(poolRequestKey{pool: p.ordinal, ended: ended, seq: before - 1}) { // 0 - 1: the greatest
			if k.pool != p.ordinal || k.ended != ended || !yield(s.requests.Get(k.ordinal)) {
				return
			}
		}
	}
}

// AllOpenRequests yields every request that has not ended, in an order that a restore keeps within each pool.
func (s *State) AllOpenRequests() iter.Seq[*Request] {
	return func(yield func(*Request) bool) {
		for p := range s.poolsInOrder() {
			if s.PoolStats(p).Requests == 0 {
				continue
			}
			for r := range s.OpenRequests(p) {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// RunnerRequest returns the request that a runner answers; nil: it connected by itself, or the request is forgotten.
func (s *State) RunnerRequest(r *Runner) *Request {
	if ID(r.Request).IsZero() {
		return nil
	}
	return s.Request(r.Request)
}

// ExcessRequest returns the oldest ended request of a pool if there are more than are kept; nil: there are not.
func (s *State) ExcessRequest(p *Pool) *Request {
	if s.PoolStats(p).EndedRequests <= MaxEndedRequests {
		return nil
	}
	for r := range s.poolRequestsFrom(poolRequestKey{pool: p.ordinal, ended: true}) {
		return r
	}
	return nil
}

// Limits of requests.
const (
	// MaxRequests bounds how many a cluster knows, ended ones included.
	MaxRequests = 1 << 20
	// MaxEndedRequests bounds how many ended requests of a pool are kept.
	MaxEndedRequests = 1_000
)

func (tx *Tx) openRequest(op *logv1.OpenRequest) Result {
	id, ok1 := idFrom(op.GetRequestId())
	start, ok2 := idFrom(op.GetStartId())
	if !ok1 || !ok2 || op.GetNode() == "" || op.GetSlots() < 1 || op.GetSlots() > MaxSlots {
		return refuse(CodeMalformed)
	}
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	inOrder := op.GetSendByMs() <= op.GetExpireMs() && op.GetReplaceMs() <= op.GetDrainMs() && op.GetDrainMs() <= op.GetExpireMs()
	switch {
	case !p.Serverless():
		return refuse(CodeIllegal)
	case !inOrder || op.GetExpireMs() <= tx.clockMs:
		return refuse(CodeMalformed)
	case tx.Request(RequestID(id)) != nil:
		return refuse(CodeExists)
	case tx.RequestCount() >= MaxRequests:
		return refuse(CodeFull)
	}
	tx.requestSeq++
	tx.addRequest(&Request{
		ID: RequestID(id), Seq: tx.requestSeq, Node: op.GetNode(), Start: StartID(start), Slots: op.GetSlots(), Endpoint: op.GetEndpoint(),
		Probes: op.GetProbesVersion(), Phase: RequestOpening, OpenMs: tx.clockMs, OpenWall: tx.wallMs, SendByMs: op.GetSendByMs(),
		ReplaceMs: op.GetReplaceMs(), DrainMs: op.GetDrainMs(), ExpireMs: op.GetExpireMs(), pool: p.ordinal,
	})
	return Result{}
}

// addRequest gives a new row its ordinal and puts it.
func (tx *Tx) addRequest(r *Request) {
	r.ordinal = tx.requestOrdinals.take()
	tx.requestsByID.Put(idKey{id: ID(r.ID), row: r.ordinal})
	tx.replaceRequest(nil, r)
}

func (tx *Tx) sendRequest(op *logv1.SendRequest) Result {
	r, res := tx.openRequestOf(op.GetRequestId())
	if res.Code != CodeOK {
		return res
	}
	if r.Phase != RequestOpening {
		return refuse(CodeIllegal)
	}
	next := *r
	next.Phase, next.SendMs, next.SendWall, next.JoinByMs = RequestWaiting, tx.clockMs, tx.wallMs, op.GetJoinByMs()
	tx.replaceRequest(r, &next)
	return Result{}
}

func (tx *Tx) claimRequest(op *logv1.ClaimRequest) Result {
	r, res := tx.openRequestOf(op.GetRequestId())
	if res.Code != CodeOK {
		return res
	}
	instance, ok := idFrom(op.GetInstanceId())
	if !ok {
		return refuse(CodeMalformed)
	}
	if !ID(r.Instance).IsZero() {
		return refuse(CodeExists)
	}
	next := *r
	next.Instance = InstanceID(instance)
	tx.replaceRequest(r, &next)
	return Result{}
}

// joinable tells whether a runner process may connect for a request.
func (r *Request) joinable(pool uint32, instance InstanceID) bool {
	return r != nil && r.pool == pool && r.halfOpen() && (ID(r.Instance).IsZero() || r.Instance == instance)
}

// MayJoin reports whether a runner process of a pool may connect for a request: not if there is none (not_found), if it is over (stale),
// or if another process has it (exists).
func (s *State) MayJoin(r *Request, p *Pool, instance InstanceID) Code {
	switch {
	case r == nil || r.pool != p.ordinal:
		return CodeNotFound
	case r.Phase == RequestEnded:
		return CodeStale
	case !r.joinable(p.ordinal, instance):
		return CodeExists
	}
	return CodeOK
}

// join gives a request its runner.
func (tx *Tx) join(r *Request, runner *Runner) {
	next := *r
	next.Phase, next.Runner, next.Instance, next.JoinWall = RequestJoined, runner.ID, runner.Instance, tx.wallMs
	if next.SendWall == 0 { // its runner was faster than the node that sent it
		next.SendMs, next.SendWall = tx.clockMs, tx.wallMs
	}
	tx.replaceRequest(r, &next)
}

func (tx *Tx) expireRequest(op *logv1.ExpireRequest) Result {
	r, res := tx.openRequestOf(op.GetRequestId())
	if res.Code != CodeOK {
		return res
	}
	if r.Phase != RequestJoined || r.Drains || r.Expiring && !op.GetDrains() {
		return refuse(CodeIllegal)
	}
	next := *r
	next.Expiring, next.Drains = true, op.GetDrains()
	if op.GetExpireMs() != 0 {
		next.ExpireMs = op.GetExpireMs()
	}
	tx.replaceRequest(r, &next)
	if runner := tx.Runner(r.Runner); runner != nil && runner.End == NotEnded && !runner.Expiring {
		expiring := *runner
		expiring.Expiring = true
		tx.replaceRunner(runner, &expiring)
	}
	return Result{}
}

func (tx *Tx) retireRequest(op *logv1.RetireRequest) Result {
	r, res := tx.openRequestOf(op.GetRequestId())
	if res.Code != CodeOK {
		return res
	}
	if r.Phase != RequestJoined || r.RetireMs == op.GetRetireMs() || op.GetRetireMs() < 0 {
		return refuse(CodeIllegal)
	}
	next := *r
	next.RetireMs = op.GetRetireMs()
	tx.replaceRequest(r, &next)
	return Result{}
}

func (tx *Tx) endRequest(op *logv1.EndRequest) Result {
	r, res := tx.openRequestOf(op.GetRequestId())
	if res.Code != CodeOK {
		return res
	}
	if op.GetCause() < uint32(RequestFinished) || op.GetCause() > uint32(RequestEndpointChanged) ||
		len(op.GetCode()) > maxRequestText || len(op.GetMessage()) > maxRequestText {
		return refuse(CodeMalformed)
	}
	next := *r
	next.Phase, next.End, next.Code, next.Message = RequestEnded, RequestEnd(op.GetCause()), op.GetCode(), op.GetMessage()
	next.EndedMs, next.EndWall = tx.clockMs, tx.wallMs
	tx.replaceRequest(r, &next)
	return Result{}
}

func (tx *Tx) forgetRequest(op *logv1.ForgetRequest) Result {
	id, ok := idFrom(op.GetRequestId())
	r := tx.Request(RequestID(id))
	if !ok || r == nil {
		return refuse(CodeNotFound)
	}
	if r.Phase != RequestEnded {
		return refuse(CodeIllegal)
	}
	tx.replaceRequest(r, nil)
	tx.requestsByID.Delete(idKey{id: ID(r.ID)})
	tx.requestOrdinals.release(r.ordinal)
	return Result{}
}

// openRequestOf finds a request that has not ended.
func (tx *Tx) openRequestOf(id []byte) (*Request, Result) {
	rid, ok := idFrom(id)
	if !ok {
		return nil, refuse(CodeMalformed)
	}
	r := tx.Request(RequestID(rid))
	if r == nil {
		return nil, refuse(CodeNotFound)
	}
	if r.Phase == RequestEnded {
		return nil, refuse(CodeStale)
	}
	return r, Result{}
}

// replaceRequest writes a row and what is derived from it: nil old adds, nil next removes.
func (tx *Tx) replaceRequest(old, next *Request) {
	row := next
	if row == nil {
		row = old
	}
	tx.requests.Set(row.ordinal, next)
	tx.rehash(old.hash(tx.poolSeed(row.pool)), next.hash(tx.poolSeed(row.pool)))
	was, is := requestKeysOf(old), requestKeysOf(next)
	moveKey(tx.poolRequests, was.pool, is.pool)
	moveKey(tx.agenda, was.agenda, is.agenda)
	tx.poolStats.Set(row.pool, tx.poolStats.Get(row.pool).plus(old.counts(), -1).plus(next.counts(), +1))
	tx.touchedRequests = append(tx.touchedRequests, row.ordinal)
	tx.dirtyPool(row.pool)
	tx.settleDeleted(row.pool)
}

// requestKeys are the keys under which a row is found; the zero value of a key: not there.
type requestKeys struct {
	pool   poolRequestKey
	agenda agendaKey
}

func requestKeysOf(r *Request) requestKeys {
	if r == nil {
		return requestKeys{}
	}
	return requestKeys{pool: r.poolKey(), agenda: r.agendaKey()}
}
