package table

import "iter"

// Index is an ordered set of keys. A key may hold more than what it is ordered by: then it carries a value, and Put replaces it. What
// a Clone was made of must not be written any more.
type Index[K any] struct {
	tree *tree[K]
}

// NewIndex returns an empty index in the given order.
func NewIndex[K any](less func(a, b K) bool) Index[K] {
	return Index[K]{tree: &tree[K]{less: less, owner: new(owner)}}
}

// Clone returns an independent copy, in constant time. Any number of goroutines may clone the same index.
func (x Index[K]) Clone() Index[K] {
	x.tree.owner.shares.Store(true)
	t := *x.tree
	t.owner = new(owner)
	return Index[K]{tree: &t}
}

// Len returns how many keys there are.
func (x Index[K]) Len() int { return x.tree.len }

// Put adds a key, or replaces the one that is equal to it.
func (x Index[K]) Put(key K) { x.tree.put(key) }

// Delete removes the key that is equal to it, and tells whether there was one.
func (x Index[K]) Delete(key K) bool { return x.tree.delete(key) }

// Get returns the key that is equal to it.
func (x Index[K]) Get(key K) (K, bool) {
	found, ok := x.tree.first(x.tree.root, key)
	if !ok || x.tree.less(key, found) {
		var zero K
		return zero, false
	}
	return found, true
}

// First returns the first key from the given one on.
func (x Index[K]) First(from K) (K, bool) { return x.tree.first(x.tree.root, from) }

// From yields the keys from the given one on, in order.
func (x Index[K]) From(from K) iter.Seq[K] {
	return func(yield func(K) bool) { x.tree.ascend(x.tree.root, &from, yield) }
}

// DownFrom yields the keys from the given one on backwards.
func (x Index[K]) DownFrom(from K) iter.Seq[K] {
	return func(yield func(K) bool) { x.tree.descend(x.tree.root, from, yield) }
}

// All yields all keys in order.
func (x Index[K]) All() iter.Seq[K] {
	return func(yield func(K) bool) { x.tree.ascend(x.tree.root, nil, yield) }
}

// Fill puts keys that are in order and all different. An empty index is built faster so than one by one, and takes less room.
func (x Index[K]) Fill(keys []K) { x.tree.fill(keys) }
