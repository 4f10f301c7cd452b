package httpapi

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Limits of request bodies.
const (
	maxBodyBytes       = 1 << 20
	maxCreateBodyBytes = 8 << 20 // an input of 4 MiB in base64, and the rest
)

// What is still read of a body that is refused, for the caller to come to read why.
const (
	maxDrainBytes = 64 << 20
	drainTimeout  = 10 * time.Second
)

// withWholeBody reads what a refused request goes on sending. A connection that is closed while its caller still writes is reset, and a
// reset takes the answer along.
func withWholeBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		body := &watchedBody{from: r.Body}
		request := *r // the server keeps the one with its own body
		request.Body = body
		next.ServeHTTP(w, &request)
		if body.ended || r.ContentLength-body.read > maxDrainBytes || !body.begun && r.Header.Get("Expect") != "" {
			return // nothing comes any more, too much would, or the caller waits to be asked for it
		}
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTimeout)) // where it cannot be, the server's own holds
		_, _ = io.CopyN(io.Discard, body, maxDrainBytes)                                // what remains after that is cut off
	})
}

// watchedBody knows how far it was read. Closing it does nothing: the server closes what it made.
type watchedBody struct {
	from         io.Reader
	read         int64
	begun, ended bool // ended: there is no more, or it failed
}

func (b *watchedBody) Read(into []byte) (int, error) {
	b.begun = true
	n, err := b.from.Read(into)
	b.read += int64(n)
	b.ended = b.ended || err != nil
	return n, err
}

func (b *watchedBody) Close() error { return nil }

// readBody reads the body of an operation that has one, before the operation sees it, and refuses what huma would take: one that is
// encoded, a config of another type than JSON, text that is none, fields that come twice.
func readBody(ctx huma.Context, next func(huma.Context)) {
	op := ctx.Operation()
	r, w := humago.Unwrap(ctx)
	if op.RequestBody == nil || r.ContentLength == 0 {
		next(ctx)
		return
	}
	if kind := r.Header.Get("Content-Type"); !isJSON(kind) {
		writeError(w, unsupported("Content-Type", kind, "the body must be JSON, with Content-Type: application/json"))
		return
	}
	r.Header.Set("Content-Type", "application/json") // in the one spelling that huma knows
	if encoding := strings.Join(r.Header.Values("Content-Encoding"), ", "); encoding != "" && !strings.EqualFold(encoding, "identity") {
		w.Header().Set("Accept-Encoding", "identity")
		writeError(w, unsupported("Content-Encoding", encoding, "a body is read as it is: send it without an encoding"))
		return
	}
	body, failed := readAll(r, op.MaxBodyBytes-1)
	if failed == nil {
		failed = checkBody(body, !op.SkipValidateBody)
	}
	if failed != nil {
		writeError(w, failed)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	next(ctx)
}

// isJSON tells whether a body of a type may be JSON; one that names no type may.
func isJSON(kind string) bool {
	if kind == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(kind)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

func unsupported(header, value, want string) *errorBody {
	return failure(callboardv1.Refuse("api", "unsupported_media_type", "%s %s: %s", header, clip(value), want).With("field", header).With("reason", want))
}

// readAll reads a body of at most that many bytes.
func readAll(r *http.Request, most int64) ([]byte, *errorBody) {
	tooLarge := failure(callboardv1.Refuse("api", "payload_too_large", "the body is larger than %d bytes, the most that is taken here", most))
	if r.ContentLength > most {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return nil, failure(callboardv1.Refuse("api", "slow_body", "the body did not come within %s", requestTimeout))
	case err != nil:
		return nil, failure(badRequest("body", "it ends before its time: "+err.Error()))
	case int64(len(body)) > most:
		return nil, tooLarge
	}
	return body, nil
}

// checkBody refuses text that is none and, where the fields are ours, those that come twice. What is no JSON at all is left to the
// decoder, which says where.
func checkBody(body []byte, ours bool) *errorBody {
	if field, reason := notText(body); reason != "" {
		return failure(badRequest(field, reason))
	}
	if !ours {
		return nil
	}
	if field := repeatedField(body); field != "" {
		return failure(badRequest(field, "it is given twice: send it once"))
	}
	return nil
}
