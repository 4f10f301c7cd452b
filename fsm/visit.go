package fsm

// Visited returns how many rows of actors and runners were found through indexes since the Tx began: what its ops and whoever decided
// them looked at.
func (tx *Tx) Visited() uint64 { return tx.visits }

// visit counts a row that is looked at. Views count nothing: many read them at a time.
func (s *State) visit() {
	if s.visited != nil {
		*s.visited++
	}
}
