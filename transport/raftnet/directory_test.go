package raftnet

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// A node of three becomes the only member, whatever its directory is like: behind what can be kept there is a configuration of a new term.
// Until that is done nothing is changed.
func TestADirectoryBecomesAClusterOfItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		kept   Position
	}{
		"whole":                  {func(*testing.T, string) {}, Position{3, 600}},
		"the newest are missing": {func(t *testing.T, dir string) { dropEntries(t, dir, 551, 600) }, Position{3, 550}},
		"no log":                 {func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, logFile))) }, Position{1, 300}},
		"no mark":                {func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, markFileName))) }, Position{3, 600}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := aNode(t)
			c.damage(t, dir)
			d, err := OpenDirectory(dir, options())
			must(t, err)
			if (d.Refusal == "") != (name == "whole") || d.Kept != c.kept || len(d.Configuration.Servers) != 3 {
				t.Errorf("refusal %q, kept %v, members %v", d.Refusal, d.Kept, d.Configuration.Servers)
			}
			if name != "no mark" && d.Held != (Position{3, 600}) {
				t.Errorf("held %v", d.Held)
			}
			must(t, d.Close())
			if stores, err := Open(dir, options()); (err == nil) != (name == "whole") {
				t.Fatalf("it was only looked at, and now starts: %v", err)
			} else if err == nil {
				must(t, stores.Close())
			}

			d, err = OpenDirectory(dir, options())
			must(t, err)
			only := threeVoters.Servers[0]
			must(t, d.Found(only))
			must(t, d.Close())
			stores, err := Open(dir, options())
			must(t, err)
			defer stores.Close()
			entry := &raft.Log{}
			must(t, stores.Log.GetLog(c.kept.Index+1, entry))
			term, err := stores.Stable.GetUint64(keyTerm)
			must(t, err)
			members := raft.DecodeConfiguration(entry.Data).Servers
			if entry.Type != raft.LogConfiguration || len(members) != 1 || members[0] != only || entry.Term != term || term <= 3 {
				t.Errorf("behind what is kept: %+v of term %d, members %v", entry.Type, entry.Term, members)
			}
			if last, _ := stores.Log.LastIndex(); last != c.kept.Index+1 || stores.Mark().Voters != 1 {
				t.Errorf("the log ends at %d, %d voters", last, stores.Mark().Voters)
			}
		})
	}
}
