package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"coffer/internal/server"
	"coffer/internal/store"
	"coffer/internal/vault"
)

// again opens one more core under the name of a node.
func (c *cluster) again(t *testing.T, name string, beat time.Duration) (*server.Core, error) {
	t.Helper()
	o := options(t.TempDir(), c.root)
	o.Ephemeral, o.Node, o.Shared, o.Beat = true, name, true, beat
	o.Wrap = func(own store.Store) store.Store {
		t.Cleanup(func() { _ = own.Close() })
		return &nodeStore{Store: c.store}
	}
	return server.Open(t.Context(), o)
}

// A second process does not run under the name of one that lives.
func TestANameIsOneNodes(t *testing.T) {
	c := newCluster(t, 1)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { // node one lives
		defer close(ended)
		for ctx.Err() == nil {
			if err := c.nodes[0].BeatNode(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	core, err := c.again(t, "node-1", 100*time.Millisecond)
	stop()
	<-ended
	if !errors.Is(err, server.ErrNodeTaken) {
		t.Errorf("a second node of the same name: %v", err)
	}
	if core != nil {
		t.Error(core.Close())
	}
}

// The name of a dead process is taken over; should it have been only silent, it serves no more.
func TestANameIsTakenOver(t *testing.T) {
	c := newCluster(t, 1)
	silent := c.nodes[0]
	core, err := c.again(t, "node-1", time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if err := core.BeatNode(t.Context()); err != nil {
		t.Errorf("the new process: %v", err)
	}
	if err := silent.BeatNode(t.Context()); !errors.Is(err, server.ErrNodeLost) {
		t.Errorf("the silent one: %v", err)
	}
	select {
	case <-silent.Lost():
	default:
		t.Error("it does not know that it has lost its name")
	}
	r := httptest.NewRequest(http.MethodGet, "https://demo.vault.azure.net/secrets/s?api-version=7.4", nil)
	w := httptest.NewRecorder()
	if silent.Handler().ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("the silent one answers %d: %s", w.Code, w.Body)
	}
	if err := core.Close(); err != nil {
		t.Error(err)
	}
	// What was closed has given its name back: the next does not wait.
	next, err := c.again(t, "node-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// When the format of the store is raised, a node to which it is too high changes nothing any
// more, and such a node does not start.
func TestANodeThatIsTooOldChangesNothing(t *testing.T) {
	c := newCluster(t, 1)
	one := c.nodes[0]
	one.setSecret(t, "demo", "s", "value")
	raise := func(format int) {
		t.Helper()
		if err := c.store.Update(t.Context(), func(tx store.Tx) error {
			rec, err := tx.Get("sys/installation")
			if err != nil {
				return err
			}
			var found map[string]any
			if err := json.Unmarshal(rec.Body, &found); err != nil {
				return err
			}
			found["format"] = format
			body, err := json.Marshal(found)
			if err != nil {
				return err
			}
			return tx.Put(rec.Key, rec.Revision, body)
		}); err != nil {
			t.Fatal(err)
		}
	}
	raise(2)
	_, err := one.Vaults.SetSecret(t.Context(), one.caller, vault.Ref{Vault: "demo", Name: "s"}, vault.NewSecret{Value: ptr("new")})
	var refused *vault.Error
	if !errors.As(err, &refused) || refused.Code != vault.CodeUnavailable || !errors.Is(err, server.ErrNewer) {
		t.Errorf("a node that is too old changes a secret: %v", err)
	}
	if got, err := one.secret(t, "demo", "s"); got != "value" {
		t.Errorf("%q, %v", got, err)
	}
	for format, want := range map[int]string{2: "use a newer version", 0: "upgrade by one at a time", -1: "upgrade by one at a time"} {
		raise(format)
		if _, err := c.again(t, "node-2", time.Millisecond); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("format %d: %v", format, err)
		}
	}
	raise(1)
	one.setSecret(t, "demo", "s", "new")
}
