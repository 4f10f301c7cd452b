package grpcapi

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// maxScanned bounds how many rows one page looks at: a page that meets it ends there, with a cursor.
const maxScanned = 100_000

// List answers with the actors of a name, of a name and key, or of ids, newest first; or with those of a runner.
func (s *actorService) List(ctx context.Context, req *callboardv1.ListRequest) (*callboardv1.ListResponse, error) {
	if err := checkActorSelection(req); err != nil {
		return nil, err
	}
	limit, err := pageSize(req.GetLimit())
	if err != nil {
		return nil, err
	}
	q := askActors(req)
	place, err := q.seq(req.GetCursor())
	if err != nil {
		return nil, err
	}
	var runner fsm.RunnerID
	if req.GetRunnerId() != "" {
		if runner, err = parseRunnerID("runner_id", req.GetRunnerId()); err != nil {
			return nil, err
		}
	}
	var ids []fsm.ActorID
	for _, text := range req.GetActorIds() {
		id, err := parseActorID("actor_ids", text)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	view, ns, err := s.namespaceView(ctx, req.GetNamespace(), req.GetConsistency())
	if err != nil {
		return nil, err
	}
	var page actorPage
	switch {
	case req.GetRunnerId() != "":
		r, err := findRunner(view, ns, runner)
		if err != nil {
			return nil, err
		}
		page = pageOfRunner(view, r, place, limit)
	case len(ids) > 0:
		page = pageOfIDs(view, ns, ids, place, limit)
	case req.Key != nil && !req.GetIncludeDestroyed():
		page = pageOfKey(view, ns, req, place)
	default:
		page = pageOfName(view, ns, req, place, limit)
	}
	answer := &callboardv1.ListResponse{Index: view.Index()}
	reader := readActors(view)
	for _, a := range page.actors {
		answer.Actors = append(answer.Actors, reader.message(a))
	}
	if page.more {
		answer.NextCursor = q.cursorAtSeq(page.last)
	}
	return answer, nil
}

// askActors keeps the question of a runner apart from the others: their cursors stay as they were.
func askActors(req *callboardv1.ListRequest) question {
	if req.GetRunnerId() != "" {
		return ask(listActorsOfRunner, req.GetNamespace(), req.GetRunnerId())
	}
	return ask(listActors, req.GetNamespace(), req.GetName(), fmt.Sprint(req.Key != nil), req.GetKey(), fmt.Sprint(req.GetIncludeDestroyed()), fmt.Sprint(req.GetActorIds()))
}

func checkActorSelection(req *callboardv1.ListRequest) error {
	switch {
	case req.GetRunnerId() != "":
		return checkActorsOfRunner(req)
	case len(req.GetActorIds()) > maxActorIDs:
		return callboardv1.Refuse("validation", "too_many_actor_ids", "%d actor ids are given, and at most %d are allowed: ask in several calls", len(req.GetActorIds()), maxActorIDs).
			With("field", "actor_ids").With("max", fmt.Sprint(maxActorIDs)).With("count", fmt.Sprint(len(req.GetActorIds())))
	case len(req.GetActorIds()) > 0 && (req.GetName() != "" || req.Key != nil):
		return invalidInput("actor_ids", "actor_ids are given together with name or key: give either")
	case len(req.GetActorIds()) > 0:
		return nil
	case req.Key != nil && req.GetName() == "":
		return invalidInput("name", "key is given without name: a key belongs to a name")
	case req.GetName() == "":
		return invalidInput("name", "none of name, actor_ids and runner_id is given: say which actors to list")
	case req.Key != nil:
		return problem(checkActorName(req.GetName()), checkActorKey(req.GetKey()))
	default:
		return problem(checkActorName(req.GetName()))
	}
}

func checkActorsOfRunner(req *callboardv1.ListRequest) error {
	switch {
	case req.GetName() != "" || req.Key != nil || len(req.GetActorIds()) > 0:
		return invalidInput("runner_id", "runner_id is given together with name, key or actor_ids: give one of them")
	case req.GetIncludeDestroyed():
		return invalidInput("include_destroyed", "include_destroyed is given together with runner_id: a runner holds no actor that has ended")
	default:
		return nil
	}
}

// actorPage is one page. The place of its last row is kept apart: that row may not be in the page.
type actorPage struct {
	actors []*fsm.Actor
	last   uint64
	more   bool
}

// pageOfRunner goes by revision. That of an actor only grows while the runner has it, and one that comes gets the highest: whoever is not
// listed yet is above the place, however much moves between two pages.
func pageOfRunner(v *fsm.View, r *fsm.Runner, after uint64, limit int) actorPage {
	var page actorPage
	for a := range v.ActorsOf(r, after) {
		if len(page.actors) == limit {
			page.more = true
			return page
		}
		page.actors = append(page.actors, a)
		page.last = a.RunnerRev
	}
	return page
}

func pageOfIDs(v *fsm.View, ns *fsm.Namespace, ids []fsm.ActorID, before uint64, limit int) actorPage {
	var all []*fsm.Actor
	for _, id := range ids {
		a := v.Actor(id)
		if a != nil && v.ActorNamespace(a) == ns && (before == 0 || a.Seq < before) {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b *fsm.Actor) int { return cmp.Compare(b.Seq, a.Seq) })
	all = slices.CompactFunc(all, func(a, b *fsm.Actor) bool { return a.ID == b.ID })
	if len(all) <= limit {
		return actorPage{actors: all}
	}
	return actorPage{actors: all[:limit], last: all[limit-1].Seq, more: true}
}

func pageOfKey(v *fsm.View, ns *fsm.Namespace, req *callboardv1.ListRequest, before uint64) actorPage {
	a := v.ActorByKey(ns.ID, req.GetName(), req.GetKey())
	if a == nil || a.Phase == fsm.Destroyed || (before != 0 && a.Seq >= before) {
		return actorPage{}
	}
	return actorPage{actors: []*fsm.Actor{a}}
}

func pageOfName(v *fsm.View, ns *fsm.Namespace, req *callboardv1.ListRequest, before uint64, limit int) actorPage {
	var page actorPage
	scanned := 0
	for a := range v.Actors(ns, req.GetName(), before) {
		if scanned == maxScanned {
			page.more = true
			return page
		}
		wanted := (req.GetIncludeDestroyed() || a.Phase != fsm.Destroyed) && (req.Key == nil || a.HasKey && a.Key == req.GetKey())
		if wanted && len(page.actors) == limit {
			page.more = true
			return page
		}
		if wanted {
			page.actors = append(page.actors, a)
		}
		page.last = a.Seq
		scanned++
	}
	return page
}

// Get answers with one actor, and may wait until it runs.
func (s *actorService) Get(ctx context.Context, req *callboardv1.GetRequest) (*callboardv1.GetResponse, error) {
	id, err := parseActorID("actor_id", req.GetActorId())
	if err != nil {
		return nil, err
	}
	wait, err := waitTime(req.GetTimeoutMs())
	if err != nil {
		return nil, err
	}
	view, ns, err := s.namespaceView(ctx, req.GetNamespace(), req.GetConsistency())
	if err != nil {
		return nil, err
	}
	a, err := findActor(view, ns, id)
	if err != nil {
		return nil, err
	}
	if req.GetWaitRunning() && a.Phase != fsm.Running {
		waiting, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if view, a, err = s.waitRunning(waiting, view.Index(), id, nil); err != nil {
			return nil, err
		}
	}
	return &callboardv1.GetResponse{Actor: readActors(view).message(a), Index: view.Index()}, nil
}

// findActor finds an actor of a namespace. One of another namespace is not found, rather than forbidden: ids tell nothing.
func findActor(v *fsm.View, ns *fsm.Namespace, id fsm.ActorID) (*fsm.Actor, error) {
	a := v.Actor(id)
	if a == nil || v.ActorNamespace(a) != ns {
		return nil, actorNotFound(id, ns.Name)
	}
	return a, nil
}

func actorNotFound(id fsm.ActorID, namespace string) error {
	return callboardv1.Refuse("actor", "not_found",
		"there is no actor %s in namespace %s: it never existed, or it ended more than an hour ago", id, namespace).With("actor_id", id.String())
}

// ActorNames answers with the names that actors of a namespace bear, in order, a page at a time.
func (a *API) ActorNames(ctx context.Context, namespace, cursor string, limit uint32) (names []string, next string, index uint64, err error) {
	view, ns, q, after, size, err := a.namesPage(ctx, listActorNames, namespace, cursor, limit)
	if err != nil {
		return nil, "", 0, err
	}
	for name := range view.ActorNames(ns, after) {
		if len(names) == size {
			return names, q.cursorAtName(names[size-1]), view.Index(), nil
		}
		names = append(names, name)
	}
	return names, "", view.Index(), nil
}

func (a *API) namesPage(ctx context.Context, kind listKind, namespace, cursor string, limit uint32) (
	view *fsm.View, ns *fsm.Namespace, q question, after string, size int, err error,
) {
	q = ask(kind, namespace)
	if size, err = pageSize(limit); err != nil {
		return nil, nil, q, "", 0, err
	}
	if after, err = q.name(cursor); err != nil {
		return nil, nil, q, "", 0, err
	}
	view, ns, err = a.namespaceView(ctx, namespace, callboardv1.Consistency_CONSISTENCY_LINEARIZABLE)
	return view, ns, q, after, size, err
}
