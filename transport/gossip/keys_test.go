package gossip

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

type lockedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Nodes with one key meet, also while one of them knows the next key already. One with another key, or with none, meets nobody, and says why
// within seconds.
func TestNodesMeetWithOneKey(t *testing.T) {
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }
	listen := func(name string, log *slog.Logger, keys [][]byte, seeds ...string) *Gossip {
		t.Helper()
		g, err := Listen(Options{Bind: "127.0.0.1:0", Seeds: seeds, Self: peer(name), Keys: keys, Log: log, pace: &fastPace}) // at memberlist's own pace, which finds nobody dead meanwhile
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = g.Close() })
		return g
	}
	n1 := listen("n1", quiet, [][]byte{key(1)})
	n2 := listen("n2", quiet, [][]byte{key(1), key(2)}, n1.Addr())
	n2.join(t.Context())
	for _, g := range []*Gossip{n1, n2} {
		await(t, g, alive(peer("n1")), alive(peer("n2")))
	}
	for name, keys := range map[string][][]byte{"another key": {key(3)}, "no key": nil} {
		var log lockedText
		stranger := listen("stranger", slog.New(slog.NewTextHandler(&log, nil)), keys, n1.Addr())
		for end := time.Now().Add(20 * time.Second); !strings.Contains(log.String(), "--gossip-key") && time.Now().Before(end); {
			stranger.join(t.Context())
		}
		if !strings.Contains(log.String(), "give all nodes the same --gossip-key") {
			t.Errorf("%s: it says %q", name, log.String())
		}
		if peers := n1.Peers(); len(peers) != 2 {
			t.Errorf("%s: n1 sees %+v", name, peers)
		}
		if peers := stranger.Peers(); len(peers) != 1 {
			t.Errorf("%s: it sees %+v", name, peers)
		}
	}
}
