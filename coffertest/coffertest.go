// Package coffertest gives a Go test a real Coffer server: real tokens, permissions,
// encryption and certificates, in the test's own process, on a clock that the test
// turns by hand.
//
//	func TestMine(t *testing.T) {
//		server := coffertest.New(t)
//		client, err := azcertificates.NewClient(server.VaultURL("demo"), server.Credential(),
//			&azcertificates.ClientOptions{ClientOptions: server.ClientOptions()})
//		…
//	}
//
// The server has the public cloud's names, so vaults are at https://NAME.vault.azure.net;
// the HTTP client of the server reaches it there and nothing else. A vault comes into
// being when the owner, whose credential Credential returns, first uses it, and the
// owner may do everything in it. Others are made by NewPrincipal and get what Grant
// gives them.
//
// The clock drives the rules of the vaults: creation times, retention, scheduled
// purges. Tokens and TLS go by the wall clock.
package coffertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"coffer/internal/access"
	"coffer/internal/audit"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/server"
	"coffer/internal/tenant"
	"coffer/internal/vault"
)

// A Server is a Coffer in a test. It ends with the test.
type Server struct {
	t         testing.TB
	core      *server.Core
	authority *pki.Authority
	client    *http.Client
	owner     Principal
	audit     *lockedBuffer

	mu  sync.Mutex
	now time.Time
}

// A Principal is an application that can sign in.
type Principal struct {
	AppID    string // client id
	ObjectID string // what permissions are given to
	Secret   string
	server   *Server
}

// An Option changes a server that New starts.
type Option func(*server.Options)

// AttestationAuthority lets keys be released for environments that the authority at an https
// URL attests. The file has the authorities of its TLS certificate, PEM; empty: the system's.
func AttestationAuthority(url, caFile string) Option {
	return func(o *server.Options) {
		o.AttestationAuthorities = append(o.AttestationAuthorities, server.IssuerConfig{URL: url, CAFile: caFile})
	}
}

// New starts a server with an empty store.
func New(t testing.TB, change ...Option) *Server {
	t.Helper()
	s := &Server{t: t, now: time.Now().UTC().Truncate(time.Second), audit: &lockedBuffer{}}
	root, err := seal.NewRootKey(rand.Reader)
	s.check(err)
	options := server.Options{
		StorePath: filepath.Join(t.TempDir(), "coffer.db"), Ephemeral: true, Create: true, Root: root, Sink: s.audit,
		Now: s.Now, Log: slog.New(slog.NewTextHandler(&testWriter{t: t}, &slog.HandlerOptions{Level: slog.LevelError})),
		Names: server.PublicNames(), FirstTouch: true,
	}
	for _, fn := range change {
		fn(&options)
	}
	s.core, err = server.Open(context.Background(), options)
	s.check(err)
	s.owner = s.NewPrincipal("owner")
	s.check(s.core.Tenant.EnsureAdministrator(context.Background(), s.owner.ObjectID))
	s.check(s.core.Tenant.EnsureAssignment(context.Background(), s.owner.ObjectID, tenant.RoleOwner, "/"))
	s.core.Own(tenant.Application{AppID: s.owner.AppID, ObjectID: s.owner.ObjectID})
	s.core.Start()
	s.listen()
	return s
}

func (s *Server) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("coffertest: %v", err)
	}
}

// listen serves on a free port of the loopback interface until the test ends.
func (s *Server) listen() {
	var err error
	s.authority, err = pki.NewAuthority(time.Now(), 24*time.Hour, nil)
	s.check(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.check(err)
	front := &http.Server{
		Handler: s.core.Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.authority.Leaf(strings.ToLower(hello.ServerName), time.Now())
		}},
	}
	go func() { _ = front.ServeTLS(listener, "", "") }()
	s.client = s.newClient(listener.Addr().String())
	s.t.Cleanup(func() {
		s.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := front.Shutdown(ctx); err != nil {
			s.t.Errorf("coffertest: requests are still under way: %v", err)
		}
		if err := s.core.Close(); err != nil {
			s.t.Errorf("coffertest: %v", err)
		}
	})
}

func (s *Server) newClient(address string) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(s.authority.Certificate())
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 16,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			},
		},
	}
}

// HTTPClient reaches the server under all of its names, and nothing else.
func (s *Server) HTTPClient() *http.Client { return s.client }

// ClientOptions are for the clients of the official SDK.
func (s *Server) ClientOptions() azcore.ClientOptions {
	return azcore.ClientOptions{Transport: s.client, Retry: policy.RetryOptions{MaxRetries: -1}}
}

// VaultURL is the address of the vault with the name.
func (s *Server) VaultURL(name string) string { return "https://" + name + ".vault.azure.net" }

// TenantID is the tenant of all principals.
func (s *Server) TenantID() string { return s.core.Tenant.TenantID() }

// Owner is the principal whose first request makes a vault.
func (s *Server) Owner() Principal { return s.owner }

// Credential is the owner's.
func (s *Server) Credential() azcore.TokenCredential { return s.owner.Credential() }

// Now is the time on the server's clock.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Turn turns the clock ahead and returns when everything that became due is done.
func (s *Server) Turn(d time.Duration) {
	s.t.Helper()
	s.mu.Lock()
	s.now = s.now.Add(d)
	s.mu.Unlock()
	s.Settle()
}

// Settle returns when everything that is due is done.
func (s *Server) Settle() {
	s.t.Helper()
	s.check(s.core.Vaults.Settle(context.Background()))
}

// NewPrincipal makes an application that has no permission anywhere.
func (s *Server) NewPrincipal(name string) Principal {
	s.t.Helper()
	app, secret, err := s.core.Tenant.CreateApplication(context.Background(), name)
	s.check(err)
	return Principal{AppID: app.AppID, ObjectID: app.ObjectID, Secret: secret, server: s}
}

// Remove removes an application; its tokens are refused from then on.
func (s *Server) Remove(p Principal) {
	s.t.Helper()
	s.check(s.core.Tenant.RemoveApplication(context.Background(), p.AppID))
}

// A VaultOption changes a vault that NewVault makes.
type VaultOption func(*vault.Vault)

// WithRetention sets how many days deleted objects can be recovered, 7 to 90.
func WithRetention(days int) VaultOption { return func(v *vault.Vault) { v.RetentionDays = days } }

// WithPurgeProtection lets nobody purge.
func WithPurgeProtection() VaultOption { return func(v *vault.Vault) { v.PurgeProtection = true } }

// NewVault makes a vault in which nobody may do anything yet.
func (s *Server) NewVault(name string, options ...VaultOption) {
	s.t.Helper()
	v := vault.Vault{Name: name, TenantID: s.TenantID()}
	for _, option := range options {
		option(&v)
	}
	s.check(s.core.Vaults.CreateVault(context.Background(), v))
}

// Grant gives a principal exactly these permissions in a vault, written as
// "certificates/get"; without any it takes all away. A vault that does not exist is
// made. It is in force for the next request.
func (s *Server) Grant(vaultName string, p Principal, permissions ...string) {
	s.t.Helper()
	entry := access.Policy{TenantID: s.TenantID(), ObjectID: p.ObjectID}
	for _, permission := range permissions {
		collection, verb, _ := strings.Cut(permission, "/")
		switch collection {
		case "certificates":
			entry.Certificates = append(entry.Certificates, verb)
		case "keys":
			entry.Keys = append(entry.Keys, verb)
		case "secrets":
			entry.Secrets = append(entry.Secrets, verb)
		default:
			s.t.Fatalf("coffertest: %q is no permission; write it as certificates/get", permission)
		}
	}
	if _, err := s.core.Vaults.GetVault(context.Background(), vaultName); err != nil {
		s.NewVault(vaultName)
	}
	s.check(s.core.Vaults.SetPolicy(context.Background(), vaultName, entry))
}

// AuditLog returns what the server has written to its audit log.
func (s *Server) AuditLog() string { return s.audit.String() }

// Credential signs in as the principal.
func (p Principal) Credential() azcore.TokenCredential { return credential{p} }

type credential struct{ principal Principal }

// GetToken asks the server's own token endpoint.
func (c credential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	p := c.principal
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {p.AppID}, "client_secret": {p.Secret}, "scope": {strings.Join(o.Scopes, " ")}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://login.microsoftonline.com/"+p.server.TenantID()+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return azcore.AccessToken{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := p.server.client.Do(request)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	defer response.Body.Close()
	var body struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&body); err != nil {
		return azcore.AccessToken{}, err
	}
	if body.AccessToken == "" {
		return azcore.AccessToken{}, fmt.Errorf("coffertest: no token: %s", body.Description)
	}
	return azcore.AccessToken{Token: body.AccessToken, ExpiresOn: time.Now().Add(time.Duration(body.ExpiresIn) * time.Second)}, nil
}

// lockedBuffer is an audit sink in memory.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Append(line []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := b.buffer.Write(line)
	return err
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func (b *lockedBuffer) Sync() error               { return nil }
func (b *lockedBuffer) Tail() (audit.Tail, error) { return audit.Tail{}, nil }
func (b *lockedBuffer) Close() error              { return nil }

// testWriter shows the server's errors in the test's log.
type testWriter struct{ t testing.TB }

func (w *testWriter) Write(p []byte) (int, error) {
	w.t.Helper()
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
