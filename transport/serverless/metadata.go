package serverless

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const (
	// answerWithin is how long an endpoint may take until the headers of its answer, or the whole of its metadata, are there.
	answerWithin = 10 * time.Second
	// maxMetadataBytes bounds an endpoint's metadata.
	maxMetadataBytes = 1 << 20
	// maxBodyShown bounds what an error shows of a body, in characters.
	maxBodyShown = 1024
	// maxActorNames bounds how many actor names are read from an endpoint's metadata.
	maxActorNames = 1000
)

// metadata is what /metadata of an endpoint says, as far as the engine looks at it.
type metadata struct {
	Runtime string `json:"runtime"`
	Version string `json:"version"`
	Runner  *struct {
		Version uint32 `json:"version"`
	} `json:"runner"`
	ActorNames map[string]json.RawMessage `json:"actorNames"`
}

// Check asks an endpoint for its metadata. What is wrong is in the answer's error, with the reference's kinds as codes.
func Check(ctx context.Context, policy *Policy, base string, headers []*logv1.HeaderField) *callboardv1.EndpointCheck {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	request, err := newRequest(ctx, base, "metadata", headers)
	if err != nil {
		return failed("invalid_request", "the url or the headers cannot be sent: %v", err)
	}
	client := policy.client(answerWithin)
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		return &callboardv1.EndpointCheck{Error: requestError(ctx, err)}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxMetadataBytes+1))
	switch {
	case err != nil:
		return &callboardv1.EndpointCheck{Error: requestError(ctx, err)}
	case response.StatusCode != http.StatusOK:
		check := failed("non_success_status", "the endpoint answered %s to GET %s", status(response), shownURL(request.URL))
		check.Error = check.GetError().With("status_code", fmt.Sprint(response.StatusCode)).With("body", shownBody(body))
		return check
	case len(body) > maxMetadataBytes:
		return failed("invalid_response_json", "the metadata has more than %d bytes", maxMetadataBytes)
	}
	return parseMetadata(body)
}

func parseMetadata(body []byte) *callboardv1.EndpointCheck {
	var m metadata
	if err := json.Unmarshal(body, &m); err != nil {
		check := failed("invalid_response_json", "the endpoint's metadata is no JSON of the right form: is there a callboard or rivetkit handler at this url?")
		check.Error = check.GetError().With("body", shownBody(body)).With("parse_error", err.Error())
		return check
	}
	if m.Runtime != "rivetkit" || m.Version == "" {
		check := failed("invalid_response_schema", "the metadata names the runtime %.64q in version %.64q: want rivetkit, and a version", m.Runtime, m.Version)
		check.Error = check.GetError().With("runtime", m.Runtime).With("version", m.Version)
		return check
	}
	check := &callboardv1.EndpointCheck{Runtime: m.Runtime, Version: m.Version}
	if m.Runner != nil {
		check.RunnerVersion = m.Runner.Version
	}
	for name := range m.ActorNames {
		if len(check.GetActorNames()) == maxActorNames {
			break
		}
		check.ActorNames = append(check.ActorNames, strings.ToValidUTF8(name, "\uFFFD"))
	}
	slices.Sort(check.GetActorNames())
	return check
}

// newRequest makes a GET of a path below an endpoint's url. A query in the url stays a query.
func newRequest(ctx context.Context, base, path string, headers []*logv1.HeaderField) (*http.Request, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("the url is not valid") // its text may hold a secret
	}
	u = u.JoinPath(path)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("the url is not valid")
	}
	request.Header.Set("User-Agent", "callboard")
	for _, h := range headers {
		request.Header.Set(h.GetName(), h.GetValue())
	}
	return request, nil
}

func failed(code, format string, args ...any) *callboardv1.EndpointCheck {
	return &callboardv1.EndpointCheck{Error: callboardv1.Refuse("serverless", code, format, args...)}
}

// requestError says why no answer came. A URL is not in it: its query may hold a secret.
func requestError(ctx context.Context, err error) *callboardv1.Error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var timeout net.Error
	switch {
	case errors.Is(err, errDenied):
		return callboardv1.Refuse("serverless", "address_denied", "%v", err)
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil:
		return callboardv1.Refuse("serverless", "request_timed_out", "the endpoint did not answer within %s", answerWithin)
	}
	return callboardv1.Refuse("serverless", "request_failed", "the endpoint cannot be reached: %v", err)
}

func status(r *http.Response) string {
	if r.StatusCode >= 300 && r.StatusCode < 400 {
		return r.Status + " (redirects are not followed: give the final url)"
	}
	return r.Status
}

func shownURL(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

func shownBody(body []byte) string {
	text := []rune(string(bytes.ToValidUTF8(body, []byte("\uFFFD"))))
	if len(text) > maxBodyShown {
		return string(text[:maxBodyShown]) + "...[truncated]"
	}
	return string(text)
}
