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
	Identity string   // how a managed identity is offered: IdentityIMDS and so on; empty: none is
	Attest   []string // URLs of the attestation authorities for which keys are released
	Assert   []string // URLs of the issuers by whose tokens applications can sign in
	Environ  []string // the inherited environment
	Access   func(httpd.Access)
	Log      *slog.Logger
}

// The ways in which the program can find its managed identity: like one in a virtual
// machine, in App Service, and in Cloud Shell.
const (
	IdentityIMDS       = "imds"
	IdentityAppService = "appservice"
	IdentityCloudShell = "cloudshell"
)

// developer is the user for whom every device code is approved at once.
const developer = "developer@coffer.local"

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
	if err := r.ensureDeveloper(ctx, options.Root); err != nil {
		return err
	}
	r.core.Start()
	credential, err := randomText()
	if err != nil {
		return err
	}
	if r.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("the proxy needs a port of the loopback interface: %w", err)
	}
	if r.proxy, err = r.newProxy(d, authority, credential, app, env); err != nil {
		return err
	}
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

// ensureDeveloper makes the user who signs in by a device code, which is what the
// command-line tool does by itself where there is no browser.
func (r *Run) ensureDeveloper(ctx context.Context, root seal.RootKey) error {
	id, err := derivedID(root, "run user object id")
	if err != nil {
		return err
	}
	user := tenant.User{ID: id, Name: developer, DisplayName: "Developer"}
	if err := r.core.Tenant.EnsureUser(ctx, user, true); err != nil {
		return err
	}
	r.core.Own(tenant.Application{ObjectID: id})
	return r.core.Tenant.EnsureAssignment(ctx, id, tenant.RoleOwner, "/")
}

// newProxy also tells the program where its managed identity is, if that has an address.
func (r *Run) newProxy(d Development, authority *pki.Authority, credential string, app tenant.Application, env *proxy.Env) (*proxy.Proxy, error) {
	metadata := &entra.Metadata{Tenant: r.core.Tenant, Log: d.Log}
	config := proxy.Config{
		Credential: credential, Authority: authority, Serves: r.core.Options.Names.Serves, Handler: r.core.Handler(),
		Metadata: r.core.Guard(metadata), Upstream: upstream(d.Environ), Log: d.Log,
	}
	secret, err := randomText()
	if err != nil {
		return nil, err
	}
	here := "http://" + r.listener.Addr().String()
	switch d.Identity {
	case "":
	case IdentityIMDS:
		metadata.Identity = &app
	case IdentityAppService:
		config.Local = entra.NewAppService(secret, r.core.Guard(&entra.Metadata{Tenant: r.core.Tenant, Log: d.Log, Identity: &app, Form: entra.AppService}))
		env.IdentityEndpoint, env.IdentityHeader = here+entra.IdentityPath, secret
	case IdentityCloudShell:
		config.Local = entra.NewCloudShell(secret, r.core.Guard(&entra.Metadata{Tenant: r.core.Tenant, Log: d.Log, Identity: &app, Form: entra.CloudShell}))
		env.MSIEndpoint = here + entra.CloudShellPath(secret)
	default:
		return nil, fmt.Errorf("a managed identity is offered as %s, %s or %s, not as %q", IdentityIMDS, IdentityAppService, IdentityCloudShell, d.Identity)
	}
	return proxy.New(config), nil
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
	o := Options{Create: true, OwnProcess: true, Log: d.Log, Names: PublicNames(), FirstTouch: !d.Strict, Access: d.Access, DeviceUser: developer}
	for _, url := range d.Attest {
		o.AttestationAuthorities = append(o.AttestationAuthorities, IssuerConfig{URL: url})
	}
	for _, url := range d.Assert {
		o.AssertionIssuers = append(o.AssertionIssuers, IssuerConfig{URL: url})
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
		var err error
		if *id, err = derivedID(root, purpose); err != nil {
			return app, "", err
		}
	}
	secret, err := root.Derive("run client secret", 32)
	return app, "r" + base64.RawURLEncoding.EncodeToString(secret), err // tools take what begins with a hyphen for an option
}

func derivedID(root seal.RootKey, purpose string) (string, error) {
	derived, err := root.Derive(purpose, 16)
	if err != nil {
		return "", err
	}
	id, err := uuid.NewRandomFromReader(bytes.NewReader(derived))
	return id.String(), err
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
