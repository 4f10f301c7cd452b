//go:build unix

package real_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

var (
	long2KiB = strings.Repeat("k", 2048)
	ms       = "1732000000000" // a time in milliseconds where a version is asked for
)

// Commands and requests that cannot be meant are refused with a sentence that names what is wrong, and an exit code or status that
// programs can tell apart.
func badInputGetsAClearError(s *scenario) {
	node := s.cluster.Nodes[0]
	commands := []struct {
		name, args, env string
		code            int
		says            string
	}{
		{"unknown namespace", "actor create --namespace nope --name x --pool main", "", 1, `namespace "nope" does not exist`},
		{"unknown namespace of a list", "actor list --namespace nope --name x", "", 1, `"nope"`},
		{"unknown pool", "actor create --name x --pool nowhere", "", 1, `pool "nowhere" has neither a config nor a runner`},
		{"key of 2 KiB", "actor create --name x --pool main --key " + long2KiB, "", 1, "key has 2048 bytes, and at most 1024"},
		{"key of 2 KiB to be got", "actor get-or-create --name x --pool main --key " + long2KiB, "", 1, "key has 2048 bytes, and at most 1024"},
		{"no such actor", "actor show 00000000-0000-0000-0000-000000000000", "", 1, "00000000-0000-0000-0000-000000000000"},
		{"an id that is none", "actor show nonsense", "", 1, "nonsense"},
		{"unknown command", "actor explode", "", 2, "explode"},
		{"unknown flag", "actor list --name x --colour red", "", 2, "--colour"},
		{"gRPC asked at the HTTP port", "actor list --name x --timeout 3s --address " + node.Addrs.HTTP, "", 4, node.Addrs.HTTP},

		{"slots 0", "runner --slots 0", "", 2, "--slots 0: want 1 to 1000000"},
		{"slots 2^31", "runner --slots 2147483648", "", 2, "--slots 2147483648: want 1 to 1000000"},
		{"slots 0 by environment", "runner", "CALLBOARD_TOTAL_SLOTS=0", 2, `CALLBOARD_TOTAL_SLOTS: "0"`},
		{"version in milliseconds", "runner --version " + ms, "", 2, "looks like a time in milliseconds"},
		{"version in milliseconds by environment", "runner", "RIVET_RUNNER_VERSION=" + ms, 2, "RIVET_RUNNER_VERSION: " + ms + " looks like a time in milliseconds"},
		{"runner key of 2 KiB", "runner --key " + long2KiB, "", 2, "Key: has 2048 bytes; at most 256"},
		{"runner of an unknown namespace", "runner --namespace nope", "", 21, `namespace "nope" does not exist`},
	}
	for _, c := range commands {
		s.Run(c.name, func(t *testing.T) {
			args := strings.Fields(c.args)
			env := []string{"CALLBOARD_ADDRESS=" + node.Addrs.GRPC, "CALLBOARD_ENDPOINT=" + node.Addrs.GRPC}
			if c.env != "" {
				env = append(env, c.env)
			}
			_, errOut, code, err := s.Command(t.Context(), env, args...)
			if err != nil {
				t.Fatal(err)
			}
			if code != c.code || !strings.Contains(errOut, c.says) {
				t.Errorf("exit code %d, want %d; it says:\n%s\nwant: %s", code, c.code, errOut, c.says)
			}
		})
	}
	requests := []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"unknown namespace", http.MethodGet, "/actors?namespace=nope&name=x", "", http.StatusNotFound, `"nope`},
		{"no namespace", http.MethodGet, "/actors?name=x", "", http.StatusBadRequest, "namespace"},
		{"a body that is no JSON", http.MethodPost, "/actors?namespace=default", "{", http.StatusBadRequest, ""},
		{"a body of 16 MiB", http.MethodPost, "/actors?namespace=default", `{"name":"` + strings.Repeat("x", 16<<20), http.StatusRequestEntityTooLarge, ""},
		{
			"key of 2 KiB", http.MethodPost, "/actors?namespace=default",
			`{"name":"x","key":"` + long2KiB + `","runner_name_selector":"main","crash_policy":"restart"}`, http.StatusBadRequest, "2048",
		},
		{"a cursor that is none", http.MethodGet, "/actors?namespace=default&name=x&cursor=%00%ff", "", http.StatusBadRequest, "cursor"},
		{"no such path", http.MethodGet, "/%2e%2e/%2e%2e/etc/passwd", "", http.StatusNotFound, ""},
	}
	for _, r := range requests {
		s.Run("HTTP/"+r.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), r.method, "http://"+node.Addrs.HTTP+r.path, strings.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != r.status || !strings.Contains(string(text), r.says) {
				t.Errorf("status %d, want %d; it says: %s; want: %s", res.StatusCode, r.status, text, r.says)
			}
		})
	}
	s.serves("all that")
}
