package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/vault"
)

// An Init says what `coffer init` makes.
type Init struct {
	Dir    string // where everything goes
	Domain string
	Listen string
	// Postgres is the database that everything is kept in; nil: a file in Dir.
	Postgres *PostgresConfig
	Vaults   []string // made at once, the administrator may do everything in them
}

// Made is what `coffer init` has made. The secret is shown once and kept nowhere.
type Made struct {
	Config        string   `json:"config"`
	AuthorityFile string   `json:"authority_file"`
	TenantID      string   `json:"tenant_id"`
	ClientID      string   `json:"client_id"`
	ClientSecret  string   `json:"client_secret"`
	AuthorityHost string   `json:"authority_host"`
	VaultURLs     []string `json:"vault_urls"`
	// Environment has the variables by which the official clients sign in.
	Environment map[string]string `json:"environment"`
}

// clientEnvironment names the tenant as clients have to, which is not by its id.
func (m Made) clientEnvironment() map[string]string {
	return map[string]string{
		"AZURE_AUTHORITY_HOST": m.AuthorityHost, "AZURE_TENANT_ID": "adfs",
		"AZURE_CLIENT_ID": m.ClientID, "AZURE_CLIENT_SECRET": m.ClientSecret,
	}
}

// configTemplate is the file that Initialize writes.
const configTemplate = `# The configuration of coffer serve. Paths are relative to this file.

# The domain that this installation has to itself: vaults are at
# https://NAME.vault.DOMAIN, tokens at https://login.DOMAIN, the control plane at
# https://management.DOMAIN, the directory at https://graph.DOMAIN.
domain: %s

# Where to listen. Clients have to reach this port under the names above; if they use
# another one (behind a balancer), name it in public_port.
listen: %s
# public_port: "443"

# Load balancers that name their clients by the PROXY protocol version 2; they have to.
# balancers: [10.0.0.0/8]

# Health checks (/healthz, /readyz) and metrics (/metrics). Beyond this machine it is TLS,
# and needs a token_file or a client_ca_file.
# admin: {listen: "127.0.0.1:9443"}

%s
# The root key opens the store. Keep a copy elsewhere: without it everything is lost.
# Nobody but the server's user may read it.
root_key_file: root.key

# Instead of root_key_file, something else can keep the root key; see docs/security.md, and
# coffer seal change for the way from one to the other.
# seal:
#   passphrase:
#     file: passphrase   # or prompt: true, to be asked at the start
# seal:
#   azure_key_vault:     # or another Coffer
#     key: https://NAME.vault.azure.net/keys/NAME
#     tenant_id: ID
#     client_id: ID
#     client_secret_file: seal.secret

# What coffer seal pin wrote: a store that is older is not opened.
# pin_file: /elsewhere/coffer.pin

# By this socket, which nobody but the server's user can open, coffer seal and its like reach
# the server. Without it, they work while the server does not run.
# admin_socket: coffer.sock

# One line for every decision, chained.
audit_file: audit.log
# How the log is kept, and where every line goes too. While one of the places takes no
# lines, nothing is served.
# audit:
#   max_size_mb: 100        # then the file is put away under a number
#   keep: 20                # of those files
#   stdout: true
#   syslog: {network: tls, address: "logs.example.com:6514"}
#   http: {url: "https://logs.example.com/coffer", token_file: collector.token}

# How many requests one caller may send, and one vault takes, in ten seconds; or
# {published: true}, the limits that Azure Key Vault publishes. None without it.
# rate_limits: {per_caller: 2000, per_vault: 4000}

# true refuses decryption with RSA1_5 and the CBCPAD algorithms, see docs/security.md.
refuse_weak_padding: false

# Issuers by whose tokens an application can sign in, if it has a federated credential that
# says so. Of others no token is accepted, and they are never asked.
# assertion_issuers:
#   - url: https://token.actions.githubusercontent.com

# Issuers whose access tokens are taken as they are, such as a tenant of Entra: an application
# calls by one if an administrator gave it a federated credential with the issuer, the token's
# subject and the audience that is called; a user, if an administrator gave them an identity
# with the issuer and what user_claim says of them: sub, or of a tenant of Entra oid. With
# authority, clients are sent there to sign in.
# bearer_issuers:
#   - url: https://sts.windows.net/TENANT/
#     jwks_url: https://login.microsoftonline.com/TENANT/discovery/keys
#     tenant: TENANT
#     user_claim: oid
#     authority: https://login.microsoftonline.com/TENANT

# A certificate for *.vault.DOMAIN and login., management. and graph.DOMAIN:
#   certificate_file: tls.pem
#   key_file: tls.key
# or an authority of Coffer's own, which clients have to trust:
tls:
  authority_file: ca.pem
  authority_key_file: ca.key
`

// Initialize makes an installation: its configuration, root key, certificate authority
// and store, and the first administrator's application.
//
// When it fails, it leaves nothing of what it made.
func Initialize(ctx context.Context, i Init, log *slog.Logger) (made Made, err error) {
	if err := os.MkdirAll(i.Dir, 0o700); err != nil {
		return made, err
	}
	path := filepath.Join(i.Dir, configFile)
	files := []string{configFile, rootKeyFile, storeFile, auditFile, "ca.pem", "ca.key"}
	for _, name := range files {
		if _, err := os.Stat(filepath.Join(i.Dir, name)); !errors.Is(err, os.ErrNotExist) {
			return made, fmt.Errorf("%s exists already: nothing was changed; use another directory", filepath.Join(i.Dir, name))
		}
	}
	config := Config{
		Domain: i.Domain, Listen: i.Listen, Store: storeFile, Postgres: i.Postgres, RootKeyFile: rootKeyFile, AuditFile: auditFile,
		TLS: TLSConfig{AuthorityFile: "ca.pem", AuthorityKey: "ca.key"},
	}
	if i.Postgres != nil {
		config.Store = ""
	}
	if err := config.check(); err != nil {
		return made, err
	}
	config.resolve(i.Dir)
	if err := checkVaults(i.Vaults); err != nil {
		return made, err
	}
	if err := config.vacant(ctx); err != nil {
		return made, err
	}
	defer func() {
		if err == nil {
			return
		}
		for _, name := range files { // none of them was there before
			_ = os.Remove(filepath.Join(i.Dir, name))
		}
		if left := config.vacate(context.WithoutCancel(ctx)); left != nil {
			err = fmt.Errorf("%w; what was made in the database could not be removed (%w): remove the tables coffer_records, coffer_due and coffer_schema", err, left)
		}
	}()
	if err := writeSecrets(config); err != nil {
		return made, err
	}
	made.Config, made.AuthorityFile = path, config.TLS.AuthorityFile
	if err := populate(ctx, config, i, log, &made); err != nil {
		return made, err
	}
	return made, writeNew(path, fmt.Appendf(nil, configTemplate, i.Domain, i.Listen, config.storeSection()), 0o600) // last: with it, the rest is whole
}

// storeSection is the part of the file that says where everything is kept.
func (c Config) storeSection() string {
	if c.Postgres == nil {
		return fmt.Sprintf("# Everything that is kept, sealed, in one file.\nstore: %s\n", storeFile)
	}
	text := fmt.Sprintf("# Everything that is kept, sealed, in a PostgreSQL database.\npostgres:\n  url: %q\n", c.Postgres.URL)
	if c.Postgres.PasswordFile != "" {
		text += fmt.Sprintf("  password_file: %q\n", c.Postgres.PasswordFile)
	}
	return text
}

// checkVaults refuses names that no vault can have, and two that are the same vault's.
func checkVaults(names []string) error {
	seen := map[string]bool{}
	for _, name := range names {
		if err := vault.CheckName(name); err != nil {
			return err
		}
		if seen[strings.ToLower(name)] {
			return fmt.Errorf("the vault %s is named twice", name)
		}
		seen[strings.ToLower(name)] = true
	}
	return nil
}

// writeNew writes a file that does not exist yet, and returns when it is on the disk.
func writeNew(path string, data []byte, mode os.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

func writeSecrets(c Config) error {
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		return err
	}
	if err := seal.WriteRootKeyFile(c.RootKeyFile, root); err != nil {
		return err
	}
	authority, err := pki.NewAuthority(time.Now(), 10*365*24*time.Hour, []string{"vault." + c.Domain, "login." + c.Domain, "management." + c.Domain, "graph." + c.Domain})
	if err != nil {
		return err
	}
	key, err := authority.KeyPEM()
	if err != nil {
		return err
	}
	return errors.Join(writeNew(c.TLS.AuthorityFile, authority.PEM(), 0o644), writeNew(c.TLS.AuthorityKey, key, 0o600))
}

// populate makes the store with its first application and vaults.
func populate(ctx context.Context, c Config, i Init, log *slog.Logger, made *Made) error {
	core, err := c.open(ctx, true, log, nil)
	if err != nil {
		return err
	}
	app, secret, err := core.Tenant.CreateApplication(ctx, "administrator")
	if err != nil {
		return errors.Join(err, core.Close())
	}
	if err := administer(ctx, core.Tenant, app); err != nil {
		return errors.Join(err, core.Close())
	}
	tenantID := core.Tenant.TenantID()
	made.TenantID, made.ClientID, made.ClientSecret = tenantID, app.AppID, secret
	made.AuthorityHost = c.AuthorityHost()
	made.Environment = made.clientEnvironment()
	for _, name := range i.Vaults {
		v := vault.Vault{Name: name, TenantID: tenantID, Policies: []access.Policy{vault.AllPermissions(tenantID, app.ObjectID)}}
		if err := core.Vaults.CreateVault(ctx, v); err != nil {
			return errors.Join(err, core.Close())
		}
		made.VaultURLs = append(made.VaultURLs, c.VaultURL(name))
	}
	return core.Close()
}

func portSuffix(port string) string {
	if port == "443" || port == "" {
		return ""
	}
	return ":" + port
}
