package grpcapi

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"strings"
)

// A cursor is opaque to callers: base64 of a format byte, the kind of list, a mark of the question that it belongs to, and the place
// of the last item given. A place is a sequence number, a revision or a name, never a time: nothing shares it, so a page loses nothing.

const cursorFormat = 1

// listKind tells lists apart, so that a cursor of one cannot be passed to another.
type listKind byte

const (
	listActors listKind = iota + 1
	listActorNames
	listRunners
	listRunnerNames
	listNamespaces
	listPoolConfigs
	listRollouts
	listActorsOfRunner
	listDrains
)

// question names what is listed: the kind and everything that selects items.
type question struct {
	kind listKind
	mark uint32
}

func ask(kind listKind, selectors ...string) question {
	h := fnv.New32a()
	for _, s := range selectors {
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		_, _ = h.Write([]byte(s))
	}
	return question{kind: kind, mark: h.Sum32()}
}

func (q question) cursor(place []byte) string {
	b := binary.BigEndian.AppendUint32([]byte{cursorFormat, byte(q.kind)}, q.mark)
	return base64.RawURLEncoding.EncodeToString(append(b, place...))
}

func (q question) cursorAtSeq(seq uint64) string { return q.cursor(binary.AppendUvarint(nil, seq)) }

func (q question) cursorAtName(name string) string { return q.cursor([]byte(name)) }

// place reads a cursor; nil for the first page.
func (q question) place(cursor string) ([]byte, error) {
	if cursor == "" {
		return nil, nil
	}
	if strings.ContainsAny(cursor, "\r\n") { // the decoder skips them: another text would be the same cursor
		return nil, badField("cursor", "cursor %q is not one that this API gave: it has a line break", clip(cursor))
	}
	if len(cursor) > maxCursor {
		return nil, badField("cursor", "cursor has %d characters: it is not one that this API gave", len(cursor))
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) < 7 || b[0] != cursorFormat {
		return nil, badField("cursor", "cursor %q is not one that this API gave: pass the cursor of the page before, unchanged", clip(cursor))
	}
	if b[1] != byte(q.kind) || binary.BigEndian.Uint32(b[2:]) != q.mark {
		return nil, badField("cursor", "the cursor belongs to another list: it goes only with the parameters of the page that gave it")
	}
	return b[6:], nil
}

// seq reads a cursor of a list by sequence or revision; 0: the first page.
func (q question) seq(cursor string) (uint64, error) {
	place, err := q.place(cursor)
	if err != nil || place == nil {
		return 0, err
	}
	seq, n := binary.Uvarint(place)
	if n != len(place) || seq == 0 {
		return 0, badField("cursor", "cursor %q is not one that this API gave: pass the cursor of the page before, unchanged", clip(cursor))
	}
	return seq, nil
}

// name reads a cursor of a list by name; empty: from the first.
func (q question) name(cursor string) (string, error) {
	place, err := q.place(cursor)
	return string(place), err
}
