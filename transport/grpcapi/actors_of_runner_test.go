package grpcapi

import (
	"slices"
	"strings"
	"testing"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// actorsOf lists one page of what a runner holds.
func actorsOf(t *testing.T, api *API, runner fsm.RunnerID, cursor string, limit uint32) *callboardv1.ListResponse {
	t.Helper()
	page, err := api.Actors().List(t.Context(), &callboardv1.ListRequest{Namespace: "default", RunnerId: runner.String(), Cursor: cursor, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	if uint32(len(page.GetActors())) > limit {
		t.Fatalf("%d actors in a page of %d", len(page.GetActors()), limit)
	}
	return page
}

// TestTheActorsOfARunner are those that start, run or stop there: no others, whatever their names.
func TestTheActorsOfARunner(t *testing.T) {
	e, api := newAPI(0)
	runner, other, ended := e.AddRunner("p", "r", 1, 4), e.AddRunner("q", "other", 1, 1), e.AddRunner("z", "ended", 1, 1)
	e.EndRunner(ended)
	sleepy, doomed := create(t, api, "sleepy", ""), create(t, api, "doomed", "")
	e.ReportRunning()
	change := func(sleep, destroy string) {
		if sleep != "" {
			if _, err := api.Actors().Sleep(t.Context(), &callboardv1.SleepRequest{Namespace: "default", ActorId: sleep}); err != nil {
				t.Fatal(err)
			}
		}
		if destroy != "" {
			if _, err := api.Actors().Destroy(t.Context(), &callboardv1.DestroyRequest{Namespace: "default", ActorId: destroy, TimeoutMs: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	change(sleepy.GetActorId(), doomed.GetActorId())
	e.ReportStopped() // these two are gone from the runner
	stopping := create(t, api, "stopping", "k")
	create(t, api, "running", "")
	e.ReportRunning()
	change("", stopping.GetActorId())
	create(t, api, "starting", "")
	if _, err := api.Actors().Create(t.Context(), &callboardv1.CreateRequest{Namespace: "default", Name: "elsewhere", Pool: "q"}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		runner fsm.RunnerID
		want   string
	}{
		{runner, "running:RUNNING stopping:STOPPING starting:STARTING"}, // told to stop after the other was told to run
		{other, "elsewhere:STARTING"},
		{ended, ""},
	} {
		page := actorsOf(t, api, test.runner, "", 100)
		var got []string
		for _, a := range page.GetActors() {
			got = append(got, a.GetName()+":"+strings.TrimPrefix(a.GetState().String(), "ACTOR_STATE_"))
			if a.GetRunnerId() != test.runner.String() {
				t.Errorf("%v is not on the runner", a)
			}
		}
		if text := strings.Join(got, " "); text != test.want || page.GetNextCursor() != "" || page.GetIndex() == 0 {
			t.Errorf("%q, cursor %q, index %d; want %q and no more", text, page.GetNextCursor(), page.GetIndex(), test.want)
		}
	}
	if _, err := api.Namespaces().Create(t.Context(), &callboardv1.NamespaceServiceCreateRequest{Name: "n"}); err != nil {
		t.Fatal(err)
	}
	_, err := api.Actors().List(t.Context(), &callboardv1.ListRequest{Namespace: "n", RunnerId: runner.String()})
	expectRefusal(t, err, "runner.not_found", "")
}

// TestACursorBelongsToItsRunner: it goes neither with another runner nor with another list, and theirs do not go with it.
func TestACursorBelongsToItsRunner(t *testing.T) {
	e, api := newAPI(0)
	runner, other := e.AddRunner("p", "r", 1, 2), e.AddRunner("q", "other", 1, 2)
	create(t, api, "a", "")
	create(t, api, "a", "")
	ofRunner := actorsOf(t, api, runner, "", 1).GetNextCursor()
	byName, err := api.Actors().List(t.Context(), &callboardv1.ListRequest{Namespace: "default", Name: "a", Limit: 1})
	if err != nil || ofRunner == "" || byName.GetNextCursor() == "" {
		t.Fatalf("cursors %q and %v, %v", ofRunner, byName, err)
	}
	for _, req := range []*callboardv1.ListRequest{
		{RunnerId: other.String(), Cursor: ofRunner},
		{Name: "a", Cursor: ofRunner},
		{RunnerId: runner.String(), Cursor: byName.GetNextCursor()},
	} {
		req.Namespace = "default"
		_, err := api.Actors().List(t.Context(), req)
		expectRefusal(t, err, "api.bad_request", "cursor")
	}
	if rest := actorsOf(t, api, runner, ofRunner, 2); len(rest.GetActors()) != 1 || rest.GetNextCursor() != "" {
		t.Errorf("the rest: %v", rest)
	}
}

// TestPagesOfARunnerLoseNothing lists 2 500 actors page by page. Between two pages some are told to stop, some of these leave, some of
// those come back, and new ones come. Each page begins above the one before; whoever is there at the end was listed.
func TestPagesOfARunnerLoseNothing(t *testing.T) {
	const actors, limit = 2_500, 300
	e, api := newAPI(0)
	for range 5 { // a place is no sequence number: those go ahead of the runner's revisions
		create(t, api, "earlier", "")
	}
	runner := e.AddRunner("q", "r", 1, 2*actors)
	var ids []string
	for len(ids) < actors {
		batch := slices.Repeat([]*callboardv1.NewActor{{Name: "a", Pool: "q"}}, 500)
		made, err := api.Actors().CreateBatch(t.Context(), &callboardv1.CreateBatchRequest{Namespace: "default", Actors: batch})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, made.GetActorIds()...)
	}
	e.ReportRunning()
	seen := map[string]int{}
	told := func(i int) string { return ids[7*i%actors] } // some that are listed and some that are not
	asleep := 0
	cursor := ""
	for pages := 1; ; pages++ {
		page := actorsOf(t, api, runner, cursor, limit)
		for _, a := range page.GetActors() {
			seen[a.GetActorId()]++
		}
		if cursor = page.GetNextCursor(); cursor == "" {
			break
		}
		if pages > 20 {
			t.Fatal("the list does not end")
		}
		for range 40 {
			if _, err := api.Actors().Sleep(t.Context(), &callboardv1.SleepRequest{Namespace: "default", ActorId: told(asleep)}); err != nil {
				t.Fatal(err)
			}
			asleep++
		}
		if pages%3 == 0 {
			e.ReportStopped()
			for i := asleep - 20; i < asleep; i++ { // they come back
				if _, err := api.Actors().Wake(t.Context(), &callboardv1.WakeRequest{Namespace: "default", ActorId: told(i)}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := api.Actors().Create(t.Context(), &callboardv1.CreateRequest{Namespace: "default", Name: "b", Pool: "q"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	twice, there := 0, 0
	for _, n := range seen {
		if n > 1 {
			twice++
		}
	}
	view, err := e.View(t.Context(), callboardv1.Consistency_CONSISTENCY_LINEARIZABLE)
	if err != nil {
		t.Fatal(err)
	}
	for a := range view.ActorsOf(view.Runner(runner), 0) {
		there++
		if seen[a.ID.String()] == 0 {
			t.Errorf("actor %s %s is on the runner and was not listed", a.Name, a.ID)
		}
	}
	if there < actors/2 || twice == 0 {
		t.Errorf("%d actors are there, %d were listed twice: the test moves too many, or nobody who was listed", there, twice)
	}
}
