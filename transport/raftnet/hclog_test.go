package raftnet

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestHclogBridge(t *testing.T) {
	var out bytes.Buffer
	options := &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	log := Hclog(slog.New(slog.NewTextHandler(&out, options)), "raft")
	log.Trace("too fine")
	log.Info("entering", "state", hclog.Fmt("%s of %d", "follower", 3), "term", 7)
	log.With("peer", "n2").Named("net").Warn("slow")
	log.StandardLogger(nil).Print("a line")
	want := strings.Join([]string{
		`level=INFO msg=entering component=raft state="follower of 3" term=7`,
		`level=WARN msg=slow component=raft.net peer=n2`,
		`level=INFO msg="a line" component=raft`,
	}, "\n") + "\n"
	if out.String() != want {
		t.Fatalf("got\n%swant\n%s", out.String(), want)
	}
	if log.GetLevel() != hclog.Debug || log.IsTrace() || !log.IsDebug() {
		t.Fatalf("level %v", log.GetLevel())
	}
}
