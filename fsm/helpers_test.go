package fsm

import (
	"bytes"
	"math/bits"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func someID(n byte) []byte { return bytes.Repeat([]byte{n}, 16) }

func expectError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got the error %v, want one with %q", err, want)
	}
}

// evenly draws a number below n, each as likely as the others. Rapid's own ranges and samples prefer the first ones by far, and a walk
// that begins with one runner in a hundred ops comes to nothing. It shrinks to 0.
func evenly(t *rapid.T, label string, n int) int {
	length := bits.Len(uint(n)) + 4
	drawn := 0
	for range length {
		drawn = drawn<<1 | count(rapid.Bool().Draw(t, label))
	}
	return drawn * n >> length
}

// one draws one of some, each as likely as the others.
func one[T any](t *rapid.T, label string, of ...T) T { return of[evenly(t, label, len(of))] }
