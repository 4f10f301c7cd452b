// Package grpcapi answers the public gRPC services on one engine node, and is the one place where the operations of the public API
// are written: package httpapi calls the same servers.
//
// Each request is validated here as far as the request alone allows; what depends on the state is decided by the leader (package
// scheduler), because only its View is sure to be the newest. Reads and blocking calls look at Views; nothing here keeps state,
// starts goroutines or touches the log. Package server composes it.
package grpcapi
