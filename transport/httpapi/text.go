package httpapi

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"
)

// notText finds what is no text in a body: bytes that are not UTF-8, half a surrogate pair. The decoder would replace it, all of it by
// the same character: two keys would be one, and two callers would share an actor. No reason: there is nothing.
func notText(body []byte) (field, reason string) {
	if isText(body) {
		return "", ""
	}
	var members map[string]json.RawMessage
	var bad []string
	if json.Unmarshal(body, &members) == nil {
		for name, raw := range members {
			if !isText(raw) {
				bad = append(bad, name)
			}
		}
	}
	if len(bad) == 0 {
		bad = []string{"body"}
	}
	return slices.Min(bad), "it is not valid UTF-8"
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

// repeatedField is the name of the first field that an object of a body has twice; empty: there is none, or the body is no JSON.
func repeatedField(body []byte) string {
	if !json.Valid(body) { // which also bounds how deep it goes
		return ""
	}
	return repeatedIn(json.NewDecoder(bytes.NewReader(body)))
}

// repeatedIn reads one value of valid JSON.
func repeatedIn(dec *json.Decoder) string {
	switch token, _ := dec.Token(); token {
	case json.Delim('{'):
		seen := map[string]bool{}
		for dec.More() {
			token, _ := dec.Token()
			name, _ := token.(string) // a name is a string
			if seen[name] {
				return name
			}
			seen[name] = true
			if name := repeatedIn(dec); name != "" {
				return name
			}
		}
	case json.Delim('['):
		for dec.More() {
			if name := repeatedIn(dec); name != "" {
				return name
			}
		}
	default:
		return ""
	}
	_, _ = dec.Token() // its end
	return ""
}
