package fsm

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Numbers depend on what is taken and on nothing else: not on what was taken before.
func TestNumbersForgetTheirPast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, taken := newNumbers(), map[uint32]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			number := rapid.Uint32Range(1, 12).Draw(t, "number")
			if taken[number] {
				n.release(number)
				delete(taken, number)
				continue
			}
			lowest := uint32(1)
			for taken[lowest] {
				lowest++
			}
			if got := n.take(); got != lowest {
				t.Fatalf("take gave %d, the lowest free number is %d", got, lowest)
			}
			taken[lowest] = true
		}
		fresh := newNumbers()
		for number := uint32(1); number <= 60; number++ {
			if taken[number] {
				fresh.claim(number)
			}
		}
		if n.next != fresh.next || !slices.Equal(slices.Collect(n.free.All()), slices.Collect(fresh.free.All())) {
			t.Fatalf("taken %v: next %d, free %v; restored: next %d, free %v", taken, n.next, slices.Collect(n.free.All()), fresh.next, slices.Collect(fresh.free.All()))
		}
	})
}

// A restored node must choose like one that has run all the time: the seed turns equal candidates around by their numbers.
func TestCandidatesAfterRestore(t *testing.T) {
	v := play("register-runner r1", "register-runner r2", "register-runner r3", "register-runner r4", "end-runner r3", "end-runner r4", "forget-runner r4", "forget-runner r3")
	restored := restore(t, &v.State)
	for seed := range uint32(20) {
		order := func(v *View) (numbers []uint32) {
			for r := range v.Candidates(v.Pool(PoolID{NamespaceID(idOf("default")), "p"}), seed) {
				numbers = append(numbers, r.Number)
			}
			return numbers
		}
		if a, b := order(v), order(restored); !slices.Equal(a, b) || len(a) != 2 {
			t.Errorf("seed %d: %v, restored %v", seed, a, b)
		}
	}
}

// BenchmarkCheck is what the leader pays for an entry of 256 ops, beside a state of any size.
func BenchmarkCheck(b *testing.B) {
	for _, idle := range []int{1_000, 100_000} {
		v := play("register-runner r1 slots=1000")
		tx := v.Begin(v.clockMs, v.wallMs)
		for i := range idle {
			tx.Do(mustOp(&tx.State, fmt.Sprintf("create-actor i%d key=k%d", i, i)))
			tx.Do(mustOp(&tx.State, fmt.Sprintf("sleep-actor i%d", i)))
		}
		v = tx.Seal(v.index + 1)
		tx = v.Begin(v.clockMs, v.wallMs)
		for i := range 128 {
			tx.Do(mustOp(&tx.State, fmt.Sprintf("create-actor a%d key=a%d", i, i)))
			tx.Do(mustOp(&tx.State, fmt.Sprintf("assign-actor a%d/1 r1", i)))
		}
		b.Run(fmt.Sprint(idle, " idle actors"), func(b *testing.B) {
			for b.Loop() {
				if err := tx.Check(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/256, "µs/op-checked")
		})
	}
}
