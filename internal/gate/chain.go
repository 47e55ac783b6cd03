package gate

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"coffer/internal/audit"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// The records of the audit chain: the sealed key, shared by all nodes, and the head of
// each node. A head is not sealed: without the key nobody can make the line it is of.
const (
	auditKey     store.Key = "sys/audit-key"
	auditHeads   store.Key = "sys/audit/"
	auditKind              = "audit-key"
	auditKeySize           = 32
)

// keepEvery is how often the head goes into the store, and saveWithin how long that may
// take.
const (
	keepEvery  = time.Second
	saveWithin = 10 * time.Second
)

// Open makes a gate over the audit log of this node, and makes the log's key if the
// installation has none.
func Open(ctx context.Context, c Config) (*Gate, error) {
	recs, err := c.Store.Get(ctx, store.Ask{Key: auditKey}, store.Ask{Key: c.headKey()})
	if err != nil {
		return nil, fmt.Errorf("gate: the records of the audit log cannot be read: %w", err)
	}
	key, err := c.chainKey(ctx, recs[0])
	if err != nil {
		return nil, err
	}
	head, err := c.head(recs[1])
	if err != nil {
		return nil, err
	}
	log, err := audit.Open(audit.Config{Sink: c.Sink, Key: key, Head: head, Now: c.Now, Log: c.Log})
	if err != nil {
		return nil, err
	}
	g := &Gate{
		config: c, log: log, stop: make(chan struct{}), saved: head.Sequence,
		rejected: rejections{max: maxRejected}, refused: rejections{max: maxRefused},
		inputs: c.Granter.Read("vault", "principal", "application", "signing-key", "tenant", "roles", "user", "device", "group", "directory"),
	}
	g.idle.Go(g.keep)
	return g, nil
}

// ReadChain reads the key and the heads from the store, and changes nothing. Of the
// Config it needs Store, Keyring and Granter.
func ReadChain(ctx context.Context, c Config) (audit.Chain, error) {
	var out audit.Chain
	err := c.Store.View(ctx, func(tx store.Tx) error {
		rec, err := tx.Get(auditKey)
		if err != nil {
			return err
		}
		if !rec.Exists() {
			return errors.New("gate: the installation has no audit log yet")
		}
		if out.Key, err = c.chainKey(ctx, rec); err != nil {
			return err
		}
		out.Heads, err = c.heads(tx)
		return err
	})
	return out, err
}

// maxNodes bounds how many nodes an installation ever had.
const maxNodes = 1000

func (c Config) heads(tx store.Tx) ([]audit.Head, error) {
	recs, err := tx.Scan(auditHeads, "", maxNodes)
	if err != nil {
		return nil, err
	}
	heads := make([]audit.Head, 0, len(recs))
	for _, rec := range recs {
		var head audit.Head
		if err := json.Unmarshal(rec.Body, &head); err != nil {
			return nil, fmt.Errorf("gate: the head of an audit log in the store cannot be read; restore the store from a copy: %w", err)
		}
		heads = append(heads, head)
	}
	return heads, nil
}

// Settle makes the log durable, follows a file that was moved away, and stores the head;
// all of which happens every second too.
func (g *Gate) Settle() error { return g.saveHead() }

func (c Config) headKey() store.Key { return auditHeads + store.Key(c.Node) }

// chainKey opens the key of the chain, or makes it.
func (c Config) chainKey(ctx context.Context, rec store.Record) ([]byte, error) {
	box := rec.Body
	if !rec.Exists() {
		var err error
		if box, err = c.makeKey(ctx); err != nil {
			return nil, fmt.Errorf("gate: the key of the audit log cannot be made: %w", err)
		}
	}
	key, _, err := c.Keyring.Open(c.Granter.Read(auditKind), keyPlace(), box)
	if err != nil {
		return nil, fmt.Errorf("gate: the key of the audit log cannot be opened: %w", err)
	}
	if len(key) != auditKeySize {
		return nil, errors.New("gate: the key of the audit log has a wrong size; restore the store from a copy")
	}
	return key, nil
}

// makeKey stores a new key and returns its box. Two nodes that start at once end with
// one key: whoever comes second takes the first's.
func (c Config) makeKey(ctx context.Context) ([]byte, error) {
	key := make([]byte, auditKeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	made, err := c.Keyring.Seal(c.Granter.Write(auditKind), keyPlace(), key)
	if err != nil {
		return nil, err
	}
	box := made
	err = c.Store.Update(ctx, func(tx store.Tx) error {
		rec, err := tx.Get(auditKey)
		if err != nil {
			return err
		}
		if rec.Exists() {
			box = rec.Body
			return nil
		}
		box = made
		return tx.Put(auditKey, 0, made)
	})
	return box, err
}

func keyPlace() seal.Place {
	return seal.Place{Purpose: seal.PurposeRecord, Kind: auditKind, Object: "audit", Format: 1}
}

func (c Config) head(rec store.Record) (audit.Head, error) {
	if !rec.Exists() {
		return audit.Head{Node: c.Node}, nil
	}
	var head audit.Head
	if err := json.Unmarshal(rec.Body, &head); err != nil {
		return head, fmt.Errorf("gate: the head of the audit log in the store cannot be read; restore the store from a copy: %w", err)
	}
	if head.Node != c.Node {
		return head, fmt.Errorf("gate: the head of the audit log in the store is node %q's and not %q's; restore the store from a copy", head.Node, c.Node)
	}
	return head, nil
}

// keep looks after the log every second, until Close.
func (g *Gate) keep() {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			g.tend()
		case <-g.stop:
			return
		}
	}
}

// tend does what is due every second: the counts of what has no line, and the head.
func (g *Gate) tend() {
	g.count()
	if err := g.saveHead(); err != nil {
		g.config.Log.Warn("the head of the audit log was not stored; it is tried again", "error", err)
	}
}

func (g *Gate) count() {
	g.summarize(context.Background(), &g.rejected, rejection(""))
	g.summarize(context.Background(), &g.refused, signIn("Refused"))
}

// saveHead makes the log durable and puts its head into the store, if there are new
// lines. A log that cannot be made durable shuts the gate.
func (g *Gate) saveHead() error {
	g.keeping.Lock()
	defer g.keeping.Unlock()
	head, err := g.log.Settle()
	if err != nil {
		g.broken.Store(true)
		g.config.Log.Error("the audit log cannot be kept on the disk; nothing is served until it can", "error", err)
		return err
	}
	if head.Sequence == g.saved {
		return nil
	}
	body, err := json.Marshal(head)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), saveWithin)
	defer cancel()
	err = g.config.Store.Update(ctx, func(tx store.Tx) error {
		rec, err := tx.Get(g.config.headKey())
		if err != nil {
			return err
		}
		return tx.Put(g.config.headKey(), rec.Revision, body)
	})
	if err == nil {
		g.saved = head.Sequence
	}
	return err
}

// halt ends keep.
func (g *Gate) halt() {
	g.halting.Do(func() { close(g.stop) })
	g.idle.Wait()
}

// Close stores the head and closes the log. Requests that come afterwards get ErrAudit.
// A second Close returns nil.
func (g *Gate) Close() error {
	var err error
	g.closing.Do(func() {
		g.halt()
		g.count()
		err = errors.Join(g.saveHead(), g.log.Close())
	})
	return err
}
