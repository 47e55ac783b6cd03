package server_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/audit"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/server"
	"coffer/internal/store"
	"coffer/internal/store/storetest"
	"coffer/internal/tenant"
	"coffer/internal/vault"
)

// A world is a core over a store that can be made to fail, and a caller who may do
// everything.
type world struct {
	*server.Core
	faulty *storetest.Faulty
	caller access.Caller
}

var app = tenant.Application{AppID: "11111111-1111-4111-8111-111111111111", ObjectID: "22222222-2222-4222-8222-222222222222"}

func options(dir string, root seal.RootKey) server.Options {
	return server.Options{
		StorePath: filepath.Join(dir, "store"), Create: true, Root: root, Sink: audit.Discard{},
		Log: slog.New(slog.DiscardHandler), Names: server.PublicNames(), FirstTouch: true,
	}
}

func newWorld(t testing.TB, o server.Options) *world {
	t.Helper()
	w := &world{}
	o.Wrap = func(s store.Store) store.Store { w.faulty = &storetest.Faulty{Store: s}; return w.faulty }
	core, err := server.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	w.Core = core
	if err := core.Tenant.EnsureApplication(context.Background(), app, "secret"); err != nil {
		t.Fatal(err)
	}
	core.Own(app)
	w.caller = access.Caller{TenantID: core.Tenant.TenantID(), ObjectID: app.ObjectID, AppID: app.AppID}
	return w
}

func rootKey(t testing.TB) seal.RootKey {
	t.Helper()
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

var ref = vault.Ref{Vault: "demo", Name: "web"}

func ptr[T any](v T) *T { return &v }

func newEC() vault.NewCertificate {
	return vault.NewCertificate{Policy: &vault.PolicyInput{
		Key: &vault.KeyInput{Kty: ptr("EC")}, X509: &vault.X509Input{Subject: ptr("CN=web")},
		Issuer: &vault.IssuerInput{Name: ptr("Self")}, Secret: &vault.SecretInput{ContentType: ptr(vault.ContentTypePEM)},
	}}
}

// A step is something that a caller does, and the state that its acknowledgement
// promises.
type step struct {
	name     string
	run      func() error
	promises string
}

// The steps of a certificate's life, and what an acknowledgement of each promises.
func (w *world) steps() []step {
	ctx := context.Background()
	create := func() error { _, err := w.Vaults.CreateCertificate(ctx, w.caller, ref, newEC()); return err }
	settle := func() error {
		if err := w.Vaults.Settle(ctx); err != nil {
			return err
		}
		op, err := w.Vaults.GetCertificateOperation(ctx, w.caller, ref, "")
		if err == nil && !op.Completed() {
			err = errors.New("the operation did not complete: " + op.Status)
		}
		return err
	}
	return []step{
		{"create", create, "live"},
		{"settle", settle, ""},
		{"create again", create, "live"},
		{"settle", settle, ""},
		{"delete", func() error { _, err := w.Vaults.DeleteCertificate(ctx, w.caller, ref); return err }, "deleted"},
		{"recover", func() error { _, err := w.Vaults.RecoverDeletedCertificate(ctx, w.caller, ref); return err }, "live"},
		{"delete", func() error { _, err := w.Vaults.DeleteCertificate(ctx, w.caller, ref); return err }, "deleted"},
		{"purge", func() error { return w.Vaults.PurgeDeletedCertificate(ctx, w.caller, ref) }, "gone"},
	}
}

// changes are the other ways to change a certificate, beginning without one.
func (w *world) changes() []step {
	ctx := context.Background()
	var blob, pem string
	create := func(issuer string) func() error {
		return func() error {
			in := newEC()
			in.Policy.Issuer.Name = &issuer
			if _, err := w.Vaults.CreateCertificate(ctx, w.caller, ref, in); err != nil {
				return err
			}
			return w.Vaults.Settle(ctx)
		}
	}
	return []step{
		{"create", create("self"), "live"},
		{"backup", func() (err error) { blob, err = w.Vaults.BackupCertificate(ctx, w.caller, ref); return err }, ""},
		{"update", func() error {
			_, err := w.Vaults.UpdateCertificate(ctx, w.caller, ref, vault.CertificateUpdate{Tags: &map[string]string{"a": "b"}})
			return err
		}, "live"},
		{"policy", func() error {
			_, _, err := w.Vaults.UpdateCertificatePolicy(ctx, w.caller, ref, vault.PolicyInput{Enabled: ptr(true)})
			return err
		}, "live"},
		{"export", func() error {
			secret, err := w.Vaults.GetSecret(ctx, w.caller, ref)
			pem = secret.Value
			return err
		}, ""},
		{"pending", create("unknown"), "live"},
		{"cancel", func() error {
			_, err := w.Vaults.UpdateCertificateOperation(ctx, w.caller, ref, "", ptr(true))
			return err
		}, "live"},
		{"merge", func() error {
			op, err := w.Vaults.GetCertificateOperation(ctx, w.caller, ref, "")
			if err != nil {
				return err
			}
			_, err = w.Vaults.MergeCertificate(ctx, w.caller, ref, vault.Merge{Chain: [][]byte{sign(op.CSR)}})
			return err
		}, "live"},
		{"forget", func() error {
			_, err := w.Vaults.DeleteCertificateOperation(ctx, w.caller, ref, "")
			return err
		}, "live"},
		{"import", func() error {
			_, err := w.Vaults.ImportCertificate(ctx, w.caller, ref, vault.Import{Value: pem})
			return err
		}, "live"},
		{"delete", func() error { _, err := w.Vaults.DeleteCertificate(ctx, w.caller, ref); return err }, "deleted"},
		{"purge", func() error { return w.Vaults.PurgeDeletedCertificate(ctx, w.caller, ref) }, "gone"},
		{"restore", func() error { _, err := w.Vaults.RestoreCertificate(ctx, w.caller, ref.Vault, blob); return err }, "live"},
		{"contacts", func() error {
			if err := w.Vaults.SetCertificateContacts(ctx, w.caller, ref.Vault, &[]vault.Contact{{Email: ptr("a@example.com")}}); err != nil {
				return err
			}
			_, err := w.Vaults.DeleteCertificateContacts(ctx, w.caller, ref.Vault)
			return err
		}, "live"},
		{"issuer", func() error {
			if _, err := w.Vaults.SetCertificateIssuer(ctx, w.caller, ref, vault.IssuerChange{Provider: ptr("Test")}); err != nil {
				return err
			}
			_, err := w.Vaults.DeleteCertificateIssuer(ctx, w.caller, ref)
			return err
		}, "live"},
	}
}

// objects are the ways to change a secret and a key. What they promise is looked at by
// themselves, at the end.
func (w *world) objects() []step {
	ctx := context.Background()
	s, k := vault.Ref{Vault: "demo", Name: "s"}, vault.Ref{Vault: "demo", Name: "k"}
	var blob, keyBlob string
	set := func(value string) func() error {
		return func() error {
			got, err := w.Vaults.SetSecret(ctx, w.caller, s, vault.NewSecret{Value: &value})
			if err == nil && got.Value != value {
				err = errors.New("another value was set")
			}
			return err
		}
	}
	return []step{
		{"set", set("1"), ""}, {"set again", set("2"), ""},
		{"update", func() error {
			_, err := w.Vaults.UpdateSecret(ctx, w.caller, s, vault.SecretUpdate{Tags: &map[string]string{"a": "b"}})
			return err
		}, ""},
		{"back up", func() (err error) { blob, err = w.Vaults.BackupSecret(ctx, w.caller, s); return err }, ""},
		{"delete", func() error { _, err := w.Vaults.DeleteSecret(ctx, w.caller, s); return err }, ""},
		{"recover", func() error { _, err := w.Vaults.RecoverDeletedSecret(ctx, w.caller, s); return err }, ""},
		{"delete", func() error { _, err := w.Vaults.DeleteSecret(ctx, w.caller, s); return err }, ""},
		{"purge", func() error { return w.Vaults.PurgeDeletedSecret(ctx, w.caller, s) }, ""},
		{"restore", func() error { _, err := w.Vaults.RestoreSecret(ctx, w.caller, "demo", blob); return err }, ""},
		{"value", func() error {
			got, err := w.Vaults.GetSecret(ctx, w.caller, s)
			if err == nil && got.Value != "2" {
				err = errors.New("the value was lost: " + got.Value)
			}
			return err
		}, ""},
		{"create key", func() error { _, err := w.Vaults.CreateKey(ctx, w.caller, k, vault.NewKey{Kty: "EC"}); return err }, ""},
		{"rotate", func() error { _, err := w.Vaults.RotateKey(ctx, w.caller, k); return err }, ""},
		{"rotation policy", func() error {
			_, err := w.Vaults.UpdateKeyRotationPolicy(ctx, w.caller, k, vault.RotationPolicy{Expiry: "P90D"})
			return err
		}, ""},
		{"back up key", func() (err error) { keyBlob, err = w.Vaults.BackupKey(ctx, w.caller, k); return err }, ""},
		{"delete key", func() error { _, err := w.Vaults.DeleteKey(ctx, w.caller, k); return err }, ""},
		{"purge key", func() error { return w.Vaults.PurgeDeletedKey(ctx, w.caller, k) }, ""},
		{"restore key", func() error { _, err := w.Vaults.RestoreKey(ctx, w.caller, "demo", keyBlob); return err }, ""},
		{"versions", func() error {
			rows, _, err := w.Vaults.ListKeyVersions(ctx, w.caller, k, vault.Page{})
			if err == nil && len(rows) != 2 {
				err = fmt.Errorf("%d versions of the key", len(rows))
			}
			return err
		}, ""},
	}
}

// sign makes a certificate of a CSR, as an authority does.
func sign(csr []byte) []byte {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		panic(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: request.Subject, NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 3, 0)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, request.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return der
}

// Every commit of a certificate's life fails in every way. Whatever the caller was
// told, after a restart an acknowledged step has happened, and there is no certificate
// without its key and its secret.
func TestEveryCommitFails(t *testing.T) {
	for name, steps := range map[string]func(*world) []step{"life": (*world).steps, "changes": (*world).changes, "objects": (*world).objects} {
		commits := life(t, steps, 0, storetest.Lost)
		if commits < 8 {
			t.Fatalf("%s took %d commits only", name, commits)
		}
		for n := 1; n <= commits; n++ {
			for _, fault := range storetest.Faults {
				t.Run(fmt.Sprintf("%s commit %d fault %d", name, n, fault), func(t *testing.T) { life(t, steps, n, fault) })
			}
		}
	}
}

// life runs all steps with the n-th commit failing, stops at the first error, and looks
// at what is there after a restart. It returns how many commits there were.
func life(t *testing.T, steps func(*world) []step, n int, fault storetest.Fault) int {
	t.Helper()
	dir, root := t.TempDir(), rootKey(t)
	w := newWorld(t, options(dir, root))
	before := w.faulty.Commits()
	if n > 0 {
		w.faulty.FailAt(n, fault)
	}
	promised, failed := "", ""
	for _, step := range steps(w) {
		err := step.run()
		if err != nil {
			checkError(t, step.name, err, fault)
			failed = step.name
			break
		}
		if step.promises != "" {
			promised = step.promises
		}
	}
	if n == 0 && failed != "" {
		t.Fatalf("without a fault, %s failed", failed)
	}
	commits := w.faulty.Commits() - before
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = newWorld(t, options(dir, root))
	defer func() { _ = w.Close() }()
	if err := w.Vaults.Settle(context.Background()); err != nil {
		t.Fatal(err)
	}
	state := w.state(t)
	if failed == "" && promised != "" && state != promised {
		t.Errorf("the last acknowledged step promised %q; it is %q", promised, state)
	}
	if failed != "" && state == "gone" && promised != "" && promised != "gone" && failed != "purge" {
		t.Errorf("%s failed, and an acknowledged certificate is gone", failed)
	}
	return commits
}

func checkError(t *testing.T, step string, err error, fault storetest.Fault) {
	t.Helper()
	var coded *vault.Error
	switch {
	case fault == storetest.RunAgain || fault == storetest.LostAgain:
		t.Errorf("%s: a commit that was run again failed: %v", step, err)
	case fault == storetest.Kept && !(errors.As(err, &coded) && coded.Code == vault.CodeUnavailable):
		t.Errorf("%s: an unknown outcome was reported as %v", step, err)
	case fault == storetest.Lost && !errors.Is(err, storetest.ErrLost):
		t.Errorf("%s: %v", step, err)
	}
}

// state looks at the certificate, and at its key and secret when it was issued.
func (w *world) state(t *testing.T) string {
	t.Helper()
	ctx := context.Background()
	if _, err := w.Vaults.GetDeletedCertificate(ctx, w.caller, ref); err == nil {
		if _, err := w.Vaults.GetCertificate(ctx, w.caller, ref); err == nil {
			t.Error("live and deleted")
		}
		return "deleted"
	}
	versions, _, err := w.Vaults.ListCertificateVersions(ctx, w.caller, ref, vault.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		at := vault.Ref{Vault: ref.Vault, Name: ref.Name, Version: v.Version}
		key, err := w.Vaults.GetKey(ctx, w.caller, at)
		secret, err2 := w.Vaults.GetSecret(ctx, w.caller, at)
		if err != nil || err2 != nil || key.Version != v.Version || secret.Version != v.Version {
			t.Errorf("version %s: key %v, secret %v", v.Version, err, err2)
		}
		if kt, err := pki.TypeOf(key.Public); err != nil || kt.Kty != "EC" || !strings.Contains(secret.Value, "PRIVATE KEY") {
			t.Errorf("version %s is not whole", v.Version)
		}
	}
	c, err := w.Vaults.GetCertificate(ctx, w.caller, ref)
	var coded *vault.Error
	switch {
	case err == nil && c.Issued() && len(versions) > 0:
		return "live"
	case err == nil:
		return "unissued"
	case errors.As(err, &coded) && coded.Code == vault.CodeCertificateNotFound && len(versions) == 0:
		return "gone"
	}
	t.Fatalf("%v, %d versions", err, len(versions))
	return ""
}

func TestWrongRootKeyChangesNothing(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, options(dir, rootKey(t)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, "store"))
	if _, err := server.Open(context.Background(), options(dir, rootKey(t))); !errors.Is(err, seal.ErrRootKey) {
		t.Errorf("%v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, "store")); string(after) != string(before) {
		t.Error("the store was changed")
	}
}

func TestFullDisk(t *testing.T) {
	o := options(t.TempDir(), rootKey(t))
	o.MaxStore = 512 << 10
	w := newWorld(t, o)
	defer func() { _ = w.Close() }()
	ctx := context.Background()
	var failed error
	made := 0
	for ; failed == nil && made < 500; made++ {
		_, failed = w.Vaults.CreateCertificate(ctx, w.caller, vault.Ref{Vault: "demo", Name: fmt.Sprintf("c%d", made)}, newEC())
	}
	if failed == nil {
		t.Fatal("the disk never became full")
	}
	if _, err := w.Vaults.GetCertificate(ctx, w.caller, vault.Ref{Vault: "demo", Name: "c0"}); err != nil {
		t.Errorf("reading a full store: %v", err)
	}
	_, err := w.Vaults.GetCertificate(ctx, w.caller, vault.Ref{Vault: "demo", Name: fmt.Sprintf("c%d", made-1)})
	if coded := (*vault.Error)(nil); !errors.As(err, &coded) || coded.Code != vault.CodeCertificateNotFound {
		t.Errorf("the refused certificate is there: %v", err)
	}
}

// TestMain runs the child of TestKill or TestMigrate when it is asked to.
func TestMain(m *testing.M) {
	if dir := os.Getenv("COFFER_TEST_CHILD"); dir != "" {
		child(dir)
	}
	if text := os.Getenv("COFFER_TEST_MIGRATE"); text != "" {
		migrateChild(text)
	}
	os.Exit(m.Run())
}

const childKey = "coffer-root-key-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

func childOptions(dir string) server.Options {
	path := filepath.Join(dir, "root.key")
	if _, err := os.Stat(path); err != nil {
		if err := os.WriteFile(path, []byte(childKey+"\n"), 0o600); err != nil {
			panic(err)
		}
	}
	root, err := seal.ReadRootKeyFile(path)
	if err != nil {
		panic(err)
	}
	return options(dir, root)
}

// child makes and deletes certificates until it is killed, and says what it was told.
func child(dir string) {
	t := &fatal{}
	w := newWorld(t, childOptions(dir))
	w.Start()
	ctx := context.Background()
	for i := 0; ; i++ {
		at := vault.Ref{Vault: "demo", Name: fmt.Sprintf("c%d-%d", os.Getpid(), i)}
		if _, err := w.Vaults.CreateCertificate(ctx, w.caller, at, newEC()); err != nil {
			panic(err)
		}
		fmt.Println("live", at.Name, ".")
		if i%3 != 0 {
			continue
		}
		if _, err := w.Vaults.DeleteCertificate(ctx, w.caller, at); err != nil {
			panic(err)
		}
		fmt.Println("deleted", at.Name, ".")
	}
}

// fatal is a testing.TB for the child.
type fatal struct{ testing.TB }

func (*fatal) Helper()           {}
func (*fatal) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// After kill -9 at any moment, what was acknowledged is there, whole.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	told := map[string]string{}
	for round := range 8 {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), "COFFER_TEST_CHILD="+dir)
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		command.Stderr = os.Stderr
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if fields := strings.Fields(lines.Text()); len(fields) == 3 {
				told[fields[1]] = fields[0]
			}
			if n == 2+round*3 {
				_ = command.Process.Kill()
			}
		}
		_ = command.Wait()
	}
	w := newWorld(t, childOptions(dir))
	defer func() { _ = w.Close() }()
	w.Start()
	if len(told) < 20 {
		t.Fatalf("only %d certificates were acknowledged", len(told))
	}
	for name, state := range told {
		w.checkAfterKill(t, vault.Ref{Vault: "demo", Name: name}, state)
	}
}

func (w *world) checkAfterKill(t *testing.T, at vault.Ref, told string) {
	t.Helper()
	ctx := context.Background()
	if _, err := w.Vaults.GetDeletedCertificate(ctx, w.caller, at); err == nil {
		return // told, or killed before it could be told
	} else if told == "deleted" {
		t.Errorf("%s was told to be deleted: %v", at.Name, err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		op, err := w.Vaults.GetCertificateOperation(ctx, w.caller, at, "")
		if err != nil || time.Now().After(deadline) {
			t.Errorf("%s: %+v, %v", at.Name, op.Status, err)
			return
		}
		if op.Completed() {
			break
		}
		w.Vaults.Kick()
	}
	secret, err := w.Vaults.GetSecret(ctx, w.caller, at)
	c, err2 := w.Vaults.GetCertificate(ctx, w.caller, at)
	if err != nil || err2 != nil || secret.Version != c.Version || !strings.Contains(secret.Value, base64.StdEncoding.EncodeToString(c.CER)[:48]) {
		t.Errorf("%s is not whole: %v, %v", at.Name, err, err2)
	}
}
