package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/http/httpproxy"

	"coffer/internal/audit"
	"coffer/internal/entra"
	"coffer/internal/httpd"
	"coffer/internal/pki"
	"coffer/internal/proxy"
	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/tenant"
)

// A Development is what `coffer run` puts around a program.
type Development struct {
	Scratch  string   // a private directory that ends with the run
	Data     string   // where vaults are kept between runs; empty: they end with the run
	Strict   bool     // no vault comes into being by being used
	Identity bool     // offer a managed identity
	Attest   []string // URLs of the attestation authorities for which keys are released
	Environ  []string // the inherited environment
	Access   func(httpd.Access)
	Log      *slog.Logger
}

// A Run is a Coffer behind its proxy.
type Run struct {
	core     *Core
	proxy    *proxy.Proxy
	environ  []string
	listener net.Listener
}

// The files in a directory of kept vaults.
const (
	configFile  = "coffer.yaml" // of coffer serve
	rootKeyFile = "root.key"
	storeFile   = "coffer.db"
	auditFile   = "audit.log"
	azureDir    = "azure"
)

// Develop starts a Coffer with the names of the public cloud, and the proxy by which a
// program reaches it.
func Develop(ctx context.Context, d Development) (*Run, error) {
	files := make(chan error, 1)
	authority, err := pki.NewAuthority(time.Now(), 30*24*time.Hour, proxy.Domains())
	if err != nil {
		return nil, err
	}
	env := proxy.Env{}
	go func() { // while the store opens
		var err error
		env.Files, err = proxy.WriteFiles(d.Scratch, d.Environ, authority.PEM())
		files <- err
	}()
	run := &Run{}
	err = run.start(ctx, d, authority, &env)
	if err = errors.Join(err, <-files); err != nil {
		return nil, errors.Join(err, run.Close())
	}
	run.environ = proxy.Environ(d.Environ, env)
	return run, nil
}

// start opens the core and the proxy. Of env it sets everything but the files.
func (r *Run) start(ctx context.Context, d Development, authority *pki.Authority, env *proxy.Env) error {
	options, err := d.options()
	if err != nil {
		return err
	}
	if r.core, err = Open(ctx, options); err != nil {
		return explainOpen(d, err)
	}
	app, secret, err := runPrincipal(options.Root)
	if err != nil {
		return err
	}
	if err := r.core.Tenant.EnsureApplication(ctx, app, secret); err != nil {
		return err
	}
	if err := administer(ctx, r.core.Tenant, app); err != nil {
		return err
	}
	r.core.Own(app)
	r.core.Start()
	credential, err := randomText()
	if err != nil {
		return err
	}
	if r.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("the proxy needs a port of the loopback interface: %w", err)
	}
	r.proxy = r.newProxy(d, authority, credential, app)
	go func() {
		if err := r.proxy.Serve(r.listener); err != nil {
			d.Log.Error("the proxy stopped", "error", err)
		}
	}()
	env.Proxy, env.Address = r.proxy.URL(r.listener.Addr()), r.listener.Addr()
	env.TenantID, env.ClientID, env.Secret = r.core.Tenant.TenantID(), app.AppID, secret
	env.ConfigDir, err = d.configDir()
	return err
}

// administer lets an application administer the directory and all resources.
func administer(ctx context.Context, t *tenant.Service, app tenant.Application) error {
	if err := t.EnsureAdministrator(ctx, app.ObjectID); err != nil {
		return err
	}
	return t.EnsureAssignment(ctx, app.ObjectID, tenant.RoleOwner, "/")
}

func (r *Run) newProxy(d Development, authority *pki.Authority, credential string, app tenant.Application) *proxy.Proxy {
	metadata := &entra.Metadata{Tenant: r.core.Tenant, Log: d.Log}
	if d.Identity {
		metadata.Identity = &app
	}
	return proxy.New(proxy.Config{
		Credential: credential, Authority: authority, Serves: r.core.Options.Names.Serves, Handler: r.core.Handler(),
		Metadata: r.core.Guard(metadata), Upstream: upstream(d.Environ), Log: d.Log,
	})
}

// upstream finds the proxy that was configured before.
func upstream(environ []string) func(*url.URL) (*url.URL, error) {
	first := func(names ...string) string {
		for _, name := range names {
			if value := proxy.Lookup(environ, name); value != "" {
				return value
			}
		}
		return ""
	}
	config := httpproxy.Config{
		HTTPProxy:  first("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
		HTTPSProxy: first("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), NoProxy: first("NO_PROXY", "no_proxy"),
	}
	return config.ProxyFunc()
}

// options are those of the core. A run that keeps nothing has its root key in memory
// only, and a store without a name.
func (d Development) options() (Options, error) {
	if _, err := os.Stat(filepath.Join(d.Data, configFile)); err == nil && d.Data != "" {
		return Options{}, fmt.Errorf("%s is an installation of coffer serve: name another directory, so that no development application comes into it", d.Data)
	}
	o := Options{Create: true, OwnProcess: true, Log: d.Log, Names: PublicNames(), FirstTouch: !d.Strict, Access: d.Access}
	for _, url := range d.Attest {
		o.AttestationAuthorities = append(o.AttestationAuthorities, IssuerConfig{URL: url})
	}
	var err error
	if d.Data == "" {
		o.StorePath, o.Ephemeral, o.Sink = filepath.Join(d.Scratch, storeFile), true, audit.Discard{}
		o.Root, err = seal.NewRootKey(rand.Reader)
		return o, err
	}
	if err := os.MkdirAll(d.Data, 0o700); err != nil {
		return o, err
	}
	o.StorePath = filepath.Join(d.Data, storeFile)
	if o.Root, err = keptRootKey(d.Data); err != nil {
		return o, err
	}
	o.Sink, err = audit.OpenFile(filepath.Join(d.Data, auditFile))
	return o, err
}

// keptRootKey reads the root key of kept vaults, or makes it for a new directory. A
// store without its key is left alone.
func keptRootKey(dir string) (seal.RootKey, error) {
	path := filepath.Join(dir, rootKeyFile)
	_, noKey := os.Stat(path)
	_, noStore := os.Stat(filepath.Join(dir, storeFile))
	if errors.Is(noKey, os.ErrNotExist) && errors.Is(noStore, os.ErrNotExist) {
		root, err := seal.NewRootKey(rand.Reader)
		if err != nil {
			return root, err
		}
		if err := seal.WriteRootKeyFile(path, root); err != nil {
			return root, err
		}
	}
	return seal.ReadRootKeyFile(path)
}

// explainOpen says what to do about a directory that another run has.
func explainOpen(d Development, err error) error {
	if errors.Is(err, store.ErrLocked) {
		return fmt.Errorf("another coffer run uses %s: start your program inside that run (for example from a shell that it runs), or stop it first: %w", d.Data, err)
	}
	return err
}

// configDir is where the command-line tool keeps its tokens: apart from the user's own.
func (d Development) configDir() (string, error) {
	dir := filepath.Join(d.Scratch, azureDir)
	if d.Data != "" {
		dir = filepath.Join(d.Data, azureDir)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// runPrincipal derives the run's principal from the root key, so that it is the same
// in every run on kept vaults and is stored nowhere.
func runPrincipal(root seal.RootKey) (tenant.Application, string, error) {
	app := tenant.Application{DisplayName: "coffer run"}
	for purpose, id := range map[string]*string{"run application id": &app.AppID, "run object id": &app.ObjectID} {
		derived, err := root.Derive(purpose, 16)
		if err != nil {
			return app, "", err
		}
		made, err := uuid.NewRandomFromReader(bytes.NewReader(derived))
		if err != nil {
			return app, "", err
		}
		*id = made.String()
	}
	secret, err := root.Derive("run client secret", 32)
	return app, "r" + base64.RawURLEncoding.EncodeToString(secret), err // tools take what begins with a hyphen for an option
}

func randomText() (string, error) {
	random := make([]byte, 32)
	_, err := rand.Read(random)
	return base64.RawURLEncoding.EncodeToString(random), err
}

// Environ is the environment of the program.
func (r *Run) Environ() []string { return r.environ }

// Close ends the proxy and the core.
func (r *Run) Close() error {
	var errs []error
	if r.proxy != nil {
		errs = append(errs, r.proxy.Close())
	}
	if r.listener != nil {
		if err := r.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if r.core != nil {
		errs = append(errs, r.core.Close())
	}
	return errors.Join(errs...)
}
