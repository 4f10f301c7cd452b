package table

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A clone and its original never see each other's writes: checked against plain maps.
func TestRowsAgainstMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			rows  Rows[int]
			model map[uint32]int
		}
		head := version{model: map[uint32]int{}}
		var old []version
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "clone") == 0 {
				old = append(old, head)
				head = version{rows: head.rows.Clone(), model: maps.Clone(head.model)}
			}
			i := rapid.SampledFrom([]uint32{0, 1, 127, 128, 129, 16383, 16384, 40000, 1 << 20}).Draw(t, "ordinal")
			v := rapid.Int().Draw(t, "value")
			head.rows.Set(i, v)
			head.model[i] = v
		}
		for _, v := range append(old, head) {
			for _, i := range []uint32{0, 1, 2, 127, 128, 129, 16383, 16384, 40000, 1 << 20, 1 << 21} {
				if got := v.rows.Get(i); got != v.model[i] {
					t.Fatalf("Get(%d) = %d, want %d", i, got, v.model[i])
				}
			}
		}
	})
}

func TestIndexAgainstSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		head := NewIndex(func(a, b int) bool { return a < b })
		model := map[int]bool{}
		frozen, frozenModel := head.Clone(), maps.Clone(model)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			k := rapid.IntRange(0, 60).Draw(t, "key")
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				if head.Delete(k) != model[k] {
					t.Fatalf("Delete(%d) disagrees", k)
				}
				delete(model, k)
			case 1:
				frozen, frozenModel = head.Clone(), maps.Clone(model)
			default:
				head.Put(k)
				model[k] = true
			}
		}
		check := func(x Index[int], m map[int]bool) {
			want := slices.SortedFunc(maps.Keys(m), cmp.Compare)
			if got := slices.Collect(x.All()); !slices.Equal(got, want) {
				t.Fatalf("All = %v, want %v", got, want)
			}
			from := rapid.IntRange(0, 60).Draw(t, "from")
			at, _ := slices.BinarySearch(want, from)
			if got := slices.Collect(x.From(from)); !slices.Equal(got, want[at:]) {
				t.Fatalf("From(%d) = %v, want %v", from, got, want[at:])
			}
			first, ok := x.First(from)
			if ok != (at < len(want)) || ok && first != want[at] {
				t.Fatalf("First(%d) = %d, %v", from, first, ok)
			}
			down := slices.Collect(x.DownFrom(from))
			slices.Reverse(down)
			if end, found := slices.BinarySearch(want, from); true {
				if found {
					end++
				}
				if !slices.Equal(down, want[:end]) {
					t.Fatalf("DownFrom(%d) = %v", from, down)
				}
			}
		}
		check(head, model)
		check(frozen, frozenModel)
	})
}

func BenchmarkRowsSet(b *testing.B) {
	var r Rows[*int]
	for i := range uint32(200_000) {
		r.Set(i, new(int))
	}
	v := new(int)
	for i := 0; b.Loop(); i++ {
		if i%256 == 0 {
			r = r.Clone()
		}
		r.Set(uint32(i*7919)%200_000, v)
	}
}
