package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The files are applied in the order of their names; a file that was released is never
// changed, a further one is added.
//
//go:embed migrations/*.sql
var migrations embed.FS

const (
	schemaSQL  = `CREATE TABLE IF NOT EXISTS coffer_schema (id integer PRIMARY KEY, version integer NOT NULL, writer bigint NOT NULL)`
	firstSQL   = `INSERT INTO coffer_schema (id, version, writer) VALUES (1, 0, 0) ON CONFLICT (id) DO NOTHING`
	lockSQL    = `SELECT version FROM coffer_schema WHERE id = 1 FOR UPDATE`
	versionSQL = `UPDATE coffer_schema SET version = $1 WHERE id = 1`
)

// migrate brings the tables up to date. Processes that do so at the same time wait for
// each other at the one row of coffer_schema.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*callTimeout)
	defer cancel()
	var err error
	for range maxTries { // two that make the first table at once disturb each other
		if _, err = pool.Exec(ctx, schemaSQL); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, firstSQL); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return advance(ctx, tx) })
}

// advance applies the files that the tables do not have yet.
func advance(ctx context.Context, tx pgx.Tx) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	var version int
	if err := tx.QueryRow(ctx, lockSQL).Scan(&version); err != nil {
		return err
	}
	if version > len(files) {
		return fmt.Errorf("its tables have version %d, and this version of Coffer knows up to %d: use a newer version", version, len(files))
	}
	for n, name := range files[version:] {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		// Several statements need the simple protocol, which Exec of the connection below uses.
		if _, err := tx.Conn().PgConn().Exec(ctx, string(text)).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := tx.Exec(ctx, versionSQL, version+n+1); err != nil {
			return err
		}
	}
	return nil
}
