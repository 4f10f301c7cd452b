package fsm

import (
	"bytes"
	"strings"
	"testing"
)

func someID(n byte) []byte { return bytes.Repeat([]byte{n}, 16) }

func expectError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got the error %v, want one with %q", err, want)
	}
}
