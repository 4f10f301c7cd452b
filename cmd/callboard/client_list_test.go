package main

import (
	"errors"
	"strconv"
	"testing"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// TestPagesAreCollected until there are as many items as are wanted, or no more.
func TestPagesAreCollected(t *testing.T) {
	const there = 2_500
	asked := 0
	ask := func(cursor string, size uint32) (*callboardv1.ListResponse, []int, error) {
		asked++
		from, _ := strconv.Atoi(cursor)
		var items []int
		for i := from; i < min(from+int(size), there); i++ {
			items = append(items, i)
		}
		answer := &callboardv1.ListResponse{Index: uint64(asked)}
		if next := from + int(size); next < there {
			answer.NextCursor = strconv.Itoa(next)
		}
		return answer, items, nil
	}
	for _, test := range []struct {
		limit  uint32
		items  int
		asked  int
		cursor string
	}{{0, 2_500, 3, ""}, {1, 1, 1, "1"}, {1_000, 1_000, 1, "1000"}, {1_500, 1_500, 2, "1500"}, {2_500, 2_500, 3, ""}, {9_999, 2_500, 3, ""}} {
		asked = 0
		items, end, err := collect(test.limit, ask, strconv.Itoa)
		cursor := ""
		if end.NextCursor != nil {
			cursor = *end.NextCursor
		}
		if err != nil || len(items) != test.items || asked != test.asked || cursor != test.cursor || end.Index != uint64(asked) {
			t.Errorf("limit %d: %d items in %d pages, cursor %q, index %d, %v", test.limit, len(items), asked, cursor, end.Index, err)
		}
		for i, item := range items {
			if item != strconv.Itoa(i) {
				t.Fatalf("limit %d: item %d is %s", test.limit, i, item)
			}
		}
	}
	broken := errors.New("broken")
	_, _, err := collect(0, func(string, uint32) (*callboardv1.ListResponse, []int, error) { return nil, nil, broken }, strconv.Itoa)
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}
