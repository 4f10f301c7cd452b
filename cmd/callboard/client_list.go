package main

// pageSize is how many items a list command asks for at once.
const pageSize = 1000

// listing is the part of a list that says where it ends. Fields are added, never renamed.
type listing struct {
	NextCursor *string `json:"next_cursor"`
	Index      uint64  `json:"index"`
}

// page is a page of a list, as the engine answers it.
type page interface {
	GetNextCursor() string
	GetIndex() uint64
}

// collect asks for pages until the list ends or has as many items as are wanted; limit 0: all of them. ask gets the cursor and the size of
// a page, and returns it with its items.
func collect[P page, I, J any](limit uint32, ask func(cursor string, size uint32) (P, []I, error), of func(I) J) (items []J, end listing, err error) {
	items = []J{}
	cursor := ""
	for size := nextPage(0, limit); size > 0; size = nextPage(len(items), limit) {
		p, more, err := ask(cursor, size)
		if err != nil {
			return nil, listing{}, err
		}
		for _, item := range more {
			items = append(items, of(item))
		}
		end = listing{Index: p.GetIndex()}
		if cursor = p.GetNextCursor(); cursor == "" {
			break
		}
		end.NextCursor = &cursor
	}
	return items, end, nil
}

// nextPage returns how many items to ask for when some are there already; 0: no more.
func nextPage(have int, limit uint32) uint32 {
	if limit == 0 {
		return pageSize
	}
	return min(pageSize, limit-min(limit, uint32(have)))
}

// sayIfMore tells that a list does not end here.
func (g *globals) sayIfMore(end listing) {
	if end.NextCursor != nil {
		g.progress("There are more: --limit 0 lists all.")
	}
}
