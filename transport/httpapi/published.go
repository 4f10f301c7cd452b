package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// What clients send that were published for the reference, and this engine answers in its own terms.

// warningHeader tells what of a request was taken differently from how it was sent.
const warningHeader = "X-Callboard-Warning"

// maxPage is how many items a page has at most. Over gRPC more is refused; published clients ask for more, and follow the cursor.
const maxPage = 1000

// nobody is an id that no actor has: a list drops it, and checks the rest of the request.
const nobody = "00000000-0000-0000-0000-000000000000"

// isForeignID tells whether an id has the form of the reference: 30 characters of a-z and 0-9. No actor here has one, but those who come
// from there still ask.
func isForeignID(id string) bool {
	return len(id) == 30 && !slices.ContainsFunc([]byte(id), func(c byte) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'z') })
}

// forPublishedClients answers for an actor of the reference that it is not there, and says when a page is shorter than was asked for.
func forPublishedClients(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if id := ctx.Param("actor_id"); isForeignID(id) {
		writeError(w, failure(callboardv1.Refuse("actor", "not_found", "no actor %s: ids of this engine have 36 characters; create it here", id)))
		return
	}
	if paged := slices.ContainsFunc(ctx.Operation().Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == "limit" }); paged {
		warnOfLimit(w, r.URL.Query().Get("limit"))
	}
	next(ctx)
}

func warnOfLimit(w http.ResponseWriter, limit string) {
	if n, err := strconv.ParseUint(limit, 10, 64); err == nil && n > maxPage {
		w.Header().Set(warningHeader, fmt.Sprintf("limit: %d was cut to %d: follow pagination.cursor for more", n, maxPage))
	}
}
