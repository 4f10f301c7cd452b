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

// TestIndexAgainstSlice: whatever is put and deleted, an index holds what a sorted slice would, and so does every index that a later one
// was cloned from. Keys come at random, in order, and in order backwards; there are enough of them for three levels.
func TestIndexAgainstSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		head := NewIndex(pairLess)
		model := map[int]int{}
		type version struct {
			index Index[pair]
			model map[int]int
		}
		var old []version
		keys := rapid.SampledFrom([]int{60, 600, 18_000}).Draw(t, "keys")
		if rapid.Bool().Draw(t, "filled") {
			var filled []pair
			for k := range rapid.SampledFrom([]int{0, 1, 43, 6000}).Draw(t, "fill") {
				filled = append(filled, pair{3 * k, -1})
				model[3*k] = -1
			}
			if rapid.Bool().Draw(t, "not empty") {
				head.Put(pair{-1, -1})
				model[-1] = -1
			}
			head.Fill(filled)
		}
		for step := range rapid.IntRange(10, 40).Draw(t, "steps") {
			from, count := rapid.IntRange(0, keys).Draw(t, "key"), rapid.SampledFrom([]int{1, 40, 400, 4000}).Draw(t, "count")
			stride := rapid.SampledFrom([]int{1, -1, 7919}).Draw(t, "stride")
			what := rapid.IntRange(0, 5).Draw(t, "what")
			if what == 0 {
				old = append(old, version{head, maps.Clone(model)})
				head = head.Clone()
				continue
			}
			for i := range count {
				k := ((from+i*stride)%keys + keys) % keys
				if what > 3 {
					_, had := model[k]
					if head.Delete(pair{k, 0}) != had {
						t.Fatalf("Delete(%d) disagrees", k)
					}
					delete(model, k)
					continue
				}
				head.Put(pair{k, step})
				model[k] = step
			}
		}
		for _, v := range append(old, version{head, model}) {
			compare(t, v.index, v.model, rapid.IntRange(-1, keys+1).Draw(t, "from"))
		}
		for k := range model { // down to nothing
			if !head.Delete(pair{k, 0}) {
				t.Fatalf("%d cannot be deleted", k)
			}
		}
		compare(t, head, map[int]int{}, 0)
	})
}

type pair struct{ key, value int }

func pairLess(a, b pair) bool { return a.key < b.key }

func compare(t *rapid.T, x Index[pair], model map[int]int, from int) {
	var want []pair
	for _, k := range slices.Sorted(maps.Keys(model)) {
		want = append(want, pair{k, model[k]})
	}
	if got := slices.Collect(x.All()); !slices.Equal(got, want) || x.Len() != len(want) {
		t.Fatalf("All = %v (%d), want %v", got, x.Len(), want)
	}
	if x.Len() > 0 {
		checkShape(t, x.tree.root, nil, nil)
	}
	at, found := slices.BinarySearchFunc(want, from, func(p pair, k int) int { return cmp.Compare(p.key, k) })
	if got := slices.Collect(x.From(pair{from, 0})); !slices.Equal(got, want[at:]) {
		t.Fatalf("From(%d) = %v, want %v", from, got, want[at:])
	}
	first, ok := x.First(pair{from, 0})
	if ok != (at < len(want)) || ok && first != want[at] {
		t.Fatalf("First(%d) = %v, %v", from, first, ok)
	}
	if got, ok := x.Get(pair{from, 0}); ok != found || ok && got != want[at] {
		t.Fatalf("Get(%d) = %v, %v", from, got, ok)
	}
	if found {
		at++
	}
	down := slices.Collect(x.DownFrom(pair{from, 0}))
	slices.Reverse(down)
	if !slices.Equal(down, want[:at]) {
		t.Fatalf("DownFrom(%d) = %v", from, down)
	}
	for k := range x.From(pair{from, 0}) { // and who has had enough is left alone
		_ = k
		break
	}
	for k := range x.DownFrom(pair{from, 0}) {
		_ = k
		break
	}
}

// checkShape wants no empty block, and in every kid only what belongs there.
func checkShape(t *rapid.T, n *block[pair], low, high *pair) {
	if n.n == 0 {
		t.Fatal("an empty block")
	}
	if n.kids == nil {
		first, last := n.keys[0], n.keys[n.n-1]
		if low != nil && first.key < low.key || high != nil && last.key >= high.key {
			t.Fatalf("%v to %v between %v and %v", first, last, low, high)
		}
		return
	}
	for i, kid := range n.kids[:n.n] {
		from, to := low, high
		if i > 0 {
			from = &n.keys[i]
		}
		if i+1 < n.n {
			to = &n.keys[i+1]
		}
		checkShape(t, kid, from, to)
	}
}

// TestWhatWasClonedIsNotWritten: two indexes share blocks, and only the younger one knows which it has made itself.
func TestWhatWasClonedIsNotWritten(t *testing.T) {
	head := NewIndex(pairLess)
	head.Put(pair{1, 1})
	clone := head.Clone()
	clone.Put(pair{2, 2})
	for name, write := range map[string]func(){
		"put": func() { head.Put(pair{3, 3}) }, "delete": func() { head.Delete(pair{1, 0}) }, "fill": func() { head.Fill(nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was let through", name)
				}
			}()
			write()
		}()
	}
	if head.Len() != 1 || clone.Len() != 2 {
		t.Errorf("%d and %d keys", head.Len(), clone.Len())
	}
}

// TestKeysThatLeaveGiveTheirRoomBack: what shrinks takes no more than what never grew so large.
func TestKeysThatLeaveGiveTheirRoomBack(t *testing.T) {
	x := NewIndex(pairLess)
	for k := range 100_000 {
		x.Put(pair{k * 7919 % 100_003, 0})
	}
	if n := leavesOf(x.tree.root); n > 100_000/(blockKeys/2) {
		t.Errorf("%d leaves for 100 000 keys", n)
	}
	for k := range 100_000 {
		if k%20 != 0 {
			x.Delete(pair{k * 7919 % 100_003, 0})
		}
	}
	if n := leavesOf(x.tree.root); n > 5_000/(blockKeys/4) {
		t.Errorf("%d leaves for 5 000 keys", n)
	}
}

func leavesOf(n *block[pair]) (leaves int) {
	if n.kids == nil {
		return 1
	}
	for _, kid := range n.kids[:n.n] {
		leaves += leavesOf(kid)
	}
	return leaves
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

// BenchmarkIndex puts keys into a million at random, 256 between two clones, as an entry does; beside it, finding them.
func BenchmarkIndex(b *testing.B) {
	type key struct {
		hash, seq uint64
		row       uint32
	}
	x := NewIndex(func(a, b key) bool {
		if a.hash != b.hash {
			return a.hash < b.hash
		}
		return a.seq < b.seq
	})
	next := uint64(0)
	random := func() key {
		next++
		return key{hash: next * 0x9e3779b97f4a7c15, seq: next, row: uint32(next)}
	}
	for range 1_000_000 {
		x.Put(random())
	}
	b.Run("put", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%256 == 0 {
				x = x.Clone()
			}
			x.Put(random())
		}
	})
	b.Run("get", func(b *testing.B) {
		for i := uint64(0); b.Loop(); i++ {
			n := i*7919%1_000_000 + 1
			if _, ok := x.Get(key{hash: n * 0x9e3779b97f4a7c15, seq: n}); !ok {
				b.Fatal("it is gone")
			}
		}
	})
	keys := slices.Collect(x.All())
	b.Run("fill", func(b *testing.B) {
		for b.Loop() {
			NewIndex(x.tree.less).Fill(keys)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(keys)), "ns/key")
	})
}
