package client

import (
	"fmt"
	"strings"
)

// UnreachableError means that no node answered: nothing was sent, or what was sent changes nothing.
type UnreachableError struct {
	Addrs []string
	Err   error // of the last attempt
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach a node at %s: %v", strings.Join(e.Addrs, ", "), e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// TimeoutError means that a read was not answered within its context. Nothing was changed.
type TimeoutError struct{ Err error }

func (e *TimeoutError) Error() string {
	return "no answer came within the time given: the cluster may have no leader, or be slow"
}

func (e *TimeoutError) Unwrap() error { return e.Err }
