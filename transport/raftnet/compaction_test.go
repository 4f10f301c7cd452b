package raftnet

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
)

// deletions notes what is asked of a log.
type deletions struct {
	raft.LogStore
	first uint64
	asked []string
	err   error
}

func (d *deletions) FirstIndex() (uint64, error) { return d.first, nil }

func (d *deletions) DeleteRange(low, high uint64) error {
	d.asked = append(d.asked, fmt.Sprintf("%d-%d", low, high))
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
		{"the oldest", 100, 400, nil, []string{"100-227", "228-355", "356-400"}},
		{"some that are gone already", 1, 400, nil, []string{"100-227", "228-355", "356-400"}},
		{"whole steps", 100, 355, nil, []string{"100-227", "228-355"}},
		{"few", 100, 101, nil, []string{"100-101"}},
		{"what is gone already", 1, 50, nil, []string{"100-50"}},
		{"a tail", 101, 5000, nil, []string{"101-5000"}},
		{"a disk that fails", 100, 400, broken, []string{"100-227"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			log := &deletions{first: 100, err: test.err}
			if err := (gradual{log}).DeleteRange(test.low, test.high); !errors.Is(err, test.err) {
				t.Error(err)
			}
			if !slices.Equal(log.asked, test.want) {
				t.Errorf("deleted %v, want %v", log.asked, test.want)
			}
		})
	}
}
