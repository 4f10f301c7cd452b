package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// restoredOutcomes collects the outcomes of a snapshot, to fill their indexes at the end.
type restoredOutcomes struct {
	rows []outcomeRow
	long []longOutcomeKey
	old  []oldOutcome
	seen Tx // counts rows and bytes
}

// oldOutcome is one of an old snapshot: they came in the order of their keys.
type oldOutcome struct {
	key         [outcomeKeySize]byte
	outcome     []byte
	fingerprint uint64
	atMs        int64
}

func (o *restoredOutcomes) add(rec *logv1.OutcomesRecord) error {
	n := len(rec.GetAtMs())
	if len(rec.GetKeys()) != n*outcomeKeySize || len(rec.GetFingerprints()) != n || len(rec.GetOutcomes()) != n {
		return fmt.Errorf("outcomes: %d bytes of keys, %d fingerprints, %d times, %d outcomes: they must belong together",
			len(rec.GetKeys()), len(rec.GetFingerprints()), n, len(rec.GetOutcomes()))
	}
	for i, outcome := range rec.GetOutcomes() {
		key := [outcomeKeySize]byte(rec.GetKeys()[i*outcomeKeySize:])
		if err := o.next(oldOutcome{key, outcome, rec.GetFingerprints()[i], rec.GetAtMs()[i]}); err != nil {
			return err
		}
	}
	return nil
}

func (o *restoredOutcomes) next(k oldOutcome) error {
	switch {
	case len(k.outcome) > MaxOutcomeBytes:
		return fmt.Errorf("an outcome of %d bytes: must be at most %d", len(k.outcome), MaxOutcomeBytes)
	case len(o.rows) > 0 && k.atMs < o.rows[len(o.rows)-1].atMs:
		return fmt.Errorf("an outcome of %d ms comes after one of %d ms", k.atMs, o.rows[len(o.rows)-1].atMs)
	}
	row, long := o.seen.newOutcome(k.key, k.outcome, k.fingerprint, k.atMs)
	o.rows = append(o.rows, row)
	if row.size == longOutcome {
		o.long = append(o.long, long)
	}
	return nil
}

func (o *restoredOutcomes) addOld(rec *logv1.OutcomeRecord, r *Restorer) error {
	if rec.GetKey() <= r.lastName {
		return fmt.Errorf("the outcome %q comes after %q", clip(rec.GetKey(), 64), clip(r.lastName, 64))
	}
	r.lastName = rec.GetKey()
	o.old = append(o.old, oldOutcome{hashOutcomeKey(rec.GetKey()), rec.GetOutcome(), rec.GetFingerprint(), rec.GetAtMs()})
	return nil
}

// put fills the indexes.
func (o *restoredOutcomes) put(tx *Tx) error {
	if len(o.old) > 0 && len(o.rows) > 0 {
		return errors.New("there are outcomes of two formats")
	}
	slices.SortStableFunc(o.old, func(a, b oldOutcome) int { return cmp.Compare(a.atMs, b.atMs) })
	for _, k := range o.old {
		if err := o.next(k); err != nil {
			return err
		}
	}
	byKey := make([]outcomeByKey, len(o.rows))
	for i := range o.rows {
		byKey[i] = o.rows[i].byKey()
	}
	long := o.long
	for i := range o.rows {
		outcome := ""
		if o.rows[i].size == longOutcome {
			outcome, long = long[0].outcome, long[1:]
		}
		tx.rehash(StateHash{}, o.rows[i].hash(outcome))
	}
	tx.outcomes.Fill(o.rows)
	tx.longOutcomes.Fill(o.long)
	putInOrder(tx.outcomesByKey, byKey, outcomeByKeyLess)
	tx.outcomeSeq, tx.outcomeLongBytes = o.seen.outcomeSeq, o.seen.outcomeLongBytes
	for i := 1; i < len(byKey); i++ { // putInOrder has sorted them
		if a, b := byKey[i-1], byKey[i]; a.hash == b.hash && o.rows[a.seq-1].key == o.rows[b.seq-1].key {
			return fmt.Errorf("the outcomes %d and %d have the same key", a.seq, b.seq)
		}
	}
	*o = restoredOutcomes{}
	return nil
}
