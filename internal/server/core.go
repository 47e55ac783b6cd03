// Package server puts the rooms together and starts and stops them. It is the only
// place that names a concrete store, issuer or root key, and the only one that knows
// which host leads to which door.
//
// A Core is everything but the listeners: Open makes it, Handler is its front, Run does
// its due work, Close ends it. Serve puts a Core behind a TLS listener on its own
// domain; Develop puts one behind the proxy of `coffer run`.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"coffer/internal/access"
	"coffer/internal/arm"
	"coffer/internal/audit"
	"coffer/internal/dataplane"
	"coffer/internal/entra"
	"coffer/internal/gate"
	"coffer/internal/graph"
	"coffer/internal/httpd"
	"coffer/internal/idle"
	"coffer/internal/issuer"
	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/store/bolt"
	"coffer/internal/store/postgres"
	"coffer/internal/tenant"
	"coffer/internal/vault"
)

// keyQueue is how many requests may wait for a key pair.
const keyQueue = 256

// soleNode is the name of a node that has no other, as in the audit log.
const soleNode = "local"

// An Options says what a Core is made of.
type Options struct {
	StorePath string          // of the store's file; not used when there is a database
	Postgres  *PostgresConfig // the database, if the store is in one
	Ephemeral bool            // the store ends with the process
	Create    bool            // make the installation if the store is empty
	MaxStore  int             // bound of the store's file, in bytes; zero: the disk

	// Node is the name of this node, of its own among those that have the store at the same
	// time; empty: local.
	Node string
	// Shared says that other nodes may have the store at the same time.
	Shared bool
	// Beat is how often the node of a shared store says that it lives; zero: every second.
	Beat time.Duration

	// Root is the root key, if Seal is nil.
	Root seal.RootKey
	// Seal is what keeps the root key safe; nil: Root is just there.
	Seal seal.Provider
	// PinFile is the path of what coffer seal pin wrote; empty: a store that was put back is
	// not noticed.
	PinFile string
	Sink    audit.Sink
	Now     func() time.Time // of the vaults' rules and jobs; nil: the wall clock
	Log     *slog.Logger
	Names   Names
	// FirstTouch lets the owner's first request make a vault.
	FirstTouch bool
	// OwnProcess says that the process is there for the Core: it may set how many
	// processors Go uses.
	OwnProcess bool
	// RefuseWeakPadding refuses decryption with RSA1_5 and the CBCPAD algorithms.
	RefuseWeakPadding bool
	// RateLimits limits the requests at the data plane.
	RateLimits RateConfig
	// AttestationAuthorities are those that a key's release policy can name.
	AttestationAuthorities []IssuerConfig
	// AssertionIssuers are those by whose tokens applications can sign in.
	AssertionIssuers []IssuerConfig
	// BearerIssuers are those whose access tokens are taken at the doors.
	BearerIssuers []BearerConfig
	// DeviceUser is the name of the user for whom device codes are approved at once; empty: an
	// administrator approves them.
	DeviceUser string
	// Access is told of every answered request; may be nil.
	Access func(httpd.Access)
	// Issuers are the issuers of certificates, by folded name; nil: Self alone.
	Issuers map[string]issuer.Issuer
	// Wrap, when set, stands between the rooms and the store; tests of faults use it.
	Wrap func(store.Store) store.Store
}

// A Core is the rooms, put together.
type Core struct {
	Store   store.Store
	Gate    *gate.Gate
	Tenant  *tenant.Service
	Vaults  *vault.Service
	Options Options

	sealing sealing
	node    *membership // nil: the store is not shared
	handler http.Handler
	drain   drain
	healthy atomic.Bool
	mu      sync.Mutex
	owners  []access.Caller // whose first request makes a vault
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// Open puts a Core together. On an error nothing has been changed, unless the error
// came after the installation was made.
func Open(ctx context.Context, o Options) (*Core, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Node == "" {
		o.Node = soleNode
	}
	if o.Issuers == nil {
		o.Issuers = map[string]issuer.Issuer{"self": issuer.Self{}}
	}
	opened, err := o.openStore(ctx)
	if err != nil {
		if o.Sink != nil {
			err = errors.Join(err, o.Sink.Close())
		}
		return nil, err
	}
	c := &Core{Store: opened, Options: o}
	if o.Wrap != nil {
		c.Store = o.Wrap(opened)
	}
	c.Store = &fence{Store: c.Store, reload: c.reloadKeys}
	if err := c.assemble(ctx); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// openStore opens the engine that the options name.
func (o Options) openStore(ctx context.Context) (store.Store, error) {
	if o.Postgres == nil {
		return bolt.Open(o.StorePath, bolt.Options{Ephemeral: o.Ephemeral, MaxSize: o.MaxStore})
	}
	options, err := o.Postgres.options()
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, options)
}

func (c *Core) assemble(ctx context.Context) error {
	o := c.Options
	keyring, granter, err := c.unlock(ctx)
	if err != nil {
		return err
	}
	if err := c.checkPin(ctx); err != nil {
		return err
	}
	if o.Shared {
		if c.node, err = join(ctx, c.Store, o.Node, o.Beat); err != nil {
			return err
		}
	}
	if c.Gate, err = gate.Open(ctx, gate.Config{
		Store: c.Store, Keyring: keyring, Granter: granter, Sink: o.Sink, Node: o.Node, Now: time.Now, Log: o.Log,
	}); err != nil {
		return err
	}
	identities := tenant.Config{
		Store: c.Store, Keyring: keyring, Gate: c.Gate, Now: time.Now, Log: o.Log, Issuer: o.Names.Issuer, Resources: o.Names.Resources, DeviceUser: o.DeviceUser,
	}
	if len(o.AssertionIssuers) > 0 {
		verifier, err := newVerifier(o.AssertionIssuers, o.Log)
		if err != nil {
			return fmt.Errorf("the assertion issuers: %w", err)
		}
		identities.Assertions = assertions{verifier}
	}
	if len(o.BearerIssuers) > 0 {
		outside, err := newBearers(o.BearerIssuers, o.Log)
		if err != nil {
			return fmt.Errorf("the bearer issuers: %w", err)
		}
		identities.Bearers, identities.OwnAudiences = outside, o.Names.ownAudiences()
		for _, issuer := range o.BearerIssuers {
			if issuer.Authority != "" {
				c.Options.Names.Authority = func(string) string { return issuer.Authority }
			}
		}
	}
	if c.Tenant, err = tenant.Open(ctx, identities); err != nil {
		return err
	}
	if outside, ok := identities.Bearers.(bearers); ok {
		if err := outside.refuse(c.Tenant.Issuer()); err != nil {
			return err
		}
	}
	config := vault.Config{
		Store: c.Store, Keyring: keyring, Gate: c.Gate, Principals: principals{c.Tenant}, Now: o.Now, Log: o.Log,
		TenantID: c.Tenant.TenantID(), Suffix: o.Names.VaultSuffix, Location: o.Names.Location,
		Issuers: o.Issuers, SoleNode: !o.Shared, Keys: idle.New(runtime.GOMAXPROCS(0), keyQueue), RefuseWeakPadding: o.RefuseWeakPadding,
		Forget: c.Tenant.Forget,
	}
	if len(o.AttestationAuthorities) > 0 {
		verifier, err := newVerifier(o.AttestationAuthorities, o.Log)
		if err != nil {
			return fmt.Errorf("the attestation authorities: %w", err)
		}
		config.Attestations = attestations{verifier}
	}
	if o.OwnProcess {
		config.Keys.AddProcessors()
	}
	if o.FirstTouch {
		config.FirstTouch = c.firstTouch
	}
	if c.Vaults, err = vault.New(config); err != nil {
		return err
	}
	c.handler = c.Guard(c.doors())
	return nil
}

// principals lets the vaults look up a principal without knowing the tenant.
type principals struct{ tenant *tenant.Service }

func (p principals) Look(caller access.Caller) vault.PrincipalLook { return p.tenant.Look(caller) }

// Own names one more principal whose first request makes a vault: an application, or a user,
// who has no AppID.
func (c *Core) Own(app tenant.Application) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owners = append(c.owners, access.Caller{TenantID: c.Tenant.TenantID(), ObjectID: app.ObjectID, AppID: app.AppID})
}

func (c *Core) firstTouch() []access.Caller {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.owners)
}

// doors leads each host to its door.
func (c *Core) doors() http.Handler {
	o := c.Options
	data := dataplane.New(dataplane.Config{
		Vaults: c.Vaults, Auth: c.Tenant, Rejected: c.Gate.Rejected, Suffix: o.Names.VaultSuffix, Audiences: o.Names.VaultAudiences,
		Authority: o.Names.Authority(c.Tenant.TenantID()), Issuer: c.Tenant.Issuer(), Resource: o.Names.VaultResource, Region: o.Names.Location, Log: o.Log,
		Limit: o.RateLimits.limiter(time.Now),
	})
	directory := graph.New(graph.Config{
		Tenant: c.Tenant, Rejected: c.Gate.Rejected, Audiences: o.Names.GraphAudiences, Authority: o.Names.Authority(c.Tenant.TenantID()),
		Domain: o.Names.TenantDomain, Log: o.Log, Now: time.Now,
	})
	login := entra.New(entra.Config{Tenant: c.Tenant, Hosts: o.Names.LoginHosts, Domain: o.Names.TenantDomain, Log: o.Log, Now: time.Now})
	control := arm.New(arm.Config{
		Vaults: c.Vaults, Tenant: c.Tenant, Auth: c.Tenant, Rejected: c.Gate.Rejected, Audiences: o.Names.ControlAudiences, Authority: o.Names.Authority(c.Tenant.TenantID()),
		VaultURI: o.Names.VaultURI, Region: o.Names.Location, Cloud: o.Names.Cloud, Log: o.Log,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := httpd.Host(r)
		switch {
		case c.node.isLost():
			unavailable(w, ErrNodeLost.Error())
		case r.TLS != nil && r.TLS.ServerName != "" && httpd.FoldHost(r.TLS.ServerName) != host:
			misdirected(w, host)
		case o.Names.IsVault(host):
			data.ServeHTTP(w, r)
		case slices.Contains(o.Names.ControlHosts, host):
			control.ServeHTTP(w, r)
		case slices.Contains(o.Names.LoginHosts, host):
			login.ServeHTTP(w, r)
		case slices.Contains(o.Names.GraphHosts, host):
			directory.ServeHTTP(w, r)
		case slices.Contains(o.Names.LegacyHosts, host):
			graph.Legacy(w, r)
		case r.URL.Path == "/healthz" && o.Names.Health:
			c.health(w, r)
		default:
			misdirected(w, host)
		}
	})
}

func misdirected(w http.ResponseWriter, host string) {
	if len(host) > 253 {
		host = host[:253]
	}
	httpd.WriteJSON(w, http.StatusMisdirectedRequest, map[string]map[string]string{
		"error": {"code": "MisdirectedRequest", "message": "This server does not answer for the host " + strings.ToValidUTF8(host, "") + " on this connection."}})
}

// health tells a load balancer, and nobody anything else, whether requests are served.
func (c *Core) health(w http.ResponseWriter, r *http.Request) {
	err := c.Tenant.Ready(r.Context())
	if c.node.isLost() {
		err = ErrNodeLost
	}
	if !c.Gate.Working() {
		err = errors.Join(err, gate.ErrAudit)
	}
	if was := c.healthy.Swap(err == nil); was && err != nil { // once, not with every question
		c.Options.Log.Warn("not ready", "error", err)
	}
	if err != nil {
		httpd.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "unavailable"})
		return
	}
	httpd.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// Handler is the front of all doors.
func (c *Core) Handler() http.Handler { return c.handler }

// Start does due work in the background until Close.
func (c *Core) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.running.Go(func() { c.Vaults.Run(ctx) })
	c.running.Go(func() { c.watchSeal(ctx) })
	if c.node != nil {
		c.running.Go(func() { c.watchNode(ctx) })
	}
}

// Guard puts a door behind the barrier, and lets Close wait for its requests.
func (c *Core) Guard(door http.Handler) http.Handler {
	return &httpd.Barrier{Next: c.drain.guard(door), Log: c.Options.Log, Access: c.Options.Access, Now: time.Now}
}

// Close refuses further requests, waits for the ones under way, ends what runs and
// frees the store.
func (c *Core) Close() error {
	if !c.drain.wait(drainTime) {
		c.Options.Log.Error("requests were still under way when the server stopped")
	}
	if c.cancel != nil {
		c.cancel()
	}
	c.running.Wait()
	return c.close()
}

func (c *Core) close() error {
	var errs []error
	if c.Tenant != nil {
		c.Tenant.Close()
	}
	if c.Gate != nil {
		errs = append(errs, c.Gate.Close())
	} else if c.Options.Sink != nil {
		errs = append(errs, c.Options.Sink.Close())
	}
	if c.node != nil {
		errs = append(errs, c.node.leave())
	}
	return errors.Join(append(errs, c.Store.Close())...)
}
