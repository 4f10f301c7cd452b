package serverless

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const (
	// silenceLimit is how long the stream of a request may be silent. The library sends a comment every 15 s.
	silenceLimit = 60 * time.Second
	// maxEventBytes bounds one line of a stream.
	maxEventBytes = 64 << 10
	// maxStreamBytes bounds what a stream sends in all: it has next to nothing to say.
	maxStreamBytes = 16 << 20
)

// stream reads the server-sent events of one request.
type stream struct {
	claimed func(instance string) // the first event names a process
	left    int                   // bytes that it may still send
}

// errEnd is the end that the endpoint announced.
var errEnd = errors.New("event: end")

// read returns when the stream is over: errEnd when the endpoint said so, io.EOF when it just ended, else what was wrong.
func (s *stream) read(body io.Reader) error {
	lines := bufio.NewReaderSize(body, 4<<10)
	s.left = maxStreamBytes
	var event, data string
	for {
		line, err := s.line(lines)
		if err != nil {
			return err
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "": // the end of an event
			if err := s.event(event, data); err != nil {
				return err
			}
			event, data = "", ""
		case name == "event":
			event = value
		case name == "data":
			data = value
		}
	}
}

func (s *stream) event(name, data string) error {
	switch name {
	case "end":
		return errEnd
	case "instance":
		if _, err := fsm.ParseID(data); err != nil {
			return callboardv1.Refuse("serverless", "invalid_sse_payload", "the event `instance` names no instance id")
		}
		s.claimed(data)
	}
	return nil // pings, and what other libraries say
}

// line reads a line of at most maxEventBytes, without its end.
func (s *stream) line(lines *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := lines.ReadSlice('\n')
		line = append(line, part...)
		if s.left -= len(part); s.left < 0 {
			return "", callboardv1.Refuse("serverless", "invalid_sse_payload", "the stream has sent more than %d bytes: it is no stream of events", maxStreamBytes)
		}
		if len(line) > maxEventBytes {
			return "", callboardv1.Refuse("serverless", "invalid_sse_payload", "a line of the stream has more than %d bytes: it is no stream of events", maxEventBytes)
		}
		if err == nil {
			return string(bytes.TrimRight(line, "\r\n")), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
	}
}

// checkStart says what is wrong with the answer to a request; nil: it is a stream of events.
func checkStart(response *http.Response) *callboardv1.Error {
	if response.StatusCode != http.StatusOK {
		return callboardv1.Refuse("serverless", "http_error", "the endpoint answered %s to GET %s", status(response), shownURL(response.Request.URL)).
			With("status_code", response.Status)
	}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "text/event-stream" {
		return callboardv1.Refuse("serverless", "connection_error", "the endpoint answered with %.64q in place of text/event-stream: is the handler mounted at this url?",
			response.Header.Get("Content-Type"))
	}
	return nil
}

// quiet cancels a read when nothing has come for a while.
type quiet struct {
	body  io.Reader
	timer *time.Timer
}

func (q *quiet) Read(p []byte) (int, error) {
	n, err := q.body.Read(p)
	if n > 0 {
		q.timer.Reset(silenceLimit)
	}
	return n, err
}

// ended makes the report of a stream that is over.
func ended(ctx context.Context, err error) *nodev1.RequestEnded {
	cause := context.Cause(ctx)
	refusal, refused := callboardv1.AsRefusal(err)
	switch {
	case errors.Is(err, errEnd):
		return &nodev1.RequestEnded{Clean: true}
	case errors.Is(cause, errExpired):
		return &nodev1.RequestEnded{Expired: true}
	case errors.Is(cause, errSilent):
		return &nodev1.RequestEnded{Error: callboardv1.Refuse("serverless", "stream_silent",
			"the stream has sent nothing for %s, not even a comment: does a proxy hold it back?", silenceLimit)}
	case refused:
		return &nodev1.RequestEnded{Error: refusal}
	}
	return &nodev1.RequestEnded{} // it just ended: whether that is normal depends on its runner
}
