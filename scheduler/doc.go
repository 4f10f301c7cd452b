// Package scheduler decides what the cluster does next.
//
// Step turns what callers asked, what runners reported and what fell due into ops. It runs only on the leader, on a private Tx; every
// op goes through Tx.Do before it is proposed, so that nothing is decided on anything but the applied state. The package is pure:
// equal inputs give equal ops.
package scheduler
