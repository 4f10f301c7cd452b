// Package table holds the persistent tables that the state is made of: Rows, a paged vector by dense ordinal, and Index, an
// ordered tree. A table is a value: Clone is cheap, the clone and the original share what neither has changed, and a reader of one
// never sees a write to the other. Ordinals are an internal address: they never leave package fsm.
package table
