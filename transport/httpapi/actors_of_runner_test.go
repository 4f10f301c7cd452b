package httpapi

import (
	"testing"
)

// TestTheActorsOfARunner are listed a page at a time, each with its runner; one that moves between two pages comes again.
func TestTheActorsOfARunner(t *testing.T) {
	e, h := newHandler(0)
	runner, ended := e.AddRunner("p", "r", 1, 5).String(), e.AddRunner("q", "ended", 1, 1)
	e.EndRunner(ended)
	first, second, third := create(t, h, newActor), create(t, h, newActor), create(t, h, newActor)
	e.ReportRunning()
	list := func(query string) (ids []string, cursor string) {
		page := read[actorsBody](t, ok(t, call(h, "GET", "/actors?namespace=default&runner_id="+runner+query, "")))
		for _, a := range page.Actors {
			if a.RunnerID == nil || *a.RunnerID != runner {
				t.Errorf("%+v is not on the runner", a)
			}
			ids = append(ids, a.ActorID)
		}
		if page.Pagination.Cursor != nil {
			cursor = *page.Pagination.Cursor
		}
		return ids, cursor
	}
	page, cursor := list("&limit=2")
	if got, want := jsonOf(t, page), jsonOf(t, []string{first, second}); got != want || cursor == "" {
		t.Fatalf("first page: %s, cursor %q; want %s and more", got, cursor, want)
	}
	expectError(t, call(h, "GET", "/actors?namespace=default&name=a&cursor="+cursor, ""), 400, "api.bad_request", "cursor")
	ok(t, call(h, "POST", "/actors/"+first+"/sleep?namespace=default", "{}"))
	page, cursor = list("&limit=2&cursor=" + cursor)
	if got, want := jsonOf(t, page), jsonOf(t, []string{third, first}); got != want || cursor != "" {
		t.Errorf("second page: %s, cursor %q; want %s and no more", got, cursor, want)
	}
	if r := ok(t, call(h, "GET", "/actors?namespace=default&runner_id="+ended.String(), "")); len(read[actorsBody](t, r).Actors) != 0 || r.header.Get("X-Callboard-Index") == "" {
		t.Errorf("an ended runner: %s at index %q", r.text, r.header.Get("X-Callboard-Index"))
	}
}

// TestARunnerOfManyActors lists 2 500 of them while some move: none that is there is missed.
func TestARunnerOfManyActors(t *testing.T) {
	const actors = 2_500
	e, h := newHandler(0)
	runner := e.AddRunner("p", "r", 1, actors)
	var ids []string
	for range actors {
		ids = append(ids, create(t, h, newActor))
	}
	e.ReportRunning()
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	cursor, pages := "", 0
	for pages == 0 || cursor != "" {
		page := read[actorsBody](t, ok(t, call(h, "GET", "/actors?namespace=default&limit=1000&runner_id="+runner.String()+"&cursor="+cursor, "")))
		for _, a := range page.Actors {
			delete(missing, a.ActorID)
		}
		cursor = ""
		if page.Pagination.Cursor != nil {
			cursor = *page.Pagination.Cursor
		}
		for i := pages; i < actors; i += 100 {
			ok(t, call(h, "POST", "/actors/"+ids[i]+"/sleep?namespace=default", "{}"))
		}
		pages++
	}
	if len(missing) != 0 || pages < 3 {
		t.Errorf("%d of %d actors were not listed in %d pages", len(missing), actors, pages)
	}
}

// TestTheSchemaKnowsRunnerID: what is taken is described.
func TestTheSchemaKnowsRunnerID(t *testing.T) {
	_, h := newHandler(0)
	type parameter struct {
		Name string `json:"name"`
	}
	paths := read[struct {
		Paths map[string]map[string]struct {
			Parameters []parameter `json:"parameters"`
		} `json:"paths"`
	}](t, ok(t, call(h, "GET", "/openapi.json", ""))).Paths
	for _, p := range paths["/actors"]["get"].Parameters {
		if p.Name == "runner_id" {
			return
		}
	}
	t.Errorf("GET /actors has no parameter runner_id: %+v", paths["/actors"]["get"])
}
