package grpcapi

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/grpcapi/apitest"
)

// TestPagesLoseNothing lists actors page by page while others come and go. Whoever is there from the first page to the last is
// listed exactly once, newest first, whatever the sizes of the pages.
func TestPagesLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := apitest.New()
		e.AddPool("default", "p")
		api := New(e, &apitest.Cluster{})
		actors := api.Actors()
		ctx := t.Context()
		var all []string
		add := func(name string) {
			answer, err := actors.Create(ctx, &callboardv1.CreateRequest{Namespace: "default", Name: name, Pool: "p"})
			if err != nil {
				t.Fatal(err)
			}
			if name == "a" {
				all = append(all, answer.GetActor().GetActorId())
			}
		}
		for range rapid.IntRange(0, 30).Draw(t, "actors") {
			add(rapid.SampledFrom([]string{"a", "a", "b"}).Draw(t, "name"))
		}
		staying := slices.Clone(all)
		req := &callboardv1.ListRequest{Namespace: "default", Name: "a"}
		var listed []string
		for page := 0; page == 0 || req.GetCursor() != ""; page++ {
			req.Limit = uint32(rapid.IntRange(1, 7).Draw(t, "limit"))
			answer, err := actors.List(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			if len(answer.GetActors()) > int(req.GetLimit()) {
				t.Fatalf("%d actors in a page of %d", len(answer.GetActors()), req.GetLimit())
			}
			for _, a := range answer.GetActors() {
				listed = append(listed, a.GetActorId())
			}
			if answer.GetNextCursor() != "" && answer.GetNextCursor() == req.GetCursor() {
				t.Fatal("the cursor stands still")
			}
			req.Cursor = answer.GetNextCursor()
			for range rapid.IntRange(0, 2).Draw(t, "comings") {
				add("a")
			}
			if len(staying) > 0 && rapid.Bool().Draw(t, "going") {
				at := rapid.IntRange(0, len(staying)-1).Draw(t, "who")
				if _, err := actors.Destroy(ctx, &callboardv1.DestroyRequest{Namespace: "default", ActorId: staying[at]}); err != nil {
					t.Fatal(err)
				}
				staying = slices.Delete(staying, at, at+1)
			}
		}
		slices.Reverse(staying) // newest first
		var found []string
		for _, id := range listed {
			if slices.Contains(staying, id) {
				found = append(found, id)
			}
		}
		if !slices.Equal(found, staying) {
			t.Fatalf("listed %v, want %v", found, staying)
		}
	})
}

func TestPagesOfEveryList(t *testing.T) {
	e, api := newAPI(0)
	const n = 7
	for i := range n {
		create(t, api, fmt.Sprintf("name-%d", i), "")
		e.AddRunner(fmt.Sprintf("pool-%d", i), "k", 1, 1)
		if _, err := api.Namespaces().Create(t.Context(), &callboardv1.NamespaceServiceCreateRequest{Name: fmt.Sprintf("ns-%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	lists := map[string]struct {
		want int
		page func(cursor string, limit uint32) (names []string, next string, err error)
	}{
		"actor names": {n, func(cursor string, limit uint32) ([]string, string, error) {
			names, next, _, err := api.ActorNames(ctx, "default", cursor, limit)
			return names, next, err
		}},
		"runner names": {n, func(cursor string, limit uint32) ([]string, string, error) {
			names, next, _, err := api.RunnerNames(ctx, "default", cursor, limit)
			return names, next, err
		}},
		"pool configs": {n + 1, func(cursor string, limit uint32) (names []string, next string, err error) {
			pools, next, _, err := api.PoolConfigs(ctx, "default", cursor, limit)
			for _, p := range pools {
				names = append(names, p.GetName())
			}
			return names, next, err
		}},
		"runners": {n, func(cursor string, limit uint32) (names []string, next string, err error) {
			answer, err := api.Runners().List(ctx, &callboardv1.RunnerServiceListRequest{Namespace: "default", Cursor: cursor, Limit: limit})
			for _, r := range answer.GetRunners() {
				names = append(names, r.GetPool())
			}
			return names, answer.GetNextCursor(), err
		}},
		"namespaces": {n + 1, func(cursor string, limit uint32) (names []string, next string, err error) {
			answer, err := api.Namespaces().List(ctx, &callboardv1.NamespaceServiceListRequest{Cursor: cursor, Limit: limit})
			for _, ns := range answer.GetNamespaces() {
				names = append(names, ns.GetName())
			}
			return names, answer.GetNextCursor(), err
		}},
	}
	cursors := map[string]string{}
	for name, list := range lists {
		for limit := uint32(1); limit <= uint32(list.want)+1; limit++ {
			seen := map[string]bool{}
			cursor := ""
			for {
				names, next, err := list.page(cursor, limit)
				if err != nil {
					t.Fatal(name, err)
				}
				for _, item := range names {
					if seen[item] {
						t.Errorf("%s: %s is listed twice with pages of %d", name, item, limit)
					}
					seen[item] = true
				}
				if cursor = next; cursor == "" {
					break
				}
				cursors[name] = cursor
			}
			if len(seen) != list.want {
				t.Errorf("%s: %d items with pages of %d, want %d", name, len(seen), limit, list.want)
			}
		}
	}
	for name, list := range lists {
		for other, cursor := range cursors {
			if _, _, err := list.page(cursor, 1); other != name {
				expectRefusal(t, err, "api.bad_request", "cursor")
			}
		}
	}
}

// TestACursorBelongsToItsQuestion tries one with other parameters.
func TestACursorBelongsToItsQuestion(t *testing.T) {
	_, api := newAPI(0)
	for range 3 {
		create(t, api, "a", "")
		create(t, api, "b", "")
	}
	req := &callboardv1.ListRequest{Namespace: "default", Name: "a", Limit: 1}
	page, err := api.Actors().List(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	req.Cursor, req.Limit = page.GetNextCursor(), 2 // the size of the page may change
	if page, err = api.Actors().List(t.Context(), req); err != nil || len(page.GetActors()) != 2 || page.GetNextCursor() != "" {
		t.Errorf("the rest: %v, %v", page, err)
	}
	for name, change := range map[string]func(r *callboardv1.ListRequest){
		"name":      func(r *callboardv1.ListRequest) { r.Name = "b" },
		"destroyed": func(r *callboardv1.ListRequest) { r.IncludeDestroyed = true },
		"namespace": func(r *callboardv1.ListRequest) { r.Namespace = "other" },
	} {
		other := &callboardv1.ListRequest{Namespace: "default", Name: "a", Cursor: req.GetCursor()}
		change(other)
		_, err := api.Actors().List(t.Context(), other)
		t.Log(name)
		expectRefusal(t, err, "api.bad_request", "cursor")
	}
}

func TestListByIDs(t *testing.T) {
	_, api := newAPI(5)
	first, second := create(t, api, "a", ""), create(t, api, "b", "")
	page, err := api.Actors().List(t.Context(), &callboardv1.ListRequest{
		Namespace: "default", ActorIds: []string{first.GetActorId(), second.GetActorId(), first.GetActorId(), someID}, Limit: 1,
	})
	if err != nil || len(page.GetActors()) != 1 || page.GetActors()[0].GetActorId() != second.GetActorId() || page.GetNextCursor() == "" {
		t.Fatalf("first page: %v, %v; want the newest", page, err)
	}
	page, err = api.Actors().List(t.Context(), &callboardv1.ListRequest{
		Namespace: "default", ActorIds: []string{first.GetActorId(), second.GetActorId(), first.GetActorId(), someID}, Limit: 1, Cursor: page.GetNextCursor(),
	})
	if err != nil || len(page.GetActors()) != 1 || page.GetActors()[0].GetActorId() != first.GetActorId() || page.GetNextCursor() != "" {
		t.Fatalf("second page: %v, %v; want the other, once, and no more", page, err)
	}
}

func TestListByKey(t *testing.T) {
	e, api := newAPI(5)
	old := create(t, api, "a", "k")
	if _, err := api.Actors().Destroy(t.Context(), &callboardv1.DestroyRequest{Namespace: "default", ActorId: old.GetActorId(), TimeoutMs: 1}); err != nil {
		t.Fatal(err)
	}
	e.ReportStopped()
	live := create(t, api, "a", "k")
	create(t, api, "a", "other")
	key := "k"
	list := func(destroyed bool) (ids []string) {
		page, err := api.Actors().List(t.Context(), &callboardv1.ListRequest{Namespace: "default", Name: "a", Key: &key, IncludeDestroyed: destroyed})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.GetActors() {
			ids = append(ids, a.GetActorId())
		}
		return ids
	}
	if got := list(false); !slices.Equal(got, []string{live.GetActorId()}) {
		t.Errorf("live: %v", got)
	}
	if got := list(true); !slices.Equal(got, []string{live.GetActorId(), old.GetActorId()}) {
		t.Errorf("with destroyed: %v", got)
	}
}
