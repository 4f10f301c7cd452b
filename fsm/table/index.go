package table

import (
	"iter"

	"github.com/google/btree"
)

const degree = 32

// Index is a persistent ordered set of keys. Make one with NewIndex.
//
// Clone changes bookkeeping of the original too, so that clones of one Index must not be made at the same time; reading is safe
// at any time.
type Index[K any] struct {
	tree *btree.BTreeG[K]
}

// NewIndex returns an empty set ordered by less.
func NewIndex[K any](less func(a, b K) bool) Index[K] {
	return Index[K]{tree: btree.NewG(degree, btree.LessFunc[K](less))}
}

// Clone returns a set that shares everything with x. Both may be written afterwards.
func (x Index[K]) Clone() Index[K] { return Index[K]{tree: x.tree.Clone()} }

// Len returns the number of keys.
func (x Index[K]) Len() int { return x.tree.Len() }

// Put adds a key, replacing one that orders the same.
func (x Index[K]) Put(key K) { x.tree.ReplaceOrInsert(key) }

// Delete removes the key that orders the same, and tells whether there was one.
func (x Index[K]) Delete(key K) bool {
	_, ok := x.tree.Delete(key)
	return ok
}

// Get returns the stored key that orders the same.
func (x Index[K]) Get(key K) (K, bool) { return x.tree.Get(key) }

// From yields the keys that are not less than from, ascending. The set must not be changed meanwhile.
func (x Index[K]) From(from K) iter.Seq[K] {
	return func(yield func(K) bool) {
		x.tree.AscendGreaterOrEqual(from, yield)
	}
}

// DownFrom yields the keys that are not greater than from, descending. The set must not be changed meanwhile.
func (x Index[K]) DownFrom(from K) iter.Seq[K] {
	return func(yield func(K) bool) {
		x.tree.DescendLessOrEqual(from, yield)
	}
}

// All yields every key, ascending.
func (x Index[K]) All() iter.Seq[K] {
	return func(yield func(K) bool) { x.tree.Ascend(yield) }
}

// First returns the least key that is not less than from.
func (x Index[K]) First(from K) (key K, ok bool) {
	x.tree.AscendGreaterOrEqual(from, func(k K) bool {
		key, ok = k, true
		return false
	})
	return key, ok
}
