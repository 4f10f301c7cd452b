package fsm

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// ID is a 128-bit time-ordered identifier in the layout of UUIDv7.
type ID [16]byte

// Kinds of ID, so that one cannot be passed for another.
type (
	ActorID     ID
	RunnerID    ID
	NamespaceID ID
	SessionID   ID
	InstanceID  ID
	ClusterID   ID
)

// PoolID names a pool: pools have no id of their own.
type PoolID struct {
	Namespace NamespaceID
	Name      string
}

// Ref names one life of one actor.
type Ref struct {
	Actor      ActorID
	Generation uint64
}

func (r Ref) String() string { return fmt.Sprintf("%s/%d", r.Actor, r.Generation) }

func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

func (id ActorID) String() string     { return ID(id).String() }
func (id RunnerID) String() string    { return ID(id).String() }
func (id NamespaceID) String() string { return ID(id).String() }
func (id SessionID) String() string   { return ID(id).String() }
func (id InstanceID) String() string  { return ID(id).String() }
func (id ClusterID) String() string   { return ID(id).String() }

// IsZero tells whether the id was never set.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads the text form of a UUID, in lower or upper case.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return ID{}, fmt.Errorf("%q is not an id: want 36 characters like 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", clip(text, 64))
	}
	at := 0
	for _, part := range []string{text[0:8], text[9:13], text[14:18], text[19:23], text[24:36]} {
		n, err := hex.Decode(id[at:], []byte(part))
		if err != nil {
			return ID{}, fmt.Errorf("%q is not an id: %w", text, err)
		}
		at += n
	}
	return id, nil
}

// MintID builds an id from the wall clock and 10 bytes of entropy.
func MintID(wallMs int64, entropy [10]byte) ID {
	var id ID
	for i := range 6 {
		id[i] = byte(wallMs >> (40 - 8*i))
	}
	copy(id[6:], entropy[:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// idFrom reads an id from an op. A wrong length is a malformed op.
// IDFromBytes reads an id of 16 bytes; not ok: it has another length.
func IDFromBytes(b []byte) (ID, bool) { return idFrom(b) }

func idFrom(b []byte) (ID, bool) {
	if len(b) != 16 {
		return ID{}, false
	}
	return ID(b), true
}

// less is the order of the bytes, compared eight at a time: rows are found by it.
func (id ID) less(other ID) bool {
	if a, b := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(other[:8]); a != b {
		return a < b
	}
	return binary.BigEndian.Uint64(id[8:]) < binary.BigEndian.Uint64(other[8:])
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
