package server

import (
	"log/slog"

	"coffer/internal/audit"
)

// AuditSink opens the log of a configuration.
func (c Config) AuditSink(log *slog.Logger) (audit.Sink, error) { return c.auditSink(log) }
