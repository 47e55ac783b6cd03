package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A store that was put back as a whole looks like what it is: a store of Coffer. So the
// store counts, and the operator keeps the count somewhere else, in a pin file. A store
// whose count is behind the pin is not opened.

// counterKey is the counter, sealed. It grows every minute that a node serves.
const counterKey store.Key = "sys/counter"

// counterKind is its kind.
const counterKind = "counter"

func counterPlace() seal.Place {
	return seal.Place{Purpose: seal.PurposeRecord, Kind: counterKind, Object: counterKind, Format: 1}
}

// ErrRolledBack means that the store is older than the pin.
var ErrRolledBack = errors.New("the store was rolled back: it is older than the pin")

// A Pin is the file of `coffer seal pin`.
type Pin struct {
	Installation string `json:"installation"`
	Counter      uint64 `json:"counter"`
}

// counter returns the count; zero, if there is none yet.
func (c *Core) counter(ctx context.Context) (uint64, error) {
	recs, err := c.Store.Get(ctx, store.Ask{Key: counterKey})
	if err != nil {
		return 0, err
	}
	return c.openCounter(recs[0])
}

func (c *Core) openCounter(rec store.Record) (uint64, error) {
	if !rec.Exists() {
		return 0, nil
	}
	s := &c.sealing
	plain, _, err := s.keyring.Open(s.granter.Read(counterKind), counterPlace(), rec.Body)
	if err != nil {
		return 0, fmt.Errorf("the counter against a roll-back cannot be opened: %w", err)
	}
	if len(plain) != 8 {
		return 0, errors.New("the counter against a roll-back has a wrong size; restore the store from a backup")
	}
	return binary.BigEndian.Uint64(plain), nil
}

// advance counts.
func (c *Core) advance(ctx context.Context) error {
	s := &c.sealing
	return c.Store.Update(ctx, func(tx store.Tx) error {
		rec, err := tx.Get(counterKey)
		if err != nil {
			return err
		}
		count, err := c.openCounter(rec)
		if err != nil {
			return err
		}
		box, err := s.keyring.Seal(s.granter.Write(counterKind), counterPlace(), binary.BigEndian.AppendUint64(nil, count+1))
		if err != nil {
			return err
		}
		return tx.Put(counterKey, rec.Revision, box)
	})
}

// sealPin is the operation of the audit log.
var sealPin = gate.Operation{Name: "SealPin"}

// pin counts once more, so that no copy of the store made before has the pinned count, and
// returns the count.
func (c *Core) pin(ctx context.Context) (out Pin, err error) {
	err = c.Gate.System(ctx, operator, sealPin, gate.Subject{}, func(seal.Grant) error {
		if err := c.advance(ctx); err != nil {
			return err
		}
		_, installed, _ := c.sealing.now()
		out.Installation = installed.ID
		out.Counter, err = c.counter(ctx)
		return err
	})
	return out, err
}

// checkPin compares the store with the pin file, if the configuration names one.
func (c *Core) checkPin(ctx context.Context) error {
	path := c.Options.PinFile
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && c.Options.Create { // a new installation
		return nil
	}
	if err != nil {
		return fmt.Errorf("the pin cannot be read: %w; coffer seal pin makes one; without pin_file in the configuration none is needed", err)
	}
	pinned, err := parsePin(text)
	if err != nil {
		return fmt.Errorf("the pin %s: %w", path, err)
	}
	if pinned.Installation != c.sealing.installed.ID {
		return fmt.Errorf("the pin %s is of the installation %s, and the store of %s: name the store's own pin", path, pinned.Installation, c.sealing.installed.ID)
	}
	count, err := c.counter(ctx)
	if err != nil {
		return err
	}
	if count < pinned.Counter {
		return fmt.Errorf("%w: its counter is %d, and %s says %d; nothing was changed; find out who put it back; if it was you, remove the pin and make a new one", ErrRolledBack, count, path, pinned.Counter)
	}
	return nil
}

// pinRemoved is the configuration without a pin that is not there. A server does not start
// without it; an operator who restores, or pins anew, has removed it, see docs/operating.md.
func (c Config) pinRemoved() Config {
	if _, err := os.Stat(c.PinFile); errors.Is(err, os.ErrNotExist) {
		c.PinFile = ""
	}
	return c
}

func parsePin(text []byte) (pin Pin, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&pin); err != nil || pin.Installation == "" || decoder.More() {
		return Pin{}, errors.New("it is no pin of coffer seal pin")
	}
	return pin, nil
}
