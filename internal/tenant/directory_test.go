package tenant_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/store"
	"coffer/internal/tenant"
)

// by is an application as a caller.
func (w *world) by(c client) access.Caller {
	return access.Caller{TenantID: w.TenantID(), ObjectID: c.ObjectID, AppID: c.AppID}
}

// newAdministrator is a caller who administers the directory and owns all resources.
func (w *world) newAdministrator() access.Caller {
	w.t.Helper()
	c := w.newClient()
	if err := errors.Join(w.EnsureAdministrator(context.Background(), c.ObjectID), w.EnsureAssignment(context.Background(), c.ObjectID, tenant.RoleOwner, "/")); err != nil {
		w.t.Fatal(err)
	}
	return w.by(c)
}

func wantCode(t *testing.T, err error, code tenant.DirectoryCode) {
	t.Helper()
	var refused *tenant.DirectoryError
	if !errors.As(err, &refused) || refused.Code != code {
		t.Errorf("error %v, want %s", err, code)
	}
}

func text(s string) *string { return &s }

// register makes an application with a service principal.
func (w *world) register(caller access.Caller, name string) (tenant.ApplicationObject, tenant.PrincipalObject) {
	w.t.Helper()
	app, err := w.RegisterApplication(context.Background(), caller, tenant.ApplicationEdit{DisplayName: &name})
	if err != nil {
		w.t.Fatal(err)
	}
	principal, err := w.CreatePrincipal(context.Background(), caller, app.AppID, true)
	if err != nil {
		w.t.Fatal(err)
	}
	return app, principal
}

func TestEnsureAdministrator(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	c := w.newClient()
	if caller, err := w.look(w.by(c)); err != nil || caller.Admin {
		t.Errorf("%+v, %v", caller, err)
	}
	lines := 0
	for range 2 {
		if err := w.EnsureAdministrator(ctx, c.ObjectID); err != nil {
			t.Fatal(err)
		}
		if lines == 0 {
			lines = w.sink.lines()
		}
	}
	if caller, err := w.look(w.by(c)); err != nil || !caller.Admin || w.sink.lines() != lines {
		t.Errorf("%+v, %v", caller, err)
	}
	if err := w.EnsureAdministrator(ctx, "0a1b2c3d-0000-4000-8000-000000000003"); !errors.Is(err, tenant.ErrNotFound) {
		t.Error(err)
	}
}

// A principal that is removed has no role any more, whichever way it goes.
func TestRemovalForgetsRoles(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	admin := w.newAdministrator()
	count := func(oid string) int {
		t.Helper()
		found, err := w.ListRoleAssignments(ctx, admin, "/", "", func(a tenant.RoleAssignment) bool { return a.PrincipalID == oid })
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	user, err := w.CreateUser(ctx, admin, tenant.UserEdit{Name: text("a@b"), DisplayName: text("A"), Password: text("12345678")})
	if err != nil {
		t.Fatal(err)
	}
	app1, principal1 := w.register(admin, "one")
	_, principal2 := w.register(admin, "two")
	app3, principal3 := w.register(admin, "three")
	for oid, remove := range map[string]func() error{
		user.ID:       func() error { return w.DeleteUser(ctx, admin, user.ID) },
		principal1.ID: func() error { return w.DeleteApplication(ctx, admin, tenant.Ref{ID: app1.ID}) },
		principal2.ID: func() error { return w.DeletePrincipal(ctx, admin, tenant.Ref{ID: principal2.ID}) },
		principal3.ID: func() error { return w.RemoveApplication(ctx, app3.AppID) },
	} {
		if err := w.EnsureAssignment(ctx, oid, tenant.RoleOwner, "/subscriptions/s"); err != nil {
			t.Fatal(err)
		}
		if n := count(oid); n != 1 {
			t.Fatalf("%d assignments", n)
		}
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		if n := count(oid); n != 0 {
			t.Errorf("%d assignments are left", n)
		}
		for key := range w.bodies() {
			if strings.Contains(string(key), oid) {
				t.Errorf("%s is left", key)
			}
		}
	}
	if n := count(admin.ObjectID); n != 1 {
		t.Errorf("%d of another's assignments are left", n)
	}
}

// Whoever lost the right while the request was under way changes nothing.
func TestRightIsAskedAgain(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	admin := w.newAdministrator()
	c := w.newClient()
	app, _ := w.register(w.by(c), "theirs")
	ref := tenant.Ref{ID: app.ID}
	other, err := tenant.Open(ctx, w.config) // another node
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	w.store.set(func(ctx context.Context, fn func(store.Tx) error) error {
		w.store.set(nil)
		if err := other.RemoveOwner(ctx, admin, ref, c.ObjectID); err != nil {
			t.Error(err)
		}
		return w.store.Store.Update(ctx, fn)
	})
	wantCode(t, w.UpdateApplication(ctx, w.by(c), ref, tenant.ApplicationEdit{DisplayName: text("mine")}), tenant.NotOwnedAnyMore)
	if found, err := w.FindApplication(ctx, admin, ref); err != nil || found.DisplayName != "theirs" {
		t.Errorf("%+v, %v", found, err)
	}
	var denied *gate.Denied
	if err := w.UpdateApplication(ctx, w.by(c), ref, tenant.ApplicationEdit{DisplayName: text("mine")}); !errors.As(err, &denied) {
		t.Error(err)
	}
}

// An application of the first version has an object id, always the same.
func TestDerivedID(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	c := w.newClient()
	first, err := w.FindApplication(ctx, w.by(c), tenant.Ref{AppID: strings.ToUpper(c.AppID)})
	if err != nil || first.ID == "" || first.ID == c.AppID || first.ID == c.ObjectID {
		t.Fatalf("%+v, %v", first, err)
	}
	if _, _, err := w.AddPassword(ctx, w.newAdministrator(), tenant.Ref{ID: first.ID}, tenant.PasswordCredential{}); err != nil {
		t.Fatal(err)
	}
	if found, err := w.FindApplication(ctx, w.by(c), tenant.Ref{ID: first.ID}); err != nil || found.AppID != c.AppID || found.ID != first.ID || len(found.Passwords) != 2 {
		t.Errorf("%+v, %v", found, err)
	}
}

// What EnsureApplication makes anew keeps what the directory has of it.
func TestEnsureKeeps(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	admin, c := w.newAdministrator(), w.newClient()
	ref := tenant.Ref{AppID: c.AppID}
	uris := []string{"http://mine"}
	if err := errors.Join(w.UpdateApplication(ctx, admin, ref, tenant.ApplicationEdit{IdentifierURIs: &uris}), w.DeletePrincipal(ctx, admin, ref)); err != nil {
		t.Fatal(err)
	}
	_, err := w.issue(c.request())
	wantNumber(t, err, tenant.NumberNoPrincipal)
	if err := w.EnsureApplication(ctx, c.Application, c.secret); err != nil {
		t.Fatal(err)
	}
	w.mustIssue(c)
	if found, err := w.FindPrincipal(ctx, admin, tenant.Ref{ID: c.ObjectID}); err != nil || len(found.Names) != 2 || found.Names[1] != uris[0] {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestUserPasswords(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	admin := w.newAdministrator()
	const password = "pässwörd 1"
	user, err := w.CreateUser(ctx, admin, tenant.UserEdit{Name: text("Ann@coffer.local"), DisplayName: text("Ann"), Password: text(password)})
	if err != nil {
		t.Fatal(err)
	}
	check := func(name, password string, want bool) {
		t.Helper()
		if got, err := w.VerifyPassword(ctx, name, password); err != nil || got != want {
			t.Errorf("%s %q: %v, %v", name, password, got, err)
		}
	}
	check("ann@coffer.local", password, true)
	check("ann@coffer.local", password+" ", false)
	check("ann@coffer.local", "", false)
	check("ann@coffer.local", strings.Repeat("x", 5000), false)
	check("nobody@coffer.local", "", false)
	if err := w.UpdateUser(ctx, admin, user.ID, tenant.UserEdit{Password: text("another password"), Name: text("eve@coffer.local")}); err != nil {
		t.Fatal(err)
	}
	check("ann@coffer.local", password, false)
	check("eve@coffer.local", password, false)
	check("eve@coffer.local", "another password", true)
	for _, bad := range []string{"1234567", strings.Repeat("x", 257), "12345678\xff"} {
		wantCode(t, w.UpdateUser(ctx, admin, user.ID, tenant.UserEdit{Password: &bad}), tenant.BadObject)
	}
	for key, rec := range w.bodies() {
		if bytes.Contains(rec.Body, []byte(password)) || bytes.Contains(rec.Body, []byte("another password")) {
			t.Errorf("%s is not sealed", key)
		}
	}
	if strings.Contains(w.sink.String()+w.log.String(), "password 1") {
		t.Error("a password is in a log")
	}

	// A user calls through an application.
	caller := access.Caller{TenantID: w.TenantID(), ObjectID: user.ID, AppID: "04b07795-8ddb-461a-bbee-02f9e1bf7b46"}
	if me, err := w.Me(ctx, caller); err != nil || me.Name != "eve@coffer.local" || me.ID != user.ID {
		t.Errorf("%+v, %v", me, err)
	}
	app, _ := w.register(caller, "a user's")
	if owners, err := w.ListOwners(ctx, caller, tenant.Ref{ID: app.ID}); err != nil || len(owners) != 1 || owners[0].User == nil || owners[0].User.ID != user.ID {
		t.Errorf("%+v, %v", owners, err)
	}
	_, err = w.Me(ctx, admin)
	wantCode(t, err, tenant.DelegatedOnly)
	if err := w.UpdateUser(ctx, admin, user.ID, tenant.UserEdit{Enabled: new(bool)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Me(ctx, caller); !errors.Is(err, access.ErrPrincipalGone) {
		t.Error(err)
	}
}

// Without an audit log nothing is changed and nothing is shown; a commit that fails leaves
// nothing and returns nothing.
func TestDirectoryFaults(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	admin := w.newAdministrator()
	app, _ := w.register(admin, "app")
	ref := tenant.Ref{ID: app.ID}
	lost := errors.New("lost")
	try := func(want error) {
		t.Helper()
		before := w.bodies()
		made, err1 := w.RegisterApplication(ctx, admin, tenant.ApplicationEdit{DisplayName: text("x")})
		password, secret, err2 := w.AddPassword(ctx, admin, ref, tenant.PasswordCredential{})
		credential, err3 := w.AddFederatedCredential(ctx, admin, ref, tenant.FederatedCredential{Name: "x", Issuer: "https://a", Subject: "b", Audiences: []string{"c"}})
		user, err4 := w.CreateUser(ctx, admin, tenant.UserEdit{Name: text("a@b"), DisplayName: text("A"), Password: text("12345678")})
		if made.ID != "" || password.ID != "" || secret != "" || credential.ID != "" || user.ID != "" {
			t.Error("something was returned that was not kept")
		}
		for i, err := range []error{err1, err2, err3, err4, w.DeleteApplication(ctx, admin, ref), w.DeletePrincipal(ctx, admin, tenant.Ref{AppID: app.AppID})} {
			if !errors.Is(err, want) {
				t.Errorf("change %d: %v", i, err)
			}
		}
		after := w.bodies()
		for key, rec := range after {
			if before[key].Revision != rec.Revision || len(before) != len(after) {
				t.Errorf("%s was changed", key)
			}
		}
	}
	w.store.set(func(ctx context.Context, fn func(store.Tx) error) error {
		return w.store.Store.Update(ctx, func(tx store.Tx) error { return errors.Join(fn(tx), lost) })
	})
	try(lost)
	w.store.set(nil)
	w.sink.fill(true)
	try(gate.ErrAudit)
	if _, err := w.ListApplications(ctx, admin, tenant.Query[tenant.ApplicationObject]{Size: 1}); !errors.Is(err, gate.ErrAudit) {
		t.Error(err)
	}
	w.sink.fill(false)
}

// One principal fills its quota, not the directory.
func TestQuota(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	c, admin := w.newClient(), w.newAdministrator()
	for i := range 250 {
		if _, err := w.RegisterApplication(ctx, w.by(c), tenant.ApplicationEdit{DisplayName: text(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.RegisterApplication(ctx, w.by(c), tenant.ApplicationEdit{DisplayName: text("more")})
	wantCode(t, err, tenant.QuotaExceeded)
	if _, err := w.RegisterApplication(ctx, admin, tenant.ApplicationEdit{DisplayName: text("more")}); err != nil {
		t.Error(err)
	}
}
