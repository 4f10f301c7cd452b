package fsm

import (
	"encoding/binary"
	"iter"

	"github.com/cespare/xxhash/v2"
)

// MaxHandledNames bounds how many actor names a runner lists.
const MaxHandledNames = 256

// NameList is the actor names that a runner handles, in order, each behind its length; empty: any.
type NameList string

// nameList makes a list of names that are in order, each once; ok is false when they are not, or are too many or too long.
func nameList(names []string) (list NameList, ok bool) {
	if len(names) > MaxHandledNames {
		return "", false
	}
	var b []byte
	for i, name := range names {
		if name == "" || len(name) > MaxActorName || i > 0 && name <= names[i-1] {
			return "", false
		}
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
	}
	return NameList(b), true
}

// All yields the names.
func (l NameList) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for rest := l; rest != ""; {
			size, n := uint64(0), 0
			for shift := 0; ; shift += 7 {
				b := rest[n]
				size |= uint64(b&0x7f) << shift
				if n++; b < 0x80 {
					break
				}
			}
			name := string(rest[n : n+int(size)])
			if rest = rest[n+int(size):]; !yield(name) {
				return
			}
		}
	}
}

// Names returns the names; nil: any.
func (l NameList) Names() (names []string) {
	for name := range l.All() {
		names = append(names, name)
	}
	return names
}

// set names the list in the order of candidates; 0: any name.
func (l NameList) set() uint64 {
	if l == "" {
		return 0
	}
	return max(1, xxhash.Sum64String(string(l)))
}

// Handles reports whether a runner may be given actors of a name.
func (r *Runner) Handles(name string) bool {
	if r.Names == "" {
		return true
	}
	for n := range r.Names.All() {
		if n >= name {
			return n == name
		}
	}
	return false
}

// handlerKey lists the runners of a pool that neither ended nor drain by the names that they list.
type handlerKey struct {
	pool    uint32
	name    string
	version uint32
	number  uint32
}

func handlerLess(a, b handlerKey) bool {
	switch {
	case a.pool != b.pool:
		return a.pool < b.pool
	case a.name != b.name:
		return a.name < b.name
	case a.version != b.version:
		return a.version < b.version
	}
	return a.number < b.number
}

// listHandlers keeps the names that a runner lists, while it is registered.
func (tx *Tx) listHandlers(old, next *Runner) {
	was, is := old != nil && old.registered(), next != nil && next.registered()
	if was && is && old.Names == next.Names && old.Version == next.Version || !was && !is {
		return
	}
	if was {
		for name := range old.Names.All() {
			tx.handlers.Delete(handlerKey{old.pool, name, old.Version, old.Number})
		}
	}
	if is {
		for name := range next.Names.All() {
			tx.handlers.Put(handlerKey{next.pool, name, next.Version, next.Number})
		}
	}
}

// ListsNames reports whether a runner of a pool, which has not ended, lists the names that it handles. In all other pools a runner handles
// every actor, and nothing need be asked for names.
func (s *State) ListsNames(p *Pool) bool { return s.poolStats.Get(p.ordinal).Listing > 0 }

// NewestFor returns the highest version of the pool's runners that handle a name and neither ended nor drain.
func (s *State) NewestFor(p *Pool, name string) (version uint32, ok bool) {
	if !s.ListsNames(p) {
		return s.NewestVersion(p)
	}
	version, ok = s.newestVersion(p, func(k versionKey) bool { return k.registered > k.listing })
	for k := range s.handlers.DownFrom(handlerKey{p.ordinal, name, ^uint32(0), ^uint32(0)}) {
		if k.pool == p.ordinal && k.name == name {
			return max(version, k.version), true
		}
		break
	}
	return version, ok
}

// hashOfName stands for an actor's name in a key. Names that share one share a queue; nobody meets two by chance.
func hashOfName(name string) halves { return halve(xxhash.Sum64String(name)) }

// nameQueueKey orders the pending actors of a pool by name, then as queueKey.
type nameQueueKey struct {
	pool  uint32
	name  halves // hashOfName
	floor uint32
	seq   halves
}

// queued returns the actor in the queue that a key names.
func (s *State) queued(k nameQueueKey) *Actor {
	found, _ := s.queue.Get(queueKey{pool: k.pool, floor: k.floor, seq: k.seq})
	return s.actorAt(found.ordinal)
}

func nameQueueLess(a, b nameQueueKey) bool {
	switch {
	case a.pool != b.pool:
		return a.pool < b.pool
	case a.name != b.name:
		return a.name.whole() < b.name.whole()
	case a.floor != b.floor:
		return a.floor < b.floor
	}
	return a.seq.whole() < b.seq.whole()
}

// nameOnKey orders the actors of a runner that have not been told to stop by name, then as assignedKey.
type nameOnKey struct {
	runner uint32
	name   halves // hashOfName
	rev    halves
}

func nameOnLess(a, b nameOnKey) bool {
	switch {
	case a.runner != b.runner:
		return a.runner < b.runner
	case a.name != b.name:
		return a.name.whole() < b.name.whole()
	}
	return a.rev.whole() < b.rev.whole()
}

// ActorsByName yields, of each name, the actors of a runner that have not been told to stop, in the order of ActorsOf.
func (s *State) ActorsByName(r *Runner) iter.Seq[iter.Seq[*Actor]] {
	return func(yield func(iter.Seq[*Actor]) bool) {
		for from := (nameOnKey{runner: r.Number}); ; {
			k, ok := s.nameOn.First(from)
			if !ok || k.runner != r.Number || !yield(s.namedLike(k)) {
				return
			}
			if from.name = halve(k.name.whole() + 1); from.name == (halves{}) {
				return
			}
		}
	}
}

func (s *State) namedLike(first nameOnKey) iter.Seq[*Actor] {
	return func(yield func(*Actor) bool) {
		for k := range s.nameOn.From(first) {
			if k.runner != first.runner || k.name != first.name {
				return
			}
			if found, _ := s.assigned.Get(assignedKey{runner: k.runner, rev: k.rev.whole()}); !yield(s.actorAt(found.ordinal)) {
				return
			}
		}
	}
}

// FirstPendingFor is FirstPending among the actors of one name, for a runner that handles it.
func (s *State) FirstPendingFor(p *Pool, name string, version uint32) *Actor {
	if !s.ListsNames(p) {
		return s.FirstPending(p, version)
	}
	var first *nameQueueKey
	for from := (nameQueueKey{pool: p.ordinal, name: hashOfName(name)}); ; from.floor++ {
		k, ok := s.nameQueue.First(from)
		if !ok || k.pool != p.ordinal || k.name != from.name {
			break
		}
		if !s.FloorBinds(p, name, k.floor, version) && (first == nil || k.seq.whole() < first.seq.whole()) {
			first = &k
		}
		if from.floor = k.floor; from.floor == ^uint32(0) {
			break
		}
	}
	if first == nil {
		return nil
	}
	return s.queued(*first)
}

// NamesToPlace returns the names of a pool's pending actors that a runner with a free slot handles, in a pool whose runners list names.
func (s *State) NamesToPlace(p *Pool) (names []string) {
	seen := map[string]bool{}
	for _, r := range s.candidateSets(p) {
		if r.Names == "" {
			return s.pendingNames(p)
		}
		for name := range r.Names.All() {
			if seen[name] {
				continue
			}
			seen[name] = true
			hash := hashOfName(name)
			if k, ok := s.nameQueue.First(nameQueueKey{pool: p.ordinal, name: hash}); ok && k.pool == p.ordinal && k.name == hash {
				names = append(names, name)
			}
		}
	}
	return names
}

// pendingNames returns the names of all pending actors of a pool.
func (s *State) pendingNames(p *Pool) (names []string) {
	for from := (nameQueueKey{pool: p.ordinal}); ; {
		k, ok := s.nameQueue.First(from)
		if !ok || k.pool != p.ordinal {
			return names
		}
		names = append(names, s.queued(k).Name)
		if from.name = halve(k.name.whole() + 1); from.name == (halves{}) {
			return names
		}
	}
}

// candidateSets returns one candidate of each list of names that there is among the candidates of a pool.
func (s *State) candidateSets(p *Pool) (one []*Runner) {
	for from := (candidateKey{pool: p.ordinal}); ; {
		k, ok := s.candidates.First(from)
		if !ok || k.pool != p.ordinal {
			return one
		}
		if !k.silent { // silent ones are behind the others of their list
			one = append(one, s.runners.Get(k.number))
		}
		if from.set = k.set + 1; from.set == 0 {
			return one
		}
	}
}

// CandidatesFor yields those of Candidates that handle a name.
func (s *State) CandidatesFor(p *Pool, name string, seed uint32) iter.Seq[*Runner] {
	if !s.ListsNames(p) {
		return s.candidatesOf(p, 0, seed)
	}
	return s.mergedCandidates(p, seed, func(r *Runner) bool { return r.Handles(name) })
}

// mergedCandidates yields the candidates of several lists of names in the order of choice.
func (s *State) mergedCandidates(p *Pool, seed uint32, handles func(*Runner) bool) iter.Seq[*Runner] {
	var sets []iter.Seq[*Runner]
	for _, r := range s.candidateSets(p) {
		if handles(r) {
			sets = append(sets, s.candidatesOf(p, r.set, seed))
		}
	}
	if len(sets) == 1 {
		return sets[0]
	}
	return func(yield func(*Runner) bool) {
		heads, pulls := make([]*Runner, len(sets)), make([]func() (*Runner, bool), len(sets))
		for i, set := range sets {
			next, stop := iter.Pull(set)
			defer stop()
			pulls[i] = next
			heads[i], _ = next()
		}
		for {
			first := -1
			for n := range heads { // among equals the seed says which is first
				i := (n + int(seed%uint32(len(heads)))) % len(heads)
				if heads[i] != nil && (first < 0 || s.chosenBefore(heads[i], heads[first])) {
					first = i
				}
			}
			if first < 0 || !yield(heads[first]) {
				return
			}
			heads[first], _ = pulls[first]()
		}
	}
}

// chosenBefore reports whether a candidate comes before another of its pool in the order of choice, whatever names they list.
func (s *State) chosenBefore(a, b *Runner) bool {
	ka, kb := s.candidateKey(a), s.candidateKey(b)
	ka.set, kb.set, ka.number, kb.number = 0, 0, 0, 0
	return candidateLess(ka, kb)
}
