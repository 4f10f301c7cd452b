package table

import "sync/atomic"

const (
	pageBits  = 7 // 128 values a page, 128 pages a chunk
	pageSize  = 1 << pageBits
	pageMask  = pageSize - 1
	chunkBits = 2 * pageBits
)

// Rows is a persistent vector: ordinal → value. The zero value is empty and ready for use.
//
// Values are copied in and out. A value that is a pointer must not be changed after Set: replace it.
type Rows[T any] struct {
	chunks []*chunk[T]
	owner  *owner // whose pages may be written in place; nil: nobody's
	dirOwn bool   // chunks was copied by this owner
}

// owner is an identity, not a value: it must not be zero-sized, or all owners would share one address.
type owner struct {
	shares atomic.Bool // what it made is part of a clone, and must not be written any more
}

type chunk[T any] struct {
	owner *owner
	pages [pageSize]*page[T]
}

type page[T any] struct {
	owner  *owner
	values [pageSize]T
}

// Clone returns a vector that shares everything with r. The clone may be written; r must not be written afterwards.
func (r *Rows[T]) Clone() Rows[T] {
	return Rows[T]{chunks: r.chunks, owner: new(owner)}
}

// Get returns the value at ordinal i, or the zero value where nothing was set.
func (r *Rows[T]) Get(i uint32) T {
	var zero T
	c := int(i >> chunkBits)
	if c >= len(r.chunks) || r.chunks[c] == nil {
		return zero
	}
	p := r.chunks[c].pages[(i>>pageBits)&pageMask]
	if p == nil {
		return zero
	}
	return p.values[i&pageMask]
}

// Set writes the value at ordinal i, and grows the vector as needed.
func (r *Rows[T]) Set(i uint32, value T) {
	r.writable(i).values[i&pageMask] = value
}

func (r *Rows[T]) writable(i uint32) *page[T] {
	if r.owner == nil {
		r.owner = new(owner)
	}
	ci, pi := int(i>>chunkBits), (i>>pageBits)&pageMask
	if !r.dirOwn || ci >= len(r.chunks) {
		grown := make([]*chunk[T], max(len(r.chunks), ci+1))
		copy(grown, r.chunks)
		r.chunks, r.dirOwn = grown, true
	}
	c := r.chunks[ci]
	switch {
	case c == nil:
		c = &chunk[T]{owner: r.owner}
		r.chunks[ci] = c
	case c.owner != r.owner:
		c = &chunk[T]{owner: r.owner, pages: c.pages}
		r.chunks[ci] = c
	}
	p := c.pages[pi]
	switch {
	case p == nil:
		p = &page[T]{owner: r.owner}
		c.pages[pi] = p
	case p.owner != r.owner:
		p = &page[T]{owner: r.owner, values: p.values}
		c.pages[pi] = p
	}
	return p
}
