package raftnet

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// deletions notes what is asked of a log.
type deletions struct {
	raft.LogStore
	first uint64
	asked []string
	err   error
	each  time.Duration // how long an entry takes
}

func (d *deletions) FirstIndex() (uint64, error) { return d.first, nil }

func (d *deletions) DeleteRange(low, high uint64) error {
	d.asked = append(d.asked, fmt.Sprintf("%d-%d", low, high))
	time.Sleep(d.each * time.Duration(high-low+1))
	return d.err
}

// Old entries are deleted a few at a time, and a tail that contradicts the leader's in one go: a crash leaves no gap.
func TestOldEntriesAreDeletedStepByStep(t *testing.T) {
	broken := errors.New("the disk is full")
	tests := []struct {
		name      string
		low, high uint64
		err       error
		want      []string
	}{
		{"the oldest", 100, 600, nil, []string{"100-107", "108-123", "124-155", "156-219", "220-347", "348-475", "476-600"}},
		{"some that are gone already", 1, 200, nil, []string{"100-107", "108-123", "124-155", "156-200"}},
		{"whole steps", 100, 155, nil, []string{"100-107", "108-123", "124-155"}},
		{"few", 100, 101, nil, []string{"100-101"}},
		{"what is gone already", 1, 50, nil, []string{"100-50"}},
		{"a tail", 101, 5000, nil, []string{"101-5000"}},
		{"a disk that fails", 100, 400, broken, []string{"100-107"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // nothing takes any time
				log := &deletions{first: 100, err: test.err}
				if err := (gradual{log}).DeleteRange(test.low, test.high); !errors.Is(err, test.err) {
					t.Error(err)
				}
				if !slices.Equal(log.asked, test.want) {
					t.Errorf("deleted %v, want %v", log.asked, test.want)
				}
			})
		})
	}
}

// What takes long is deleted less at once, and whoever waits to write has as much time as the deletion.
func TestADeletionMakesRoomForWrites(t *testing.T) {
	for _, test := range []struct {
		name string
		each time.Duration
		last string // of the steps that are not the rest
		took time.Duration
	}{
		{"large entries", 500 * time.Microsecond, "192-195", 2*100*500*time.Microsecond - 2*500*time.Microsecond},
		{"a slow disk", 5 * time.Millisecond, "198-198", 2*100*5*time.Millisecond - 2*5*time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &deletions{first: 100, each: test.each}
				began := time.Now()
				if err := (gradual{log}).DeleteRange(1, 199); err != nil {
					t.Fatal(err)
				}
				if got := log.asked[len(log.asked)-2]; got != test.last {
					t.Errorf("deleted %v: the last step was %s, want %s", log.asked, got, test.last)
				}
				if took := time.Since(began); took < test.took-test.took/10 || took > test.took+test.took/10 {
					t.Errorf("it took %v, want about %v", took, test.took)
				}
			})
		})
	}
}
