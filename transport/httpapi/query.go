package httpapi

import (
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// onceEach refuses a query or a header of which an operation would take a part: a parameter that comes twice and is no list, and what
// cannot be read.
func onceEach(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if err := checkParams(ctx.Operation().Parameters, r); err != nil {
		writeError(w, failure(err))
		return
	}
	next(ctx)
}

func checkParams(params []*huma.Param, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("query", "it cannot be read: "+err.Error())
	}
	for _, p := range params {
		var given []string
		switch p.In {
		case "query":
			given = query[p.Name]
		case "header":
			given = r.Header.Values(p.Name)
		}
		if len(given) > 1 && p.Schema.Type != huma.TypeArray {
			return badRequest(p.Name, "it is given more than once: "+clip(given[0])+" and "+clip(given[1]))
		}
	}
	return nil
}
