package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync"
	"time"

	"coffer/internal/store"
)

// Nodes of one installation have names of their own: the name is that of the node's audit chain,
// and two that wrote to one chain would break it. So each node has a row in the store, in which
// it counts as long as it lives. Who comes and finds a row under the name watches whether the
// count goes on: then the name is taken, else its process is dead. No clock is compared, only
// the time that passes here.

// nodePrefix begins the keys of the rows. They are not sealed: they say nothing.
const nodePrefix store.Key = "sys/node/"

// beatEvery is how often a node counts, and silentBeats how many are missed by a dead one.
const (
	beatEvery   = time.Second
	silentBeats = 6
	beatWithin  = 10 * time.Second
)

// The errors of a name.
var (
	// ErrNodeTaken means that another process runs under the node's name.
	ErrNodeTaken = errors.New("another node of this name is running: give each node a name of its own in its configuration, such as node: b, and an audit_file of its own")
	// ErrNodeLost means that this process was silent for so long that another took its name.
	ErrNodeLost = errors.New("another process has taken over the name of this node, which had not reached the store for too long; start it again")
)

// validNode is what a node can be called.
var validNode = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]{0,62}$`)

func checkNode(name string) error {
	if name != "" && !validNode.MatchString(name) {
		return fmt.Errorf("node %q is no name of a node: use 1 to 63 letters, digits, dots and hyphens, a letter or digit first", name)
	}
	return nil
}

// A nodeRow is kept under a node's name while it runs.
type nodeRow struct {
	Process string `json:"process"` // random
	Host    string `json:"host"`    // for people
	Count   uint64 `json:"count"`
}

// A membership is that of this node.
type membership struct {
	store   store.Store
	key     store.Key
	every   time.Duration
	process string
	lost    chan struct{} // closed when another process has the name
	once    sync.Once
}

// join takes the name of the node, waiting for the row of a dead process to be silent.
func join(ctx context.Context, s store.Store, name string, every time.Duration) (*membership, error) {
	if every == 0 {
		every = beatEvery
	}
	m := &membership{store: s, key: nodePrefix + store.Key(name), every: every, process: rand.Text(), lost: make(chan struct{})}
	var seen store.Revision
	for missed := 0; ; missed++ {
		row, revision, err := m.read(ctx)
		switch {
		case err != nil:
			return nil, err
		case revision == 0, missed >= silentBeats:
			if err = m.put(ctx, revision, row.Count+1); errors.Is(err, store.ErrChanged) {
				return nil, fmt.Errorf("the node %s: %w", name, ErrNodeTaken)
			}
			return m, err
		case seen != 0 && revision != seen:
			return nil, fmt.Errorf("the node %s, on the host %s: %w", name, row.Host, ErrNodeTaken)
		}
		seen = revision
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (m *membership) read(ctx context.Context) (row nodeRow, revision store.Revision, err error) {
	recs, err := m.store.Get(ctx, store.Ask{Key: m.key})
	if err != nil || !recs[0].Exists() {
		return row, 0, err
	}
	_ = json.Unmarshal(recs[0].Body, &row) // of a damaged one the revision alone counts
	return row, recs[0].Revision, nil
}

// put writes the row. Of a commit that did happen, and is run again, it finds the row.
func (m *membership) put(ctx context.Context, was store.Revision, count uint64) error {
	host, _ := os.Hostname() // it is only shown
	body, err := json.Marshal(nodeRow{Process: m.process, Host: host, Count: count})
	if err != nil {
		return err
	}
	return m.store.Update(ctx, func(tx store.Tx) error {
		rec, err := tx.Get(m.key)
		if err != nil || string(rec.Body) == string(body) {
			return err
		}
		return tx.Put(m.key, was, body)
	})
}

// beat counts once. The error is ErrNodeLost when another process has the name.
func (m *membership) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beatWithin)
	defer cancel()
	row, revision, err := m.read(ctx)
	if err != nil {
		return err
	}
	if row.Process != m.process {
		m.once.Do(func() { close(m.lost) })
		return ErrNodeLost
	}
	return m.put(ctx, revision, row.Count+1)
}

// leave gives the name back.
func (m *membership) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), beatWithin)
	defer cancel()
	return m.store.Update(ctx, func(tx store.Tx) error {
		var row nodeRow
		rec, err := tx.Get(m.key)
		if err != nil || !rec.Exists() || json.Unmarshal(rec.Body, &row) != nil || row.Process != m.process {
			return err
		}
		return tx.Delete(m.key, rec.Revision)
	})
}

// isLost reports whether another process has the name.
func (m *membership) isLost() bool {
	if m == nil {
		return false
	}
	select {
	case <-m.lost:
		return true
	default:
		return false
	}
}

// watchNode counts until ctx ends.
func (c *Core) watchNode(ctx context.Context) {
	ticker := time.NewTicker(c.node.every)
	defer ticker.Stop()
	for !c.node.isLost() {
		select {
		case <-ticker.C:
			if err := c.node.beat(ctx); err != nil && ctx.Err() == nil {
				c.Options.Log.Warn("this node could not say that it lives", "node", c.Options.Node, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Lost is closed when the node has lost its name to another process, and serves no more.
func (c *Core) Lost() <-chan struct{} {
	if c.node == nil {
		return nil
	}
	return c.node.lost
}
