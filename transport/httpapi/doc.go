// Package httpapi answers the public HTTP API: JSON in the paths, fields and error codes of the engine whose clients should work
// unchanged, with real status codes, cursors that lose nothing, and checks everywhere.
//
// It translates and nothing else. What an operation does is written once, in the servers of package grpcapi, which it reaches through
// the generated interfaces. It keeps no state; package server composes it and runs the http.Server that NewServer returns.
package httpapi
