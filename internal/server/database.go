package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/store/postgres"
)

// A PostgresConfig names a PostgreSQL database, version 14 or later.
type PostgresConfig struct {
	// URL is postgres://USER@HOST:PORT/DATABASE, without a password. TLS is verified unless
	// it says sslmode=disable; sslrootcert names the file of the authority that signs the
	// database's certificate, if the system does not trust it already.
	URL string `yaml:"url"`
	// PasswordFile is the path of the file with the user's password, if one is needed.
	PasswordFile string `yaml:"password_file"`
	// PoolSize is how many connections are open at most; 16 if it is not set.
	PoolSize int `yaml:"pool_size"`
}

// maxPool is what one process may take of a server, whose default is 100 connections.
const maxPool = 1000

// maxPassword is the length that a file with a password can have, in bytes.
const maxPassword = 4096

func (c Config) checkStore() error {
	switch {
	case c.Store == "" && c.Postgres == nil:
		return errors.New("store is missing: name a file in store, or a database in postgres")
	case c.Store != "" && c.Postgres != nil:
		return errors.New("there is a store and a postgres: remove the one that is not meant")
	case c.Postgres == nil:
		return nil
	case c.Postgres.PoolSize < 0 || c.Postgres.PoolSize > maxPool:
		return fmt.Errorf("postgres: pool_size is %d; it has to be 1 to %d", c.Postgres.PoolSize, maxPool)
	}
	if _, err := postgres.CheckURL(c.Postgres.URL); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	return nil
}

// options reads the password.
func (p PostgresConfig) options() (postgres.Options, error) {
	o := postgres.Options{URL: p.URL, PoolSize: p.PoolSize}
	if p.PasswordFile == "" {
		return o, nil
	}
	password, err := seal.ReadPrivateFile(p.PasswordFile, maxPassword)
	if err != nil {
		return o, fmt.Errorf("the database's password cannot be read: %w", err)
	}
	o.Password = strings.TrimRight(string(password), "\r\n")
	return o, nil
}

// vacant refuses a database in which there is something already.
func (c Config) vacant(ctx context.Context) error {
	err := c.withDatabase(ctx, func(to store.Store) error { return mustBeEmpty(ctx, to) })
	if errors.Is(err, ErrNotEmpty) {
		return errors.New("the database has an installation already: name an empty one, or remove the tables coffer_records, coffer_due and coffer_schema if nobody needs it any more")
	}
	return err
}

// vacate removes what an init that failed has made in a database that was vacant.
func (c Config) vacate(ctx context.Context) error {
	return c.withDatabase(ctx, func(to store.Store) error {
		for more := true; more; {
			if err := to.Update(ctx, func(tx store.Tx) error {
				recs, err := tx.Scan("", "", 100)
				for _, rec := range recs {
					err = errors.Join(err, tx.Delete(rec.Key, rec.Revision))
				}
				more = len(recs) > 0
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// withDatabase runs fn on the database, if the store is in one.
func (c Config) withDatabase(ctx context.Context, fn func(store.Store) error) error {
	if c.Postgres == nil {
		return nil
	}
	to, err := Options{Postgres: c.Postgres}.openStore(ctx)
	if err != nil {
		return err
	}
	return errors.Join(fn(to), to.Close())
}
