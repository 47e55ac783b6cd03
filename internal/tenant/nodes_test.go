package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/store"
	"coffer/internal/tenant"
)

// node is one more node on the store of a world, with caches of its own.
func (w *world) node() *tenant.Service {
	w.t.Helper()
	node, err := tenant.Open(context.Background(), w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(node.Close)
	return node
}

// between runs other once, between the reading and the writing of the next change.
func (w *world) between(other func() error) {
	var once sync.Once
	w.store.set(func(ctx context.Context, fn func(store.Tx) error) error {
		once.Do(func() {
			w.store.set(nil)
			if err := other(); err != nil {
				w.t.Errorf("the other node's change: %v", err)
			}
		})
		return w.store.Store.Update(ctx, fn)
	})
}

func (w *world) check() {
	w.t.Helper()
	err := w.store.View(context.Background(), func(tx store.Tx) error {
		return w.Check(tx, func(key store.Key, problem string) { w.t.Errorf("%s: %s", key, problem) })
	})
	if err != nil {
		w.t.Error(err)
	}
}

// Two nodes look at the same snapshot of the directory and change different records of it.
// Each case is a change that would be wrong on top of the other's.
func TestWhatIsUniqueIsSoOnTwoNodes(t *testing.T) {
	ctx := context.Background()
	uris := &[]string{"api://one"}
	subject := tenant.FederatedCredential{Name: "ci", Issuer: "https://issuer.example.com", Subject: "s", Audiences: []string{"https://vault.example.com"}}
	for _, test := range []struct {
		name string
		code tenant.DirectoryCode
		do   func(node *tenant.Service, admin access.Caller, app tenant.ApplicationObject) error
	}{
		{"identifier URIs of new applications", tenant.ObjectConflict, func(node *tenant.Service, admin access.Caller, _ tenant.ApplicationObject) error {
			_, err := node.RegisterApplication(ctx, admin, tenant.ApplicationEdit{DisplayName: text("x"), IdentifierURIs: uris})
			return err
		}},
		{"identifier URIs", tenant.ObjectConflict, func(node *tenant.Service, admin access.Caller, app tenant.ApplicationObject) error {
			return node.UpdateApplication(ctx, admin, tenant.Ref{AppID: app.AppID}, tenant.ApplicationEdit{IdentifierURIs: uris})
		}},
		{"names of users", tenant.ObjectConflict, func(node *tenant.Service, admin access.Caller, _ tenant.ApplicationObject) error {
			_, err := node.CreateUser(ctx, admin, tenant.UserEdit{Name: text("ann@example.com"), DisplayName: text("Ann"), Password: text("a long password 1")})
			return err
		}},
		{"subjects of access tokens", tenant.ObjectConflict, func(node *tenant.Service, admin access.Caller, app tenant.ApplicationObject) error {
			_, err := node.AddFederatedCredential(ctx, admin, tenant.Ref{AppID: app.AppID}, subject)
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.config.Bearers = knows(subject.Issuer)
			one, two := w.node(), w.node()
			admin := w.newAdministrator()
			a, _ := w.register(admin, "a")
			b, _ := w.register(admin, "b")
			w.between(func() error { return test.do(two, admin, b) })
			wantCode(t, test.do(one, admin, a), test.code)
			w.check()
		})
	}
}

// knows is an outside issuer of which no token is looked at.
type knows string

func (k knows) Knows(issuer string) bool { return issuer == string(k) }

func (knows) Verify(context.Context, string, string) (tenant.Outside, error) {
	return tenant.Outside{}, errors.New("none is looked at")
}

// What one node removes is not given anything by another at the same time.
func TestWhatIsRemovedGetsNothingOnTwoNodes(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	one, two := w.node(), w.node()
	admin := w.newAdministrator()
	assign := func(to tenant.PrincipalObject) error {
		_, _, err := one.PutRoleAssignment(ctx, admin, tenant.RoleAssignment{ID: "0a1b2c3d-0000-4000-8000-000000000001", Scope: "/subscriptions/x", RoleID: tenant.RoleOwner, PrincipalID: to.ID})
		return err
	}
	app, principal := w.register(admin, "a")
	w.between(func() error { return two.DeleteApplication(ctx, admin, tenant.Ref{AppID: app.AppID}) })
	if err := assign(principal); !errors.Is(err, tenant.ErrPrincipalUnknown) {
		t.Errorf("a role for a principal that is being removed: %v", err)
	}
	app, principal = w.register(admin, "b")
	w.between(func() error { return two.RemoveApplication(ctx, app.AppID) })
	if err := assign(principal); !errors.Is(err, tenant.ErrPrincipalUnknown) {
		t.Errorf("a role for an application that is being removed: %v", err)
	}
	app, principal = w.register(admin, "c")
	target, _ := w.register(admin, "d")
	w.between(func() error { return two.DeletePrincipal(ctx, admin, tenant.Ref{AppID: app.AppID}) })
	wantCode(t, one.AddOwner(ctx, admin, tenant.Ref{AppID: target.AppID}, principal.ID), tenant.ObjectNotFound)
	w.check()
}

// An owner who is removed on one node changes nothing on another, however late that one has
// decided.
func TestRightsEndOnTwoNodes(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	one, two := w.node(), w.node()
	admin, owner := w.newAdministrator(), w.by(w.newClient())
	app, _ := w.register(admin, "a")
	ref := tenant.Ref{AppID: app.AppID}
	if err := one.AddOwner(ctx, admin, ref, owner.ObjectID); err != nil {
		t.Fatal(err)
	}
	rename := func(as access.Caller) error {
		return one.UpdateApplication(ctx, as, ref, tenant.ApplicationEdit{DisplayName: text("mine")})
	}
	w.between(func() error { return two.RemoveOwner(ctx, admin, ref, owner.ObjectID) })
	wantCode(t, rename(owner), tenant.NotOwnedAnyMore)
	if err := one.AddOwner(ctx, admin, ref, owner.ObjectID); err != nil {
		t.Fatal(err)
	}
	w.between(func() error { return two.DeletePrincipal(ctx, admin, tenant.Ref{AppID: owner.AppID}) })
	if err := rename(owner); !errors.Is(err, access.ErrPrincipalGone) {
		t.Errorf("an owner who is gone: %v", err)
	}
}

// Changes of different things, at once on three nodes, are all made.
func TestChangesOnThreeNodesAllHappen(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	admin := w.newAdministrator()
	var group sync.WaitGroup
	var won atomic.Int32
	for n := range 3 {
		node := w.node()
		for i := range 4 {
			group.Go(func() {
				if _, err := node.RegisterApplication(ctx, admin, tenant.ApplicationEdit{DisplayName: text(fmt.Sprint(n, i)), IdentifierURIs: &[]string{fmt.Sprintf("api://%d-%d", n, i)}}); err != nil {
					t.Errorf("node %d: %v", n, err)
				}
			})
		}
		group.Go(func() {
			if _, err := node.RegisterApplication(ctx, admin, tenant.ApplicationEdit{DisplayName: text("one of three"), IdentifierURIs: &[]string{"api://same"}}); err == nil {
				won.Add(1)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 {
		t.Errorf("%d applications have the same identifier", won.Load())
	}
	page, err := w.ListApplications(ctx, admin, tenant.Query[tenant.ApplicationObject]{Size: 1})
	if err != nil || page.Total != 1+12+1 {
		t.Errorf("%d applications, %v", page.Total, err)
	}
	w.check()
}

// Who loses the right to give roles while the request is under way gives none any more.
func TestRightsToGiveRolesEndOnTwoNodes(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	one, two := w.node(), w.node()
	admin := w.newAdministrator()
	if err := one.EnsureAssignment(ctx, admin.ObjectID, tenant.RoleOwner, "/"); err != nil {
		t.Fatal(err)
	}
	const scope, right, role = "/subscriptions/x", "0a1b2c3d-0000-4000-8000-000000000001", "0a1b2c3d-0000-4000-8000-00000000000f"
	_, other := w.register(admin, "other")
	custom := tenant.RoleDefinition{ID: role, Name: "Custom", Actions: []string{"*"}, AssignableScopes: []string{scope}}
	for name, change := range map[string]func(by access.Caller) error{
		"assign": func(by access.Caller) error {
			_, _, err := one.PutRoleAssignment(ctx, by, tenant.RoleAssignment{ID: "0a1b2c3d-0000-4000-8000-000000000002", Scope: scope, RoleID: tenant.RoleOwner, PrincipalID: other.ID})
			return err
		},
		"unassign": func(by access.Caller) error {
			_, err := one.DeleteRoleAssignment(ctx, by, scope, right)
			return err
		},
		"define": func(by access.Caller) error {
			_, err := one.PutRoleDefinition(ctx, by, scope, custom)
			return err
		},
	} {
		by := w.by(w.newClient())
		give := func() error {
			_, _, err := two.PutRoleAssignment(ctx, admin, tenant.RoleAssignment{ID: right, Scope: scope, RoleID: tenant.RoleOwner, PrincipalID: by.ObjectID})
			return err
		}
		take := func() error {
			_, err := two.DeleteRoleAssignment(ctx, admin, scope, right)
			return err
		}
		if err := give(); err != nil {
			t.Fatal(err)
		}
		w.between(take)
		var denied *gate.Denied
		if err := change(by); !errors.As(err, &denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// By a group, and as a principal.
	by := w.by(w.newClient())
	group, err := one.CreateGroup(ctx, admin, tenant.GroupEdit{DisplayName: text("g"), MailNickname: text("g")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := one.PutRoleAssignment(ctx, admin, tenant.RoleAssignment{ID: right, Scope: scope, RoleID: tenant.RoleOwner, PrincipalID: group.ID}); err != nil {
		t.Fatal(err)
	}
	define := func() error {
		_, err := one.PutRoleDefinition(ctx, by, scope, custom)
		return err
	}
	var denied *gate.Denied
	for range 2 {
		if err := one.AddMember(ctx, admin, group.ID, by.ObjectID); err != nil {
			t.Fatal(err)
		}
		w.between(func() error { return two.RemoveMember(ctx, admin, group.ID, by.ObjectID) })
		if err := define(); !errors.As(err, &denied) {
			t.Errorf("a member no more: %v", err)
		}
	}
	if err := one.AddMember(ctx, admin, group.ID, by.ObjectID); err != nil {
		t.Fatal(err)
	}
	w.between(func() error {
		return two.SetEnabled(ctx, tenant.Application{AppID: by.AppID, ObjectID: by.ObjectID}, false)
	})
	if err := define(); !errors.Is(err, access.ErrPrincipalGone) {
		t.Errorf("disabled: %v", err)
	}
	if err := two.SetEnabled(ctx, tenant.Application{AppID: by.AppID, ObjectID: by.ObjectID}, true); err != nil {
		t.Fatal(err)
	}
	if err := define(); err != nil {
		t.Errorf("a member: %v", err)
	}
}
