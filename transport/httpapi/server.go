package httpapi

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits of connections. A body has its own deadline (withBodyDeadline); the longest answer is a call that waits for 10 minutes.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	writeTimeout   = 11 * time.Minute
	maxHeaderBytes = 64 << 10
)

// NewServer returns the server of a handler, with every time-out set. The caller serves and shuts it down.
func NewServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		WriteTimeout:      writeTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
