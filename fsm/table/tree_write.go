package table

// write refuses to change what a clone shares.
func (t *tree[K]) write() {
	if t.owner.shares.Load() {
		panic("table: an index was written after it was cloned")
	}
}

func (t *tree[K]) put(key K) {
	t.write()
	if t.root == nil {
		t.root = t.empty()
	}
	var right *block[K]
	var low K
	if t.root, right, low = t.putInto(t.root, key); right != nil {
		root := t.empty()
		root.n, root.kids = 2, new([blockKeys]*block[K])
		root.kids[0], root.kids[1], root.keys[1] = t.root, right, low
		t.root = root
	}
}

// putInto returns the block with the key in it, and if that has become two, the right one of them and the least that belongs in it.
func (t *tree[K]) putInto(b *block[K], key K) (self, right *block[K], low K) {
	if b.kids != nil {
		i := t.kid(b, key)
		kid, next, nextLow := t.putInto(b.kids[i], key)
		b = t.own(b)
		if b.kids[i] = kid; next != nil {
			right, low = t.insert(b, i+1, nextLow, next)
		}
		return b, right, low
	}
	i := t.at(b, key)
	b = t.own(b)
	if i < b.n && !t.less(key, b.keys[i]) {
		b.keys[i] = key
		return b, nil, low
	}
	t.len++
	right, low = t.insert(b, i, key, nil)
	return b, right, low
}

// insert puts a key, and perhaps a kid, at a position. If there is no room, a part of the block goes to a new one on its right, which is
// returned with the least that belongs in it.
func (t *tree[K]) insert(b *block[K], i int, key K, kid *block[K]) (right *block[K], low K) {
	if b.n == blockKeys {
		cut := blockKeys / 2
		if i == blockKeys {
			cut = blockKeys // keys that come in order fill their blocks
		}
		right = t.cut(b, cut)
		if i > cut || i == blockKeys {
			right.insert(i-cut, key, kid)
		} else {
			b.insert(i, key, kid)
		}
		return right, right.keys[0]
	}
	b.insert(i, key, kid)
	return nil, low
}

// cut moves what a block has from a position on to a new one.
func (t *tree[K]) cut(b *block[K], from int) *block[K] {
	right := t.empty()
	right.n = b.n - from
	copy(right.keys[:], b.keys[from:b.n])
	clear(b.keys[from:b.n])
	if b.kids != nil {
		right.kids = new([blockKeys]*block[K])
		copy(right.kids[:], b.kids[from:b.n])
		clear(b.kids[from:b.n])
	}
	b.n = from
	return right
}

func (b *block[K]) insert(i int, key K, kid *block[K]) {
	copy(b.keys[i+1:], b.keys[i:b.n])
	b.keys[i] = key
	if b.kids != nil {
		copy(b.kids[i+1:], b.kids[i:b.n])
		b.kids[i] = kid
	}
	b.n++
}

func (b *block[K]) remove(i int) {
	var none K
	copy(b.keys[i:], b.keys[i+1:b.n])
	if b.n--; b.kids != nil {
		copy(b.kids[i:], b.kids[i+1:b.n+1])
		b.kids[b.n] = nil
	}
	b.keys[b.n] = none
}

func (t *tree[K]) delete(key K) bool {
	t.write()
	if t.root == nil {
		return false
	}
	root, ok := t.deleteFrom(t.root, key)
	if !ok {
		return false
	}
	t.len--
	for root != nil && root.kids != nil && root.n <= 1 {
		root = root.kids[0] // nil, if it was the last
	}
	t.root = root
	return true
}

func (t *tree[K]) deleteFrom(b *block[K], key K) (self *block[K], ok bool) {
	if b.kids == nil {
		i := t.at(b, key)
		if i == b.n || t.less(key, b.keys[i]) {
			return b, false
		}
		b = t.own(b)
		b.remove(i)
		return b, true
	}
	i := t.kid(b, key)
	kid, ok := t.deleteFrom(b.kids[i], key)
	if !ok {
		return b, false
	}
	b = t.own(b)
	b.kids[i] = kid
	switch {
	case kid.n == 0:
		b.remove(i)
	case i+1 < b.n && t.join(b, i):
	case i > 0:
		t.join(b, i-1)
	}
	return b, true
}

// join makes one of kid i and the one behind it, if that leaves room for more, and tells whether it did.
func (t *tree[K]) join(b *block[K], i int) bool {
	left, right := b.kids[i], b.kids[i+1]
	if left.n+right.n > blockKeys*3/4 {
		return false
	}
	left = t.own(left)
	copy(left.keys[left.n:], right.keys[:right.n])
	if left.kids != nil {
		left.keys[left.n] = b.keys[i+1]
		copy(left.kids[left.n:], right.kids[:right.n])
	}
	left.n += right.n
	b.kids[i] = left
	b.remove(i + 1)
	return true
}

// empty returns a new block that may be written.
func (t *tree[K]) empty() *block[K] { return &block[K]{owner: t.owner, keys: new([blockKeys]K)} }

// own returns a block that may be written.
func (t *tree[K]) own(b *block[K]) *block[K] {
	if b.owner == t.owner {
		return b
	}
	own := t.empty()
	own.n = b.n
	copy(own.keys[:], b.keys[:b.n])
	if b.kids != nil {
		own.kids = new([blockKeys]*block[K])
		copy(own.kids[:], b.kids[:b.n])
	}
	return own
}

// fill builds an empty tree from its leaves up. Every block has room for a few more.
func (t *tree[K]) fill(keys []K) {
	t.write()
	if t.len > 0 {
		for _, key := range keys {
			t.put(key)
		}
		return
	}
	t.len, t.root = len(keys), nil
	var kids []*block[K] // none: the blocks are leaves
	for len(keys) > 0 {
		var above []*block[K]
		var lows []K
		for len(keys) > 0 {
			b := t.empty()
			b.n = copy(b.keys[:blockKeys*7/8], keys)
			above, lows, keys = append(above, b), append(lows, keys[0]), keys[b.n:]
			if len(kids) > 0 {
				b.kids = new([blockKeys]*block[K])
				kids = kids[copy(b.kids[:b.n], kids):]
			}
		}
		if len(above) == 1 {
			t.root = above[0]
			return
		}
		kids, keys = above, lows
	}
}
