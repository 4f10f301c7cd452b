package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// readJSON is json.Unmarshal for bodies whose text is text. What is none – bytes that are not UTF-8, half a surrogate pair – would be
// replaced, all of it by the same character: two keys would be one, and two callers would share an actor.
func readJSON(body []byte, into any) error {
	if isText(body) {
		return json.Unmarshal(body, into)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) == nil {
		var bad []string
		for name, raw := range members {
			if !isText(raw) {
				bad = append(bad, name)
			}
		}
		if len(bad) > 0 {
			return fmt.Errorf("%s is not valid UTF-8", slices.Min(bad))
		}
	}
	return fmt.Errorf("it is not valid UTF-8")
}

// isText tells whether every string of a JSON text is Unicode: it is UTF-8 itself, and no escape is half a character.
func isText(raw []byte) bool {
	if !utf8.Valid(raw) {
		return false
	}
	for {
		at := bytes.IndexByte(raw, '\\') // which JSON has in strings only
		if at < 0 || at+1 >= len(raw) {
			return true
		}
		raw = raw[at:]
		switch unit := escaped(raw); {
		case unit >= 0xdc00 && unit < 0xe000:
			return false
		case unit >= 0xd800 && unit < 0xdc00:
			if low := escaped(raw[6:]); low < 0xdc00 || low >= 0xe000 {
				return false
			}
			raw = raw[12:]
		default:
			raw = raw[2:]
		}
	}
}

// escaped reads \uXXXX at the beginning; -1: something else is there.
func escaped(raw []byte) int64 {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(raw[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return int64(unit)
}
