// Package postgres is the store in a PostgreSQL database, by pgx.
//
// Three tables hold everything: coffer_records maps a key to its revision and body,
// coffer_due a key to the time at which it is due, and coffer_schema has one row, with the version
// of the tables and the number of the last writer. The tables are made, and brought up to
// date, by the files in migrations/, under the lock of that row.
//
// Any number of processes read and write. The first Update of a process takes the next
// writer's number, and a revision is that number and a count of the process's own: so none
// is ever used twice, and making one costs no trip to the database.
//
// Updates are serializable transactions. A conflict (SQLSTATE 40001, 40P01) reruns the
// function after a short random pause; so does a commit whose outcome was lost with the
// connection. Get is one statement, so one snapshot and one round trip.
//
// Where to look: postgres.go opens and reads, migrate.go makes the tables, update.go
// commits, fault.go tells errors apart, transaction.go is what a function sees.
//
// Nothing here needs what only PostgreSQL has (LISTEN, advisory locks, vendor SQL), so
// that databases which speak its protocol can work; only PostgreSQL is tested. A pooler
// in between has to keep sessions, since statements are prepared.
package postgres

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"coffer/internal/store"
)

// Options say how to reach a database.
type Options struct {
	// URL is postgres://USER@HOST:PORT/DATABASE, without a password. TLS is verified
	// (sslmode=verify-full, with the system's authorities or those of the file that
	// sslrootcert names) unless it says sslmode=disable; a HOST that is a path, as
	// ?host=/run/postgresql, is a Unix socket.
	URL string
	// Password is the user's password, if one is needed.
	Password string
	// PoolSize is how many connections are open at most; zero: 16.
	PoolSize int
}

const (
	defaultPool    = 16
	connectTimeout = 5 * time.Second
	callTimeout    = 20 * time.Second // of a read, and of each run of an Update
)

// A Store keeps records in a database. See store.Store for what it promises.
type Store struct {
	pool *pgxpool.Pool

	mu     sync.RWMutex // held for reading by every call under way
	closed bool

	numbering sync.Mutex // held while the writer's number is taken
	writer    atomic.Int64
	count     atomic.Int64 // of this writer's revisions
}

// Open opens the store in a database, and makes its tables if they are not there.
func Open(ctx context.Context, o Options) (*Store, error) {
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("store: the database cannot be opened: %w", err)
	}
	if err := migrate(ctx, pool); err != nil {
		pool.Close()
		return nil, fmt.Errorf("store: the database %s at %s cannot be opened: %w", config.ConnConfig.Database, config.ConnConfig.Host, err)
	}
	return &Store{pool: pool}, nil
}

// config is everything that pgx needs to know.
func (o Options) config() (*pgxpool.Config, error) {
	target, err := CheckURL(o.URL)
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(target)
	if err != nil {
		return nil, fmt.Errorf("store: the database's url cannot be used: %w", err)
	}
	config.MaxConns = int32(max(o.PoolSize, 0)) //nolint:gosec // bounded by the configuration
	if o.PoolSize == 0 {
		config.MaxConns = defaultPool
	}
	config.ConnConfig.Password = o.Password
	config.ConnConfig.ConnectTimeout = connectTimeout
	config.ConnConfig.RuntimeParams["application_name"] = "coffer"
	config.ConnConfig.RuntimeParams["statement_timeout"] = "20s"
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "60s"
	config.AfterConnect = durable
	return config, nil
}

// CheckURL refuses a URL with a password, or without safe TLS, and returns it complete.
func CheckURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || len(u.Path) < 2 || u.User.Username() == "" {
		return "", fmt.Errorf("the database's url has to be postgres://USER@HOST:PORT/DATABASE")
	}
	if _, has := u.User.Password(); has {
		return "", fmt.Errorf("the database's url holds a password; put it in a file and name that in password_file")
	}
	query := u.Query()
	for name, values := range query {
		switch {
		case len(values) == 1 && name == "sslmode" && (values[0] == "verify-full" || values[0] == "disable"):
		case len(values) == 1 && (name == "sslrootcert" || name == "host") && filepath.IsAbs(values[0]):
		default:
			return "", fmt.Errorf("the database's url has %s=%q; what it may have is sslmode=verify-full or disable, and sslrootcert and host with an absolute path", name, values)
		}
	}
	if u.Host == "" && !query.Has("host") {
		return "", fmt.Errorf("the database's url names no host")
	}
	if !query.Has("sslmode") {
		query.Set("sslmode", "verify-full")
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// durable makes sure that a commit is on the disk when it is acknowledged.
func durable(ctx context.Context, conn *pgx.Conn) error {
	var fsync, commit string
	if err := conn.QueryRow(ctx, "SHOW fsync").Scan(&fsync); err != nil {
		return err
	}
	if fsync != "on" {
		return fmt.Errorf("the database runs with fsync=%s, so a crash would lose what was acknowledged: set fsync = on", fsync)
	}
	if err := conn.QueryRow(ctx, "SHOW synchronous_commit").Scan(&commit); err != nil || commit != "off" {
		return err
	}
	_, err := conn.Exec(ctx, "SET synchronous_commit = 'on'")
	return err
}

// enter begins a call; leave ends it.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return store.ErrClosed
	}
	return nil
}

func (s *Store) leave() { s.mu.RUnlock() }

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, asks ...store.Ask) ([]store.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var out []store.Record
	err := s.again(ctx, func(ctx context.Context) (err error) {
		out, err = s.answer(ctx, asks)
		return err
	})
	return out, err
}

const getSQL = `SELECT key, revision, CASE WHEN revision = ANY($2) THEN NULL ELSE body END FROM coffer_records WHERE key = ANY($1)`

func (s *Store) answer(ctx context.Context, asks []store.Ask) ([]store.Record, error) {
	keys, held := split(asks)
	rows, err := s.pool.Query(ctx, getSQL, keys, held)
	if err != nil {
		return nil, err
	}
	found := map[store.Key]store.Record{}
	recs, err := collect(rows)
	if err != nil {
		return nil, err
	}
	for _, rec := range recs {
		found[rec.Key] = rec
	}
	out := make([]store.Record, len(asks))
	for i, ask := range asks {
		rec := found[ask.Key]
		rec.Key = ask.Key
		if rec.Revision == ask.IfNot {
			rec.Body = nil
		}
		if i > 0 && rec.Body != nil { // the same key may have been asked for twice
			rec.Body = append(make([]byte, 0, len(rec.Body)), rec.Body...)
		}
		out[i] = rec
	}
	return out, nil
}

// split gives the keys, and the revisions that need no body. No two records have the same
// revision, so they need not be matched with their keys; a key that is asked for twice is
// read whole.
func split(asks []store.Ask) (keys [][]byte, held []int64) {
	times := make(map[store.Key]int, len(asks))
	for _, ask := range asks {
		times[ask.Key]++
	}
	keys, held = make([][]byte, 0, len(asks)), []int64{}
	for _, ask := range asks {
		keys = append(keys, []byte(ask.Key))
		if ask.IfNot != 0 && times[ask.Key] == 1 {
			held = append(held, int64(ask.IfNot)) //nolint:gosec // the same bits
		}
	}
	return keys, held
}

// collect reads rows of key, revision and body.
func collect(rows pgx.Rows) ([]store.Record, error) {
	defer rows.Close()
	var out []store.Record
	for rows.Next() {
		var key, body []byte
		var revision int64
		if err := rows.Scan(&key, &revision, &body); err != nil {
			return nil, err
		}
		out = append(out, store.Record{Key: store.Key(key), Revision: store.Revision(revision), Body: body}) //nolint:gosec // never negative
	}
	return out, rows.Err()
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	var tx pgx.Tx
	err := s.again(ctx, func(ctx context.Context) (err error) {
		tx, err = s.begin(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		return err
	})
	if err != nil {
		return err
	}
	defer rollback(tx)
	t := &transaction{ctx: ctx, tx: tx, readOnly: true}
	if err := fn(t); t.failed == nil {
		return err
	}
	return classify(ctx, t.failed)
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.pool.Close()
	}
	return nil
}
