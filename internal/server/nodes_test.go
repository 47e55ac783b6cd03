package server_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/issuer"
	"coffer/internal/seal"
	"coffer/internal/server"
	"coffer/internal/store"
	"coffer/internal/store/bolt"
	"coffer/internal/tenant"
	"coffer/internal/vault"
)

// The tests here run several cores on one store, as the nodes of an installation in a
// database do: each with its own caches, keys in memory, jobs and clock.

// A cluster is nodes over one store.
type cluster struct {
	nodes []*clusterNode
	store store.Store
	root  seal.RootKey
}

// stuck is an issuer that never ends: what it is asked for by a node that then dies.
type stuck struct{ called chan struct{} }

func (i stuck) Issue(ctx context.Context, _ issuer.Request, _ []byte) (issuer.Result, error) {
	i.called <- struct{}{}
	<-ctx.Done()
	return issuer.Result{}, ctx.Err()
}

// A clusterNode is a core with a store of which a test can hold up the changes.
type clusterNode struct {
	*server.Core
	caller access.Caller
	clock  atomic.Int64 // nanoseconds ahead of the wall clock
	view   *nodeStore
	issuer issuer.Issuer // nil: Self
	issued atomic.Int64
}

// nodeStore is the shared store as one node sees it: closing it ends nothing.
type nodeStore struct {
	store.Store
	mu     sync.Mutex
	before func() // called once before the next Update of a call with the value held
}

// held marks the context of a call that a test holds up; what the node does by itself, such as
// to keep the audit log's head, goes on.
type held struct{}

func hold(t *testing.T) context.Context { return context.WithValue(t.Context(), held{}, true) }

func (s *nodeStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	if ctx.Value(held{}) != nil {
		s.mu.Lock()
		before := s.before
		s.before = nil
		s.mu.Unlock()
		if before != nil {
			before()
		}
	}
	return s.Store.Update(ctx, fn)
}

func (*nodeStore) Close() error { return nil }

// between has other run before the next change that the node makes in the store.
func (n *clusterNode) between(other func()) {
	n.view.mu.Lock()
	defer n.view.mu.Unlock()
	n.view.before = other
}

// wasHeld fails if what was to run in between did not.
func (n *clusterNode) wasHeld(t *testing.T) {
	t.Helper()
	n.view.mu.Lock()
	defer n.view.mu.Unlock()
	if n.view.before != nil {
		t.Error("nothing ran in between")
	}
}

func newCluster(t *testing.T, size int) *cluster {
	t.Helper()
	opened, err := bolt.Open(filepath.Join(t.TempDir(), "store"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &cluster{store: opened, root: rootKey(t)}
	for i := range size {
		n := &clusterNode{}
		c.join(t, n, fmt.Sprintf("node-%d", i+1))
		c.nodes = append(c.nodes, n)
	}
	return c
}

// join opens one more node.
func (c *cluster) join(t *testing.T, n *clusterNode, name string) {
	t.Helper()
	o := options(t.TempDir(), c.root)
	o.Ephemeral, o.Node, o.Shared = true, name, true // the file that is opened is not used
	o.Issuers = map[string]issuer.Issuer{"self": n}
	o.Now = func() time.Time { return time.Now().Add(time.Duration(n.clock.Load())) }
	o.Wrap = func(own store.Store) store.Store {
		t.Cleanup(func() { _ = own.Close() })
		n.view = &nodeStore{Store: c.store}
		return n.view
	}
	core, err := server.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	n.Core = core
	t.Cleanup(func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(core.Tenant.EnsureApplication(t.Context(), app, "secret"), core.Tenant.EnsureAdministrator(t.Context(), app.ObjectID),
		core.Tenant.EnsureAssignment(t.Context(), app.ObjectID, tenant.RoleOwner, "/")); err != nil {
		t.Fatal(err)
	}
	core.Own(app)
	n.caller = access.Caller{TenantID: core.Tenant.TenantID(), ObjectID: app.ObjectID, AppID: app.AppID}
}

// Issue makes the node's certificates.
func (n *clusterNode) Issue(ctx context.Context, r issuer.Request, state []byte) (issuer.Result, error) {
	if n.issuer != nil {
		return n.issuer.Issue(ctx, r, state)
	}
	n.issued.Add(1)
	return issuer.Self{}.Issue(ctx, r, state)
}

func (n *clusterNode) turn(d time.Duration) { n.clock.Add(int64(d)) }

func (n *clusterNode) settle(t *testing.T) {
	t.Helper()
	if err := n.Vaults.Settle(hold(t)); err != nil {
		t.Fatal(err)
	}
}

func (n *clusterNode) setSecret(t *testing.T, in, name, value string) {
	t.Helper()
	if _, err := n.Vaults.SetSecret(t.Context(), n.caller, vault.Ref{Vault: in, Name: name}, vault.NewSecret{Value: &value}); err != nil {
		t.Fatal(err)
	}
}

func (n *clusterNode) secret(t *testing.T, in, name string) (string, error) {
	got, err := n.Vaults.GetSecret(t.Context(), n.caller, vault.Ref{Vault: in, Name: name})
	return got.Value, err
}

func (n *clusterNode) putVault(t *testing.T, name string) {
	t.Helper()
	if _, _, err := n.Vaults.PutGroup(t.Context(), n.caller, vault.Group{Name: "rg", Location: "local"}); err != nil {
		t.Fatal(err)
	}
	in := vault.VaultInput{Location: "local", TenantID: n.caller.TenantID, SKU: "standard", Policies: &[]access.Policy{
		{TenantID: n.caller.TenantID, ObjectID: n.caller.ObjectID, Secrets: []string{"all"}, Certificates: []string{"all"}},
	}}
	if _, err := n.Vaults.PutVault(t.Context(), n.caller, "rg", name, in); err != nil {
		t.Fatal(err)
	}
}

// A node whose clock is a minute ahead does not take what another is at, and goes on with it
// when that one is dead.
func TestLeasesHoldThoughClocksDiffer(t *testing.T) {
	c := newCluster(t, 2)
	one, two := c.nodes[0], c.nodes[1]
	dying := stuck{called: make(chan struct{}, 1)}
	one.issuer = dying
	if _, err := one.Vaults.CreateCertificate(t.Context(), one.caller, ref, newEC()); err != nil {
		t.Fatal(err)
	}
	<-dying.called
	two.turn(time.Minute)
	two.settle(t)
	if two.issued.Load() != 0 {
		t.Error("the node whose clock is ahead took what another had leased")
	}
	two.turn(31 * time.Second)
	two.settle(t)
	got, err := two.Vaults.GetCertificate(t.Context(), two.caller, ref)
	if err != nil || len(got.CER) == 0 || two.issued.Load() != 1 {
		t.Errorf("what a dead node had begun was not ended: %d, %v", two.issued.Load(), err)
	}
	if rows, _, err := one.Vaults.ListCertificateVersions(t.Context(), one.caller, ref, vault.Page{}); err != nil || len(rows) != 1 {
		t.Errorf("%d versions, %v", len(rows), err)
	}
}

// Two nodes that come to renew a certificate renew it once, whoever is late.
func TestRenewalHappensOnceOnTwoNodes(t *testing.T) {
	c := newCluster(t, 2)
	one, two := c.nodes[0], c.nodes[1]
	if _, err := one.Vaults.CreateCertificate(t.Context(), one.caller, ref, newEC()); err != nil {
		t.Fatal(err)
	}
	one.settle(t)
	one.turn(300 * 24 * time.Hour)
	two.turn(300 * 24 * time.Hour)
	// Node two has taken the row and read the certificate when node one, which found it due as
	// well, renews and issues.
	two.between(func() { // the lease
		two.between(func() { // the renewal
			if err := c.store.Update(t.Context(), func(tx store.Tx) error {
				rows, err := tx.Due(one.Options.Now().Add(time.Hour), 1)
				if err != nil || len(rows) == 0 {
					return errors.Join(err, errors.New("nothing is due"))
				}
				return tx.SetDue(rows[0].Key, one.Options.Now().Add(-time.Second))
			}); err != nil {
				t.Error(err)
			}
			one.settle(t)
		})
	})
	two.settle(t)
	two.wasHeld(t)
	rows, _, err := one.Vaults.ListCertificateVersions(t.Context(), one.caller, ref, vault.Page{})
	if err != nil || len(rows) != 2 {
		t.Errorf("%d versions, not 2: %v", len(rows), err)
	}
}

// A node that is late with the purge of a vault leaves the vault alone that has got its name.
func TestALatePurgeSparesTheNamesake(t *testing.T) {
	c := newCluster(t, 2)
	one, two := c.nodes[0], c.nodes[1]
	one.putVault(t, "twice")
	one.setSecret(t, "twice", "old", "old")
	if _, err := one.Vaults.DeleteVault(t.Context(), one.caller, "rg", "twice"); err != nil {
		t.Fatal(err)
	}
	scope := one.Vaults.VaultID("rg", "twice")
	if err := one.Tenant.EnsureAssignment(t.Context(), app.ObjectID, tenant.RoleOwner, scope); err != nil { // Forget has work
		t.Fatal(err)
	}
	late := func() {
		if err := c.store.Update(t.Context(), func(tx store.Tx) error { return tx.SetDue("vault/twice", one.Options.Now().Add(-time.Second)) }); err != nil {
			t.Error(err)
		}
		one.settle(t)
		one.putVault(t, "twice")
		one.setSecret(t, "twice", "new", "new")
		if err := one.Tenant.EnsureAssignment(t.Context(), app.ObjectID, tenant.RoleOwner, scope); err != nil {
			t.Error(err)
		}
	}
	two.between(func() { two.between(late) }) // the vault is marked, and nothing is removed yet
	if _, err := two.Vaults.PurgeVault(hold(t), two.caller, "local", "twice"); err != nil {
		t.Fatal(err)
	}
	two.wasHeld(t)
	if got, err := two.secret(t, "twice", "new"); got != "new" {
		t.Errorf("the namesake's secret: %q, %v", got, err)
	}
	if _, err := one.secret(t, "twice", "old"); err == nil {
		t.Error("the purged secret is there")
	}
	roles, err := two.Tenant.ListRoleAssignments(t.Context(), two.caller, scope, "", func(a tenant.RoleAssignment) bool { return a.Scope == scope })
	if err != nil || len(roles) != 1 {
		t.Errorf("the namesake has %d role assignments: %v", len(roles), err)
	}
}

// The same of a resource group.
func TestALateDeletionSparesTheNewGroup(t *testing.T) {
	c := newCluster(t, 2)
	one, two := c.nodes[0], c.nodes[1]
	one.putVault(t, "old")
	two.between(func() { // two has been asked to delete the group, marks it
		two.between(func() { // and is about to delete its vault
			if _, err := one.Vaults.DeleteGroup(t.Context(), one.caller, "rg"); err != nil {
				t.Error(err)
			}
			one.putVault(t, "young")
		})
	})
	if _, err := two.Vaults.DeleteGroup(hold(t), two.caller, "rg"); err != nil {
		t.Fatal(err)
	}
	two.wasHeld(t)
	if _, err := two.Vaults.GetGroup(t.Context(), two.caller, "rg"); err != nil {
		t.Errorf("the new group: %v", err)
	}
	if _, err := two.Vaults.FindVault(t.Context(), two.caller, "rg", "young"); err != nil {
		t.Errorf("its vault: %v", err)
	}
}

// Keys are rotated on one node while another goes on with the former key: all that either
// writes is read on both, and when the key is retired, nothing is stored with it that the other
// has not stored yet.
func TestDataKeysAreRetiredUnderTwoNodes(t *testing.T) {
	c := newCluster(t, 2)
	one, two := c.nodes[0], c.nodes[1]
	set := func(n *clusterNode, ctx context.Context, name string) error {
		_, err := n.Vaults.SetSecret(ctx, n.caller, vault.Ref{Vault: "demo", Name: name}, vault.NewSecret{Value: &name})
		return err
	}
	wantAll := func(names ...string) {
		t.Helper()
		for _, name := range names {
			for i, n := range c.nodes {
				if got, err := n.secret(t, "demo", name); got != name {
					t.Errorf("node %d reads %q of %s: %v", i+1, got, name, err)
				}
			}
		}
	}
	administer := func(n *clusterNode, verb string, r server.AdminRequest) any {
		t.Helper()
		out, err := n.Administer(t.Context(), verb, r)
		if err != nil {
			t.Fatalf("%s: %v", verb, err)
		}
		return out
	}
	must(t, set(one, t.Context(), "before"))
	// Of the first, what is stored is sealed in the transaction, of the second before it.
	for i, late := range []func() error{
		func() error { return set(two, hold(t), "late") },
		func() error {
			_, err := two.Tenant.RegisterApplication(hold(t), two.caller, tenant.ApplicationEdit{DisplayName: ptr("late")})
			return err
		},
	} {
		former := ""
		for _, key := range administer(one, server.VerbStatus, server.AdminRequest{}).(server.SealStatus).Keys {
			if key.Use == seal.Records && key.Primary {
				former = key.Key
			}
		}
		retire := func() error {
			_, err := one.Administer(t.Context(), server.VerbRetire, server.AdminRequest{Key: former})
			return err
		}
		administer(one, server.VerbRotateData, server.AdminRequest{Use: seal.Records})
		must(t, set(two, t.Context(), "with-the-former-key")) // node two knows of nothing
		wantAll("before", "with-the-former-key")
		for _, n := range c.nodes {
			n.turn(10 * time.Minute)
		}
		two.between(func() { // node two goes on with the former key, and stands still
			if err := retire(); err == nil || !strings.Contains(err.Error(), "reseal first") {
				t.Errorf("a key that records need was retired: %v", err)
			}
			administer(one, server.VerbReseal, server.AdminRequest{})
			if err := retire(); err != nil {
				t.Error(err)
			}
		})
		if err := late(); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		two.wasHeld(t)
		wantAll("before", "with-the-former-key", "late")
		if _, err := one.Tenant.ListApplications(t.Context(), one.caller, tenant.Query[tenant.ApplicationObject]{Size: 9}); err != nil {
			t.Error(err)
		}
	}
	if found := administer(two, server.VerbCheck, server.AdminRequest{}).(server.Checked); found.Wrong() {
		t.Errorf("%+v", found.Findings)
	}
}

// The root key is changed on one node, and the other goes on, and follows.
func TestTheRootKeyIsRotatedUnderTwoNodes(t *testing.T) {
	c := newCluster(t, 2)
	one, two := c.nodes[0], c.nodes[1]
	for i, n := range []*clusterNode{one, two, one} {
		if _, err := n.Administer(t.Context(), server.VerbRotateRoot, server.AdminRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Administer(t.Context(), server.VerbRotateData, server.AdminRequest{Use: seal.Records}); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprint("s", i)
		n.setSecret(t, "demo", name, name)
		for _, other := range c.nodes {
			if got, err := other.secret(t, "demo", name); got != name {
				t.Errorf("%q, %v", got, err)
			}
		}
	}
}
