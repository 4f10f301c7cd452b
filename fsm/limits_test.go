package fsm

import (
	"fmt"
	"testing"
)

// Everything has a limit, and at the limit the next one is refused. Filling up to the limits by ops would take minutes: the counts are
// set instead.
func TestLimits(t *testing.T) {
	tests := []struct {
		name string
		fill func(tx *Tx)
		line string
	}{
		{"namespaces", func(tx *Tx) { tx.namespaceCount = MaxNamespaces }, "put-namespace n1 name=toys"},
		{"pools", func(tx *Tx) { tx.poolOrdinals.next = MaxPools + 1 }, "put-pool default one-more"},
		{"runners", func(tx *Tx) { tx.runnerNumbers.next = MaxRunners + 1 }, "register-runner r9"},
		{"orphans", func(tx *Tx) {
			r := *tx.runners.Get(1)
			r.Held = r.Slots + MaxOrphansPerRunner
			tx.runners.Set(1, &r)
		}, "hold-orphan r1 x/1"},
		{"versions held back", func(tx *Tx) {
			for v := range uint32(MaxHeldVersions) {
				tx.putHeldVersion(tx.pools.Get(1), &HeldVersion{Version: v + 10})
			}
		}, "hold-version version=5"},
		{"drains that are kept", func(tx *Tx) { tx.keptDrainCount.Set(1, MaxKeptDrains) }, "remember-drain key=k"},
		{"outcomes", func(tx *Tx) {
			rows := make([]outcomeRow, MaxOutcomes)
			for i := range rows {
				rows[i].seq = uint64(i)
			}
			tx.outcomes.Fill(rows)
		}, "remember-outcome key=k"},
		{"bytes of outcomes", func(tx *Tx) { tx.outcomeLongBytes = MaxOutcomesBytes }, "remember-outcome key=k"},
	}
	v := play("register-runner r1 slots=3")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tx := v.Begin(v.clockMs, v.wallMs)
			if res := tx.Do(mustOp(&tx.State, test.line)); res.Code != CodeOK {
				t.Fatalf("far from the limit: %s", res.Code)
			}
			tx = v.Begin(v.clockMs, v.wallMs)
			test.fill(tx)
			if res := tx.Do(mustOp(&tx.State, test.line)); res.Code != CodeFull {
				t.Errorf("at the limit: %s", res.Code)
			}
		})
	}
	t.Run("a pool that is there may be written at the limit", func(t *testing.T) {
		tx := v.Begin(v.clockMs, v.wallMs)
		tx.poolOrdinals.next = MaxPools + 1
		if res := tx.Do(mustOp(&tx.State, "put-pool default p")); res.Code != CodeOK {
			t.Error(res.Code)
		}
	})
}

// Of ended actors the ten thousand youngest of a namespace are kept.
func TestExcessEnded(t *testing.T) {
	v := play("put-namespace games name=games", "put-pool games p")
	tx := v.Begin(v.clockMs, v.wallMs)
	do := func(line string) {
		if res := tx.Do(mustOp(&tx.State, line)); res.Code != CodeOK {
			t.Fatalf("%s: %s", line, res.Code)
		}
	}
	for i := range MaxEnded + 3 {
		tx.clockMs++
		do(fmt.Sprint("create-actor a", i))
		do(fmt.Sprint("destroy-actor a", i))
	}
	do("create-actor b namespace=games")
	do("destroy-actor b")
	of := func(namespace string, limit int) (ids []string) {
		for _, a := range tx.ExcessEnded(tx.Namespace(namespace), limit) {
			ids = append(ids, textOf(ID(a.ID)))
		}
		return ids
	}
	for _, test := range []struct {
		namespace string
		limit     int
		want      string
	}{{"default", 9, "[a0 a1 a2]"}, {"default", 2, "[a0 a1]"}, {"games", 9, "[]"}} {
		if got := fmt.Sprint(of(test.namespace, test.limit)); got != test.want {
			t.Errorf("%s, at most %d: %s, want %s", test.namespace, test.limit, got, test.want)
		}
	}
	for _, id := range of("default", 3) {
		do("forget-actor " + id)
	}
	if got := of("default", 9); len(got) != 0 {
		t.Errorf("still too many: %v", got)
	}
}

// So are runners; one that still has actors to release is passed over.
func TestExcessRunners(t *testing.T) {
	v := play("put-namespace games name=games", "put-pool games p")
	tx := v.Begin(v.clockMs, v.wallMs)
	do := func(line string) {
		if res := tx.Do(mustOp(&tx.State, line)); res.Code != CodeOK {
			t.Fatalf("%s: %s", line, res.Code)
		}
	}
	for i := range MaxEnded + 3 {
		tx.clockMs++
		do(fmt.Sprint("register-runner r", i))
		if i == 1 {
			do("create-actor a1")
			do("assign-actor a1/1 r1")
		}
		do(fmt.Sprint("end-runner r", i))
	}
	do("register-runner s namespace=games")
	do("end-runner s")
	of := func(namespace string, limit int) string {
		var ids []string
		for _, r := range tx.ExcessRunners(tx.Namespace(namespace), limit) {
			ids = append(ids, textOf(ID(r.ID)))
		}
		return fmt.Sprint(ids)
	}
	for _, test := range []struct {
		namespace string
		limit     int
		want      string
	}{{"default", 9, "[r0 r2 r3]"}, {"default", 2, "[r0 r2]"}, {"games", 9, "[]"}} {
		if got := of(test.namespace, test.limit); got != test.want {
			t.Errorf("%s, at most %d: %s, want %s", test.namespace, test.limit, got, test.want)
		}
	}
	for _, id := range []string{"r0", "r2", "r3"} {
		do("forget-runner " + id)
	}
	if got := of("default", 9); got != "[]" {
		t.Errorf("still too many: %s", got)
	}
}

// So are rollouts.
func TestExcessRollout(t *testing.T) {
	v := play("put-namespace games name=games", "put-pool games p", "put-pool default q")
	tx := v.Begin(v.clockMs, v.wallMs)
	do := func(line string) {
		if res := tx.Do(mustOp(&tx.State, line)); res.Code != CodeOK {
			t.Fatalf("%s: %s", line, res.Code)
		}
	}
	excess := func(namespace, pool string) string {
		r := tx.ExcessRollout(tx.Pool(PoolID{NamespaceID(idOf(namespace)), pool}))
		if r == nil {
			return "none"
		}
		return fmt.Sprint(tx.RolloutPool(r).ID.Name, " ", r.ID)
	}
	do("open-rollout version=1 pool=q")
	do("close-rollout state=done pool=q")
	for version := range MaxEnded - 1 { // all of them but the last one are superseded
		do(fmt.Sprint("open-rollout version=", version+1))
	}
	do("open-rollout version=1 namespace=games")
	do("close-rollout state=done namespace=games")
	do("close-rollout state=called_off")
	if got := excess("default", "p"); got != "none" {
		t.Errorf("at the limit: %s", got)
	}
	do("open-rollout version=2 pool=q")
	do("close-rollout state=done pool=q")
	for _, want := range []string{"q 1", "none"} { // the oldest one, whichever pool it was in
		if got := excess("default", "p"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if want != "none" {
			do("forget-rollout id=1 pool=q")
		}
	}
	if got := excess("games", "p"); got != "none" {
		t.Errorf("another namespace: %s", got)
	}
}

// Outcomes are forgotten a thousand at a time, the oldest first, so that no entry takes long.
func TestForgetOutcomesInBatches(t *testing.T) {
	v := play()
	tx := v.Begin(v.clockMs, v.wallMs)
	for i := range int64(2500) {
		tx.clockMs = i
		tx.Do(mustOp(&tx.State, fmt.Sprint("remember-outcome key=", i, " outcome=bytes:", i%50)))
	}
	for _, want := range []int{1500, 501, 501} {
		tx.Do(mustOp(&tx.State, "forget-outcomes before=1999"))
		if tx.OutcomeCount() != want {
			t.Errorf("%d left, want %d", tx.OutcomeCount(), want)
		}
	}
	if oldest, _ := tx.OldestOutcomeMs(); oldest != 1999 {
		t.Errorf("the oldest is of %d", oldest)
	}
	if err := tx.CheckAll(); err != nil {
		t.Error(err)
	}
}
