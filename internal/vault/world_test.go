package vault_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/audit"
	"coffer/internal/issuer"
	"coffer/internal/seal"
	"coffer/internal/server"
	"coffer/internal/tenant"
	"coffer/internal/vault"
)

// A world is a vault service with real parts around it, an issuer that does what the
// test says, and a clock that the test turns.
type world struct {
	t      *testing.T
	vaults *vault.Service
	caller access.Caller
	slow   *slowIssuer
	mu     sync.Mutex
	now    time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC), slow: &slowIssuer{}}
	core, err := server.Open(context.Background(), server.Options{
		StorePath: filepath.Join(t.TempDir(), "store"), Ephemeral: true, Create: true, Root: root, Sink: audit.Discard{}, Now: w.time,
		Log: slog.New(slog.DiscardHandler), Names: server.PublicNames(), FirstTouch: true,
		Issuers: map[string]issuer.Issuer{"self": issuer.Self{}, "slow": w.slow},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	})
	app := tenant.Application{AppID: "11111111-1111-4111-8111-111111111111", ObjectID: "22222222-2222-4222-8222-222222222222"}
	if err := core.Tenant.EnsureApplication(context.Background(), app, "secret"); err != nil {
		t.Fatal(err)
	}
	core.Own(app)
	core.Start()
	w.vaults, w.caller = core.Vaults, access.Caller{TenantID: core.Tenant.TenantID(), ObjectID: app.ObjectID, AppID: app.AppID}
	return w
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// turn turns the clock and waits until everything that became due is done.
func (w *world) turn(d time.Duration) {
	w.t.Helper()
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
	w.settle()
}

func (w *world) settle() {
	w.t.Helper()
	if err := w.vaults.Settle(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// A slowIssuer waits, for a minute each time, until it is told to issue or to refuse.
type slowIssuer struct {
	mu      sync.Mutex
	refusal *issuer.Refusal
	issue   bool
	calls   int
}

func (i *slowIssuer) set(issue bool, refusal *issuer.Refusal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.issue, i.refusal = issue, refusal
}

func (i *slowIssuer) Issue(ctx context.Context, r issuer.Request, state []byte) (issuer.Result, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls++
	switch {
	case i.refusal != nil:
		return issuer.Result{Refused: i.refusal}, nil
	case i.issue:
		return issuer.Self{}.Issue(ctx, r, nil)
	}
	return issuer.Result{Wait: &issuer.Wait{State: append(state, '.'), Until: r.Now.Add(time.Minute)}}, nil
}

var web = vault.Ref{Vault: "demo", Name: "web"}

func ptr[T any](v T) *T { return &v }

// policy is one for an EC key and a name of an issuer.
func policy(issuer string) *vault.PolicyInput {
	return &vault.PolicyInput{
		Key: &vault.KeyInput{Kty: ptr("EC"), Curve: ptr("P-256")}, X509: &vault.X509Input{Subject: ptr("CN=web.example")},
		Issuer: &vault.IssuerInput{Name: ptr(issuer)},
	}
}

// create begins a version, and does what is due now.
func (w *world) create(in vault.NewCertificate) vault.Operation {
	w.t.Helper()
	op, err := w.vaults.CreateCertificate(context.Background(), w.caller, web, in)
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return op
}

func (w *world) operation() vault.Operation {
	w.t.Helper()
	op, err := w.vaults.GetCertificateOperation(context.Background(), w.caller, web, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return op
}

func (w *world) certificate() vault.Certificate {
	w.t.Helper()
	c, err := w.vaults.GetCertificate(context.Background(), w.caller, web)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) versions() []vault.Certificate {
	w.t.Helper()
	rows, _, err := w.vaults.ListCertificateVersions(context.Background(), w.caller, web, vault.Page{})
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// refused fails unless the error has the code.
func (w *world) refused(err error, code vault.Code) {
	w.t.Helper()
	var known *vault.Error
	if !errors.As(err, &known) || known.Code != code {
		w.t.Errorf("want %s, got %v", code, err)
	}
}

// sign makes a certificate of a CSR, as an authority does.
func (w *world) sign(csr []byte) []byte {
	w.t.Helper()
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		w.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	now := w.time()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: request.Subject, NotBefore: now, NotAfter: now.AddDate(0, 3, 0)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, request.PublicKey, key)
	if err != nil {
		w.t.Fatal(err)
	}
	return der
}
