#!/usr/bin/env bash
# go.uber.org/goleak v1.3.0 with testing/synctest (Go 1.25 and later): inside a bubble it always finds a leak, the test itself.
#
# Expected: VerifyNone at the end of a test without goroutines passes. Its documentation says that goroutines of the testing package are left
#   out, and it does so for plain tests and subtests.
# Seen: inside synctest.Test two goroutines of the testing packages are not known to it (internal/synctest.Run and
#   testing/synctest.testingSynctestTest on top): VerifyNone fails for an empty test. goleak waits for leaks to end by sleeping, which costs no time in a bubble, and does not help.
# Matters to: whoever adds VerifyNone to tests in virtual time. Call it outside the bubble (a bubble waits for its goroutines anyway), or
#   ignore these two.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >leak_test.go <<'GO'
package finding

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestFinding(t *testing.T) {
	plain := goleak.Find()
	var inside, ignored error
	synctest.Test(t, func(*testing.T) {
		inside = goleak.Find()
		ignored = goleak.Find(goleak.IgnoreTopFunction("internal/synctest.Run"), goleak.IgnoreTopFunction("testing/synctest.testingSynctestTest"))
	})
	fmt.Println("in a plain test:", plain)
	fmt.Println("in a bubble:", strings.SplitN(fmt.Sprint(inside), "\n", 3)[1])
	fmt.Println("in a bubble, with the two of the bubble left out:", ignored)
	if plain != nil || inside == nil || !strings.Contains(inside.Error(), "internal/synctest.Run") || ignored != nil {
		t.Fatal("CHANGED: the two behave in another way now")
	}
	fmt.Println("as seen: the test is its own leak")
}
GO
go mod init finding >/dev/null 2>&1
go get go.uber.org/goleak@v1.3.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
timeout 120 go test -count=1 -v . | grep -v '^---\|^===\|^PASS\|^ok'
