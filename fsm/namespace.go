package fsm

import (
	"iter"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// MaxNamespaces bounds how many namespaces a cluster has.
const MaxNamespaces = 10_000

// Namespace separates users of one cluster.
type Namespace struct {
	ID          NamespaceID
	Name        string
	DisplayName string
	CreateMs    int64 // wall clock

	ordinal uint32
}

// ValidName tells whether a name is 1 to 64 of a-z, 0-9 and dash, with no leading, trailing or double dash.
func ValidName(name string) bool {
	if len(name) < 1 || len(name) > 64 || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c == '-' && name[i-1] != '-':
		default:
			return false
		}
	}
	return true
}

// Namespace finds a namespace by name; nil: there is none.
func (s *State) Namespace(name string) *Namespace {
	key, ok := s.namespacesByName.Get(nameKey{name: name})
	if !ok {
		return nil
	}
	return s.namespaces.Get(key.row)
}

// NamespaceByID finds a namespace by id; nil: there is none.
func (s *State) NamespaceByID(id NamespaceID) *Namespace {
	key, ok := s.namespacesByID.Get(idKey{id: ID(id)})
	if !ok {
		return nil
	}
	return s.namespaces.Get(key.row)
}

// Namespaces yields the namespaces by name, beginning after a name.
func (s *State) Namespaces(after string) iter.Seq[*Namespace] {
	return func(yield func(*Namespace) bool) {
		for key := range s.namespacesByName.From(nameKey{name: after}) {
			if key.name != after || after == "" {
				if !yield(s.namespaces.Get(key.row)) {
					return
				}
			}
		}
	}
}

func (tx *Tx) putNamespace(op *logv1.PutNamespace) Result {
	id, ok := idFrom(op.GetNamespaceId())
	if !ok || !ValidName(op.GetName()) {
		return refuse(CodeMalformed)
	}
	if tx.Namespace(op.GetName()) != nil || tx.NamespaceByID(NamespaceID(id)) != nil {
		return refuse(CodeExists)
	}
	if tx.namespaceCount >= MaxNamespaces {
		return refuse(CodeFull)
	}
	tx.addNamespace(&Namespace{ID: NamespaceID(id), Name: op.GetName(), DisplayName: op.GetDisplayName(), CreateMs: tx.wallMs})
	return Result{}
}

func (tx *Tx) addNamespace(ns *Namespace) {
	ns.ordinal = tx.namespaceCount
	tx.namespaceCount++
	tx.rehash(StateHash{}, ns.hash())
	tx.namespaces.Set(ns.ordinal, ns)
	tx.namespacesByName.Put(nameKey{name: ns.Name, row: ns.ordinal})
	tx.namespacesByID.Put(idKey{id: ID(ns.ID), row: ns.ordinal})
}
