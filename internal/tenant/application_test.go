package tenant_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/store"
	"coffer/internal/tenant"
)

// wantNumber checks that err is the refusal with the number.
func wantNumber(t *testing.T, err error, number int) {
	t.Helper()
	var refused *tenant.Error
	if !errors.As(err, &refused) || refused.Number != number {
		t.Errorf("error %v, want AADSTS%d", err, number)
	}
}

func TestSecrets(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	c := w.newClient()
	if raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(c.secret, "c")); err != nil || len(raw) != 32 {
		t.Errorf("a secret has %d bytes: %v", len(raw), err)
	}
	second := c
	id, secret, err := w.AddSecret(ctx, strings.ToUpper(c.AppID), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	second.secret = secret
	_, short, err := w.AddSecret(ctx, c.AppID, w.clock().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	third := client{c.Application, short}
	for _, one := range []client{c, second, third} {
		w.mustIssue(one)
	}
	if err := w.RemoveSecret(ctx, c.AppID, id); err != nil {
		t.Fatal(err)
	}
	_, err = w.issue(second.request())
	wantNumber(t, err, tenant.NumberBadSecret)
	w.turn(time.Hour)
	_, err = w.issue(third.request())
	wantNumber(t, err, tenant.NumberExpiredSecret)
	w.mustIssue(c)
	if err := w.RemoveSecret(ctx, c.AppID, id); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("removing it twice: %v", err)
	}
}

func TestSecretsAreBounded(t *testing.T) {
	w := newWorld(t)
	c := w.newClient()
	for range 99 {
		if _, _, err := w.AddSecret(context.Background(), c.AppID, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if id, secret, err := w.AddSecret(context.Background(), c.AppID, time.Time{}); err == nil || id != "" || secret != "" {
		t.Error("there was a hundred-and-first secret")
	}
}

func TestNothingShowsASecret(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	c := w.newClient()
	w.mustIssue(c)
	texts := []string{fmt.Sprintf("%v %+v %#v", w.Service, c.Application, w.config)}
	for _, r := range []tenant.TokenRequest{
		{ClientID: c.AppID, ClientSecret: c.secret + "x", Scope: vaults + "/.default"},
		{ClientID: c.secret, ClientSecret: c.AppID, Scope: vaults + "/.default"}, // the wrong way round
		{ClientID: c.AppID, ClientSecret: c.secret, Scope: "https://graph.microsoft.com/.default"},
		{ClientID: c.AppID, ClientSecret: c.secret, Scope: "x"},
	} {
		_, err := w.issue(r)
		if err == nil {
			t.Fatalf("%s has a token", r.Scope)
		}
		texts = append(texts, err.Error())
	}
	if _, _, err := w.AddSecret(ctx, c.secret, time.Time{}); err == nil {
		t.Error("a secret is an application")
	} else {
		texts = append(texts, err.Error())
	}
	texts = append(texts, w.log.String())
	for _, text := range texts {
		if strings.Contains(text, c.secret) {
			t.Errorf("shown in %s", text)
		}
	}
	// What an administrator names as an application is written down; what a client sends is not.
	for line := range strings.Lines(w.sink.String()) {
		if strings.Contains(line, c.secret) && strings.Contains(line, `"SignIn"`) {
			t.Errorf("shown in the audit log: %s", line)
		}
	}
	for key, rec := range w.bodies() {
		if bytes.Contains(rec.Body, []byte(c.secret)) || bytes.Contains(rec.Body, []byte(c.AppID)) {
			t.Errorf("%s is not sealed", key)
		}
	}
}

func TestEnsureApplication(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	app := tenant.Application{AppID: "0A1B2C3D-0000-4000-8000-000000000001", ObjectID: "0a1b2c3d-0000-4000-8000-000000000002", DisplayName: "run"}
	c := client{app, "derived-secret-one"}
	if err := w.EnsureApplication(ctx, app, c.secret); err != nil {
		t.Fatal(err)
	}
	w.mustIssue(c)
	lines, before := w.sink.lines(), w.bodies()
	if err := w.EnsureApplication(ctx, app, c.secret); err != nil || w.sink.lines() != lines {
		t.Errorf("the second time: %v, %d lines", err, w.sink.lines()-lines)
	}
	for key, rec := range w.bodies() {
		if before[key].Revision != rec.Revision {
			t.Errorf("the second time wrote %s", key)
		}
	}
	if found, err := w.GetApplication(ctx, app.AppID); err != nil || found.ObjectID != app.ObjectID || found.DisplayName != "run" || found.AppID != strings.ToLower(app.AppID) {
		t.Errorf("%+v, %v", found, err)
	}

	// Another secret replaces all there are; a disabled principal stays disabled.
	if err := w.SetEnabled(ctx, app, false); err != nil {
		t.Fatal(err)
	}
	if err := w.EnsureApplication(ctx, app, "derived-secret-two"); err != nil {
		t.Fatal(err)
	}
	_, err := w.issue(c.request())
	wantNumber(t, err, tenant.NumberBadSecret)
	c.secret = "derived-secret-two"
	_, err = w.issue(c.request())
	wantNumber(t, err, tenant.NumberDisabled)
	if err := w.SetEnabled(ctx, app, true); err != nil {
		t.Fatal(err)
	}
	w.mustIssue(c)

	for name, bad := range map[string]struct {
		app    tenant.Application
		secret string
	}{
		"another principal": {tenant.Application{AppID: app.AppID, ObjectID: "0a1b2c3d-0000-4000-8000-000000000003"}, "s"},
		"no secret":         {app, ""},
		"client id":         {tenant.Application{AppID: "x", ObjectID: app.ObjectID}, "s"},
		"object id":         {tenant.Application{AppID: app.AppID, ObjectID: "x"}, "s"},
	} {
		if err := w.EnsureApplication(ctx, bad.app, bad.secret); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	w.mustIssue(c)
}

func TestAPrincipalThatIsGone(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	c := w.newClient()
	caller, err := w.Authenticate(ctx, w.mustIssue(c).Raw, []string{vaults})
	if err != nil {
		t.Fatal(err)
	}
	caller.Origin.RequestID = "r"
	for _, step := range []struct {
		name string
		do   func() error
		gone bool
	}{
		{"made", func() error { return nil }, false},
		{"looked up again, unchanged", func() error { return nil }, false},
		{"disabled", func() error { return w.SetEnabled(ctx, c.Application, false) }, true},
		{"enabled", func() error { return w.SetEnabled(ctx, c.Application, true) }, false},
		{"removed", func() error { return w.RemoveApplication(ctx, c.AppID) }, true},
		{"made again", func() error { return w.EnsureApplication(ctx, c.Application, c.secret) }, false},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		found, err := w.look(caller)
		if errors.Is(err, access.ErrPrincipalGone) != step.gone {
			t.Errorf("%s: %v", step.name, err)
		}
		if !step.gone && (err != nil || found.ObjectID != c.ObjectID || found.Origin != caller.Origin || len(found.Groups) != 0) {
			t.Errorf("%s: %+v, %v", step.name, found, err)
		}
	}
	for name, change := range map[string]func(*access.Caller){
		"another application": func(c *access.Caller) { c.AppID = "0a1b2c3d-0000-4000-8000-000000000001" },
		"another tenant":      func(c *access.Caller) { c.TenantID = "0a1b2c3d-0000-4000-8000-000000000001" },
		"another principal":   func(c *access.Caller) { c.ObjectID = "0a1b2c3d-0000-4000-8000-000000000001" },
	} {
		other := caller
		change(&other)
		if _, err := w.look(other); !errors.Is(err, access.ErrPrincipalGone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnknownIDs(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	for _, id := range []string{"0a1b2c3d-0000-4000-8000-000000000001", "", "x", "a\x00b", strings.Repeat("a", 4096)} {
		_, _, add := w.AddSecret(ctx, id, time.Time{})
		_, get := w.GetApplication(ctx, id)
		for _, err := range []error{add, get, w.RemoveSecret(ctx, id, "x"), w.RemoveApplication(ctx, id)} {
			if !errors.Is(err, tenant.ErrNotFound) {
				t.Errorf("%.20q: %v", id, err)
			}
		}
	}
	if err := w.SetEnabled(ctx, tenant.Application{ObjectID: "0a1b2c3d-0000-4000-8000-000000000001"}, true); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// A commit whose outcome was lost is run again by the store. Every change has to find
// its own work then, and must not be made twice.
func TestCommitsThatRunTwice(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.store.set(func(ctx context.Context, fn func(store.Tx) error) error {
		if err := w.store.Store.Update(ctx, fn); err != nil {
			return err
		}
		return w.store.Store.Update(ctx, fn)
	})
	defer w.store.set(nil)
	c := w.newClient()
	id, secret, err := w.AddSecret(ctx, c.AppID, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	w.mustIssue(client{c.Application, secret})
	if err := w.RemoveSecret(ctx, c.AppID, id); err != nil {
		t.Error(err)
	}
	if err := w.SetEnabled(ctx, c.Application, false); err != nil {
		t.Error(err)
	}
	if err := w.EnsureApplication(ctx, c.Application, "another"); err != nil {
		t.Error(err)
	}
	if err := w.RemoveApplication(ctx, c.AppID); err != nil {
		t.Error(err)
	}
	for key := range w.bodies() {
		if strings.Contains(string(key), c.AppID) || strings.Contains(string(key), c.ObjectID) {
			t.Errorf("%s is left", key)
		}
	}
}

// A commit that fails leaves nothing, and says so.
func TestCommitsThatFail(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	c := w.newClient()
	before := w.bodies()
	lost := errors.New("lost")
	w.store.set(func(ctx context.Context, fn func(store.Tx) error) error {
		return w.store.Store.Update(ctx, func(tx store.Tx) error { return errors.Join(fn(tx), lost) })
	})
	defer w.store.set(nil)
	app, secret, create := w.CreateApplication(ctx, "x")
	id, another, add := w.AddSecret(ctx, c.AppID, time.Time{})
	if app.AppID != "" || secret != "" || id != "" || another != "" {
		t.Error("something was returned that was not kept")
	}
	for i, err := range []error{create, add, w.RemoveApplication(ctx, c.AppID), w.SetEnabled(ctx, c.Application, false), w.EnsureApplication(ctx, c.Application, "another")} {
		if !errors.Is(err, lost) {
			t.Errorf("change %d: %v", i, err)
		}
	}
	after := w.bodies()
	if len(after) != len(before) {
		t.Errorf("%d records, then %d", len(before), len(after))
	}
	for key, rec := range after {
		if before[key].Revision != rec.Revision {
			t.Errorf("%s was changed", key)
		}
	}
}

func TestChangesAtOnce(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	c := w.newClient()
	secrets := make([]string, 4)
	var group sync.WaitGroup
	for i := range secrets {
		group.Go(func() {
			var err error
			if _, secrets[i], err = w.AddSecret(ctx, c.AppID, time.Time{}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, secret := range secrets {
		w.mustIssue(client{c.Application, secret})
	}
}

func TestChangesAreAudited(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	c := w.newClient()
	id, _, err := w.AddSecret(ctx, c.AppID, time.Time{})
	if err := errors.Join(err, w.RemoveSecret(ctx, c.AppID, id), w.SetEnabled(ctx, c.Application, false), w.SetEnabled(ctx, c.Application, true), w.RemoveApplication(ctx, c.AppID)); err != nil {
		t.Fatal(err)
	}
	for _, operation := range []string{"ApplicationCreate", "ApplicationSecretAdd", "ApplicationSecretRemove", "PrincipalDisable", "PrincipalEnable", "ApplicationDelete"} {
		if n := strings.Count(w.sink.String(), `"`+operation+`"`); n != 2 {
			t.Errorf("%s has %d lines, not an intent and a result", operation, n)
		}
	}
	w.sink.fill(true)
	before := len(w.bodies())
	if _, _, err := w.CreateApplication(ctx, "x"); !errors.Is(err, gate.ErrAudit) || len(w.bodies()) != before {
		t.Errorf("without an audit log: %v", err)
	}
	w.sink.fill(false)
}
