package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"coffer/internal/store"
)

// isConflict reports whether the transaction lost against another one, and may be run again.
func isConflict(err error) bool {
	code := sqlState(err)
	return code == "40001" || code == "40P01" // serialization failure, deadlock
}

// isLost reports whether the connection was lost, or the database does not serve at this
// moment, or the error cannot tell.
func isLost(err error) bool {
	switch code := sqlState(err); {
	case errors.Is(err, store.ErrUnavailable): // said by this package, for good
		return false
	case code == "":
		return true
	case code == "57014": // canceled, as by statement_timeout: the transaction is aborted
		return true
	default: // connection exceptions, insufficient resources, operator intervention, system errors
		return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "53") || strings.HasPrefix(code, "57") || strings.HasPrefix(code, "58") || code == "25P03" || code == "40003"
	}
}

// isRefused reports whether a commit that failed has certainly changed nothing: the
// database said so, in a session that went on.
func isRefused(err error) bool {
	var told *pgconn.PgError
	return errors.As(err, &told) && told.Severity != "FATAL" && told.Severity != "PANIC" && told.Code != "40003"
}

func sqlState(err error) string {
	var told *pgconn.PgError
	if errors.As(err, &told) {
		return told.Code
	}
	return ""
}

// classify is what a caller is told of an error that has changed nothing.
func classify(ctx context.Context, err error) error {
	switch {
	case err == nil || errors.Is(err, store.ErrUnavailable):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case isLost(err) || isConflict(err):
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return fmt.Errorf("store: the database refuses: %w", err)
}

// maxTries is how often a connection that was lost before anything was changed is made anew.
const maxTries = 3

// again runs a read again whose connection was lost, as all are after a restart of the
// database.
func (s *Store) again(ctx context.Context, read func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var err error
	for range maxTries {
		if err = read(bounded); err == nil || bounded.Err() != nil || !isLost(err) {
			break
		}
		s.pool.Reset()
	}
	return classify(ctx, err)
}
