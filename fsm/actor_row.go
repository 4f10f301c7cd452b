package fsm

import "encoding/binary"

// The table of actors holds each one packed: a million of them take a third of the memory of as many Actors, and the garbage collector
// has nothing to follow in a text. A reader gets an Actor of its own, whose texts share the row's memory.

// packedActor is a row: the ordinals of its pool and namespace, the id, the set of the other fields that are not zero, and these fields,
// numbers as varints. Empty: there is no actor. It is never written to a disk and has no version: what lasts is a record. But what follows
// the ordinals is what the state hash is made of, and HashForm is its version there.
type packedActor string

// head returns the ordinals of a row's pool and namespace, and where its id begins.
func (row packedActor) head() (pool, namespace uint32, at int) {
	p := packing{row: string(row)}
	pool, namespace = uint32(p.takeNumber()), uint32(p.takeNumber())
	return pool, namespace, p.at
}

// longestPacked is how long an input or saved state may be that a row holds itself. Every change of an actor writes its row anew, and what
// is long should not be: it lies beside the row.
const longestPacked = 256

// longParts are what is long of an actor's input and saved state; empty: the row holds it.
type longParts struct{ input, saved string }

// actorAt unpacks a row; nil: there is none.
func (s *State) actorAt(ordinal uint32) *Actor {
	s.visit()
	row := s.actors.Get(ordinal)
	if row == "" {
		return nil
	}
	a := new(Actor)
	s.unpack(a, row, ordinal)
	return a
}

// actorID is the id of a row.
func (s *State) actorID(ordinal uint32) (id ActorID, ok bool) {
	row := s.actors.Get(ordinal)
	if row == "" {
		return id, false
	}
	_, _, at := row.head()
	return id, copy(id[:], row[at:]) == len(id)
}

func (s *State) unpack(a *Actor, row packedActor, ordinal uint32) {
	pool, namespace, at := row.head()
	*a = Actor{ordinal: ordinal, pool: pool, namespace: namespace}
	p := packing{unpacks: true, row: string(row), at: at + copy(a.ID[:], row[at:])}
	p.has = p.takeNumber()
	p.fields(a)
	if p.long {
		long := s.longParts.Get(ordinal)
		if long.input != "" {
			a.Input = long.input
		}
		if long.saved != "" {
			a.Saved = long.saved
		}
	}
}

// setActor packs a row.
func (tx *Tx) setActor(a *Actor) {
	var head [2*binary.MaxVarintLen32 + len(a.ID) + binary.MaxVarintLen64]byte
	p := packing{bit: 1, out: append(tx.packed[:0], head[:]...)}
	p.fields(a)
	tx.packed = p.out
	n := binary.PutUvarint(head[:], uint64(a.pool))
	n += binary.PutUvarint(head[n:], uint64(a.namespace))
	n += copy(head[n:], a.ID[:])
	n += binary.PutUvarint(head[n:], p.has)
	row := p.out[len(head)-n:] // what comes first is known last
	copy(row, head[:n])
	tx.writeRow(a.ordinal, packedActor(row), longParts{input: beyondPacked(a.Input), saved: beyondPacked(a.Saved)})
}

func (tx *Tx) clearActor(ordinal uint32) { tx.writeRow(ordinal, "", longParts{}) }

// writeRow writes what an ordinal holds.
func (tx *Tx) writeRow(ordinal uint32, row packedActor, long longParts) {
	was, wasLong := tx.actors.Get(ordinal), tx.longParts.Get(ordinal)
	tx.rehash(tx.actorHash(was), tx.actorHash(row))
	tx.actors.Set(ordinal, row)
	if long != wasLong {
		tx.rehash(wasLong.hash(was), long.hash(row))
		tx.longParts.Set(ordinal, long)
	}
}

// beyondPacked is what a row does not hold of an input or saved state.
func beyondPacked(text string) string {
	if len(text) > longestPacked {
		return text
	}
	return ""
}

// packing packs or unpacks a row: one list of fields serves both ways. Which of them a row has is a bit each, in the order of the list:
// those that most actors have come first, so that the set of them is short.
type packing struct {
	unpacks bool
	has     uint64 // which fields are not zero; of those that are not unpacked yet
	bit     uint64 // of the field that is packed next
	out     []byte // what is packed
	row     string // what is unpacked
	at      int    // where the next field begins in it
	long    bool   // input or saved state lies beside the row
}

func (p *packing) fields(a *Actor) {
	p.flag(&a.HasKey)
	number(p, &a.Seq)
	number(p, &a.Policy)
	number(p, &a.Phase)
	number(p, &a.CreateMs)
	p.text(&a.Name)
	p.text(&a.Key)
	p.payload(&a.Input)
	number(p, &a.QueueSeq)
	number(p, &a.PendingMs)
	if p.done() {
		return
	}
	number(p, &a.Generation)
	number(p, &a.Runner)
	number(p, &a.RunnerRev)
	number(p, &a.FloorVersion)
	number(p, &a.StartMs)
	number(p, &a.ConnectableMs)
	number(p, &a.SleepMs)
	number(p, &a.DueMs)
	number(p, &a.Decision.Index)
	number(p, &a.Decision.WallMs)
	number(p, &a.Decision.InPool)
	number(p, &a.Decision.Eligible)
	number(p, &a.Decision.Newest)
	number(p, &a.Decision.RunnerUp)
	number(p, &a.Decision.Version)
	number(p, &a.Decision.Rule)
	p.payload(&a.Saved)
	number(p, &a.SavedVersion)
	if p.done() {
		return
	}
	number(p, &a.StopReason)
	number(p, &a.StopLimitMs)
	number(p, &a.EvictMs)
	number(p, &a.Eviction)
	number(p, &a.Promise)
	number(p, &a.MovedIn)
	number(p, &a.Claimed)
	number(p, &a.Orphans)
	number(p, &a.AlarmMs)
	number(p, &a.RescheduleMs)
	number(p, &a.DestroyMs)
	p.flag(&a.WakeKept)
	p.flag(&a.Destroying)
	p.trouble(&a.Trouble)
	// What comes later goes to the end: a row that has none of it is packed, and hashed, as it always was.
	p.flag(&a.KeepsKey)
	p.flag(&a.AlarmWoke)
	if a.Trouble != nil {
		for i := range a.Trouble.Earlier {
			p.id((*ID)(&a.Trouble.Earlier[i]))
		}
	}
}

func (p *packing) trouble(trouble **Trouble) {
	there := *trouble != nil
	if p.flag(&there); !there {
		return
	}
	if p.unpacks {
		*trouble = new(Trouble)
	}
	t := *trouble
	number(p, &t.Code)
	p.text(&t.Message)
	p.id((*ID)(&t.Runner))
	number(p, &t.Retries)
	number(p, &t.RetryMs)
	number(p, &t.CrashedMs)
	p.id((*ID)(&t.Preferred))
}

// next passes on to the next field. It returns whether there is something to unpack, or to pack.
func (p *packing) next(some bool) bool {
	if p.unpacks {
		some = p.has&1 != 0
		p.has >>= 1
		return some
	}
	if some {
		p.has |= p.bit
	}
	p.bit <<= 1
	return some
}

// done tells that no field is left to be unpacked.
func (p *packing) done() bool { return p.unpacks && p.has == 0 }

func (p *packing) flag(value *bool) {
	if is := p.next(*value); p.unpacks {
		*value = is
	}
}

// number packs a number; a negative one takes ten bytes.
func number[T ~int64 | ~uint64 | ~uint32 | ~uint8](p *packing, value *T) {
	switch {
	case !p.next(*value != 0):
	case p.unpacks:
		*value = T(p.takeNumber())
	default:
		p.out = binary.AppendUvarint(p.out, uint64(*value))
	}
}

func (p *packing) takeNumber() (n uint64) {
	for shift := 0; ; shift += 7 {
		b := p.row[p.at]
		p.at++
		if n |= uint64(b&0x7f) << shift; b < 0x80 {
			return n
		}
	}
}

func (p *packing) text(value *string) {
	switch {
	case !p.next(*value != ""):
	case p.unpacks:
		*value = p.take(int(p.takeNumber()))
	default:
		p.out = binary.AppendUvarint(p.out, uint64(len(*value)))
		p.out = append(p.out, *value...)
	}
}

// payload packs an input or saved state, or notes that it lies beside the row: then its text there is empty.
func (p *packing) payload(value *string) {
	switch {
	case !p.next(*value != ""):
	case p.unpacks:
		*value = p.take(int(p.takeNumber()))
		p.long = p.long || *value == ""
	case beyondPacked(*value) != "":
		p.out = append(p.out, 0)
	default:
		p.out = binary.AppendUvarint(p.out, uint64(len(*value)))
		p.out = append(p.out, *value...)
	}
}

func (p *packing) id(value *ID) {
	switch {
	case !p.next(!value.IsZero()):
	case p.unpacks:
		copy(value[:], p.take(len(value)))
	default:
		p.out = append(p.out, value[:]...)
	}
}

func (p *packing) take(n int) (text string) {
	text = p.row[p.at : p.at+n]
	p.at += n
	return text
}
