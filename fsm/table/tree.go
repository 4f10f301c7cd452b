package table

// blockKeys is how many keys a block holds. A block is copied whenever a new owner changes it, so it must not be large; and with this
// many keys of 12, 20, 24 or 32 bytes it fills a size of Go's allocator almost to the last byte.
const blockKeys = 31

// tree is a persistent B+ tree. A block belongs to the owner that made it, which alone may write to it; everybody else copies it.
type tree[K any] struct {
	less  func(a, b K) bool
	root  *block[K] // nil: there are no keys
	len   int
	owner *owner
}

// block is a leaf, which holds keys, or it has kids: then keys[i] is not greater than any key in kid i, and greater than all in kid
// i-1; keys[0] means nothing. Only keys[:n] and kids[:n] count, the others are zero. No block in a tree is empty, but for the root.
//
// The keys are a piece of memory of their own: most kinds hold no pointers, and then the garbage collector does not look into it.
type block[K any] struct {
	owner *owner
	kids  *[blockKeys]*block[K]
	n     int
	keys  *[blockKeys]K
}

// at is the position of the first key of a leaf that is not less than the given one.
func (t *tree[K]) at(b *block[K], key K) int {
	low, high := 0, b.n
	for low < high {
		middle := int(uint(low+high) / 2)
		if t.less(b.keys[middle], key) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// kid is the kid in which a key belongs.
func (t *tree[K]) kid(b *block[K], key K) int {
	low, high := 1, b.n
	for low < high {
		middle := int(uint(low+high) / 2)
		if t.less(key, b.keys[middle]) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low - 1
}

// first returns the first key of a block and those below it that is not less than the given one.
func (t *tree[K]) first(b *block[K], from K) (key K, ok bool) {
	if b == nil {
		return key, false
	}
	if b.kids == nil {
		if i := t.at(b, from); i < b.n {
			return b.keys[i], true
		}
		return key, false
	}
	i := t.kid(b, from)
	if key, ok = t.first(b.kids[i], from); !ok && i+1 < b.n {
		return t.first(b.kids[i+1], from)
	}
	return key, ok
}

// ascend yields the keys from one on; nil: all. It returns false when yield has had enough.
func (t *tree[K]) ascend(b *block[K], from *K, yield func(K) bool) bool {
	i := 0
	switch {
	case b == nil:
	case b.kids == nil:
		if from != nil {
			i = t.at(b, *from)
		}
		for ; i < b.n; i++ {
			if !yield(b.keys[i]) {
				return false
			}
		}
	default:
		if from != nil {
			i = t.kid(b, *from)
		}
		for ; i < b.n; i++ {
			if !t.ascend(b.kids[i], from, yield) {
				return false
			}
			from = nil
		}
	}
	return true
}

// descend yields the keys from one on backwards. It returns false when yield has had enough.
func (t *tree[K]) descend(b *block[K], from K, yield func(K) bool) bool {
	if b == nil {
		return true
	}
	if b.kids == nil {
		i := t.at(b, from)
		if i < b.n && !t.less(from, b.keys[i]) && !yield(b.keys[i]) {
			return false
		}
		return b.down(i-1, yield)
	}
	i := t.kid(b, from)
	return t.descend(b.kids[i], from, yield) && b.down(i-1, yield)
}

// down yields everything from a position on backwards.
func (b *block[K]) down(i int, yield func(K) bool) bool {
	for ; i >= 0; i-- {
		if b.kids == nil && !yield(b.keys[i]) || b.kids != nil && !b.kids[i].down(b.kids[i].n-1, yield) {
			return false
		}
	}
	return true
}
