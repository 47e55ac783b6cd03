package server_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coffer/internal/audit"
	"coffer/internal/gate"
	"coffer/internal/issuer"
	"coffer/internal/vault"
)

// A fullSink is a log on a disk that is full from some moment on.
type fullSink struct {
	audit.Discard
	full atomic.Bool
}

func (s *fullSink) Append([]byte) error {
	if s.full.Load() {
		return errors.New("no space left on device")
	}
	return nil
}

// When the audit log cannot be written, nothing is answered and nothing changes.
func TestAuditLogNotWritable(t *testing.T) {
	sink := &fullSink{}
	o := options(t.TempDir(), rootKey(t))
	o.Sink = sink
	w := newWorld(t, o)
	defer func() { _ = w.Close() }()
	ctx := context.Background()
	if _, err := w.Vaults.CreateCertificate(ctx, w.caller, ref, newEC()); err != nil {
		t.Fatal(err)
	}
	if err := w.Vaults.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	sink.full.Store(true)
	_, read := w.Vaults.GetCertificate(ctx, w.caller, ref)
	_, deletion := w.Vaults.DeleteCertificate(ctx, w.caller, ref)
	_, creation := w.Vaults.CreateCertificate(ctx, w.caller, vault.Ref{Vault: "demo", Name: "other"}, newEC())
	for name, err := range map[string]error{"read": read, "delete": deletion, "create": creation} {
		if !errors.Is(err, gate.ErrAudit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sink.full.Store(false)
	if c, err := w.Vaults.GetCertificate(ctx, w.caller, ref); err != nil || !c.Issued() {
		t.Errorf("the certificate was changed: %v", err)
	}
	if _, err := w.Vaults.GetCertificate(ctx, w.caller, vault.Ref{Vault: "demo", Name: "other"}); err == nil {
		t.Error("a certificate was made without an audit line")
	}
}

// A slow issuer leaves the operation pending; a second create is a conflict meanwhile,
// and the current version stays readable.
type slow struct {
	issuer.Self
	closed atomic.Bool
}

func (s *slow) Issue(ctx context.Context, r issuer.Request, state []byte) (issuer.Result, error) {
	if s.closed.Load() {
		return issuer.Result{Wait: &issuer.Wait{State: []byte("asked"), Until: r.Now.Add(time.Hour)}}, nil
	}
	if string(state) != "asked" {
		return issuer.Result{Refused: &issuer.Refusal{Code: "Request rejected", Message: "no state"}}, nil
	}
	return s.Self.Issue(ctx, r, state)
}

func TestCreateWhilePending(t *testing.T) {
	authority := &slow{}
	authority.closed.Store(true)
	o := options(t.TempDir(), rootKey(t))
	o.Issuers = map[string]issuer.Issuer{"self": authority}
	var ahead atomic.Int64
	o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	w := newWorld(t, o)
	defer func() { _ = w.Close() }()
	ctx := context.Background()
	if _, err := w.Vaults.CreateCertificate(ctx, w.caller, ref, newEC()); err != nil {
		t.Fatal(err)
	}
	if err := w.Vaults.Settle(ctx); err != nil { // the issuer has been asked
		t.Fatal(err)
	}
	_, err := w.Vaults.CreateCertificate(ctx, w.caller, ref, newEC())
	var coded *vault.Error
	if !errors.As(err, &coded) || coded.Code != vault.CodeConflict || coded.Inner != "" || !strings.Contains(coded.Message, "status is inProgress") {
		t.Errorf("%v", err)
	}
	c, err := w.Vaults.GetCertificate(ctx, w.caller, ref)
	if err != nil || c.Issued() || c.Attributes.Enabled || c.Attributes.Expires.Sub(c.Attributes.NotBefore) < 365*24*60*60*1e9 || !c.Pending {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := w.Vaults.GetSecret(ctx, w.caller, ref); !errors.As(err, &coded) || coded.Inner != vault.InnerSecretDisabled {
		t.Errorf("the secret of a certificate that is not issued: %v", err)
	}
	if rows, _, err := w.Vaults.ListCertificates(ctx, w.caller, "demo", vault.Page{}); err != nil || len(rows) != 0 {
		t.Errorf("listed: %v, %v", rows, err)
	}
	if rows, _, err := w.Vaults.ListCertificates(ctx, w.caller, "demo", vault.Page{IncludePending: true}); err != nil || len(rows) != 1 {
		t.Errorf("not listed: %v, %v", rows, err)
	}
	authority.closed.Store(false)
	ahead.Store(int64(2 * time.Hour))
	if err := w.Vaults.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	if op, err := w.Vaults.GetCertificateOperation(ctx, w.caller, ref, ""); err != nil || !op.Completed() {
		t.Errorf("%+v, %v", op, err)
	}
}

// A client that hangs up while its key is made changes nothing.
func TestClientHangsUp(t *testing.T) {
	w := newWorld(t, options(t.TempDir(), rootKey(t)))
	defer func() { _ = w.Close() }()
	if _, err := w.Vaults.CreateCertificate(context.Background(), w.caller, ref, newEC()); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	other := vault.Ref{Vault: "demo", Name: "other"}
	if _, err := w.Vaults.CreateCertificate(gone, w.caller, other, newEC()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := w.Vaults.GetCertificate(context.Background(), w.caller, other); err == nil {
		t.Error("it was made all the same")
	}
}

func TestFilesArePrivate(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, options(dir, rootKey(t)))
	defer func() { _ = w.Close() }()
	if info, err := os.Stat(filepath.Join(dir, "store")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
