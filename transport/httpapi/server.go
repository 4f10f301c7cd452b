package httpapi

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits of connections. The time for a request ends with its body: a call may then wait for 10 minutes before it answers.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	writeTimeout   = 11 * time.Minute
	maxHeaderBytes = 64 << 10
)

// NewServer returns the server of a handler, with every time-out set. The caller serves and shuts it down.
func NewServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		IdleTimeout:       idleTimeout,
		WriteTimeout:      writeTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
