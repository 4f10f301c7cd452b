package gossip

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Start tells the processes apart that call themselves the same node: one for each start of it, and more where its data directory was
// copied. The zero Start is that of a build that does not count.
type Start struct {
	Count  uint64 // how often the node had been started, as its data directory counts
	UnixMs int64  // by the clock of its machine
	ID     string // random
}

// startIDBytes are enough that no two processes of a node draw the same.
const startIDBytes = 4

// NewStart makes the start of this process.
func NewStart(count uint64) Start {
	var id [startIDBytes]byte
	_, _ = rand.Read(id[:])
	return Start{Count: count, UnixMs: time.Now().UnixMilli(), ID: hex.EncodeToString(id[:])}
}

// IsZero reports whether nothing is known of the start.
func (s Start) IsZero() bool { return s == Start{} }

// Compare orders the starts of one node, the same way everywhere: by count, then by time, then by id.
func (s Start) Compare(other Start) int {
	return cmp.Or(cmp.Compare(s.Count, other.Count), cmp.Compare(s.UnixMs, other.UnixMs), cmp.Compare(s.ID, other.ID))
}

// String is the start as nodes write it; empty for the zero Start.
func (s Start) String() string {
	if s.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d.%d.%s", s.Count, s.UnixMs, s.ID)
}

// Describe is the start as people read it.
func (s Start) Describe() string {
	if s.IsZero() {
		return "a start of an older build"
	}
	return fmt.Sprintf("start %d of %s", s.Count, time.UnixMilli(s.UnixMs).UTC().Format(time.RFC3339))
}

// Caller is how a process names itself to other nodes: the node that it is, and its start.
func Caller(nodeID string, start Start) string {
	if start.IsZero() {
		return nodeID
	}
	return nodeID + "#" + start.String()
}

// ParseCaller is the way back. What has no start is a node's id alone.
func ParseCaller(caller string) (nodeID string, start Start) {
	at := strings.LastIndexByte(caller, '#')
	if at < 0 {
		return caller, Start{}
	}
	start, ok := parseStart(caller[at+1:])
	if !ok {
		return caller, Start{}
	}
	return caller[:at], start
}

func parseStart(text string) (s Start, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[2] == "" {
		return Start{}, false
	}
	count, err1 := strconv.ParseUint(parts[0], 10, 64)
	at, err2 := strconv.ParseInt(parts[1], 10, 64)
	if err1 != nil || err2 != nil {
		return Start{}, false
	}
	return Start{Count: count, UnixMs: at, ID: parts[2]}, true
}
