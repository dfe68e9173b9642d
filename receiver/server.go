package receiver

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits of the HTTP server that stands in the door. Each ends what a slow or
// silent caller could otherwise hold open for ever.
const (
	// ReadHeaderTimeout is how long a request's headers may take.
	ReadHeaderTimeout = 10 * time.Second
	// ReadTimeout is how long a whole request may take: 16 MiB at 4.5 Mbit/s.
	ReadTimeout = 30 * time.Second
	// WriteTimeout runs from the end of the headers to the end of the answer. It
	// leaves room for a CPU profile of 30 s after the body's time.
	WriteTimeout = 90 * time.Second
	// IdleTimeout is longer than the 5 minutes for which Alertmanager keeps an
	// idle connection (prometheus/common, config.NewClientFromConfig), so that it
	// is the client who closes: a webhook never meets a connection that the server
	// is just closing.
	IdleTimeout = 6 * time.Minute
	// MaxHeaderBytes bounds the request line and headers. Bearer tokens of identity
	// providers take a few KiB.
	MaxHeaderBytes = 64 << 10
)

// NewServer makes the HTTP server for h, with the limits above. What net/http
// itself has to report is logged as a warning; a nil logger discards it.
func NewServer(h http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: ReadHeaderTimeout,
		ReadTimeout:       ReadTimeout,
		WriteTimeout:      WriteTimeout,
		IdleTimeout:       IdleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}
