package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// A Config is the file of `coffer serve`. A member that is not here is an error; a
// secret is only ever named by the path of its file. Relative paths are relative to the
// file's own directory.
type Config struct {
	// Domain is the domain that the installation has to itself: vaults are at
	// https://NAME.vault.DOMAIN, tokens at https://login.DOMAIN.
	Domain string `yaml:"domain"`
	// Listen is the address and port to listen on.
	Listen string `yaml:"listen"`
	// PublicPort is the port that clients use, if it is not the one of Listen.
	PublicPort string `yaml:"public_port"`
	// Balancers are the networks, such as 10.0.0.0/8, of the load balancers that name their
	// clients by the PROXY protocol version 2, which they then have to.
	Balancers []string `yaml:"balancers"`
	// Admin is the listener for health checks and metrics; without it there is none.
	Admin *AdminConfig `yaml:"admin"`
	// Node is the name of this node, if several serve one database: of its own, as is its
	// AuditFile. It is local if none is named.
	Node string `yaml:"node"`
	// Store is the path of the store's file.
	Store string `yaml:"store"`
	// Postgres is the database that the store is in, instead of a file.
	Postgres *PostgresConfig `yaml:"postgres"`
	// RootKeyFile is the path of the root key, if there is no Seal.
	RootKeyFile string `yaml:"root_key_file"`
	// Seal is what keeps the root key safe otherwise.
	Seal *SealConfig `yaml:"seal"`
	// PinFile is the path of what coffer seal pin wrote, best on another machine's disk. A store
	// that is older is not opened.
	PinFile string `yaml:"pin_file"`
	// AdminSocket is the path of the socket by which coffer seal, check and backup reach the
	// server; coffer.sock beside the store's file, or the configuration, if none is named, "none" for no socket.
	AdminSocket string `yaml:"admin_socket"`
	// AuditFile is the path of the audit log.
	AuditFile string `yaml:"audit_file"`
	// Audit says how the audit log is kept, and where it goes too.
	Audit AuditConfig `yaml:"audit"`
	// RateLimits limits the requests of callers and of vaults.
	RateLimits RateConfig `yaml:"rate_limits"`
	// RefuseWeakPadding refuses decryption and unwrapping with RSA1_5 and with the CBCPAD
	// algorithms, whose answers tell an attacker who may ask often what was encrypted.
	RefuseWeakPadding bool      `yaml:"refuse_weak_padding"`
	TLS               TLSConfig `yaml:"tls"`
	// AttestationAuthorities are those whose attestations a key's release policy can name.
	// Of others no attestation is accepted, and they are never asked.
	AttestationAuthorities []IssuerConfig `yaml:"attestation_authorities"`
	// AssertionIssuers are those by whose tokens an application can sign in, if it has a
	// federated credential that says so: clusters, and services that run jobs. Of others no
	// token is accepted, and they are never asked.
	AssertionIssuers []IssuerConfig `yaml:"assertion_issuers"`
	// BearerIssuers are those whose access tokens are taken as they are: an application calls
	// by one if an administrator made it a federated credential with the issuer, the token's
	// subject, and the audience that is called, such as https://vault.DOMAIN.
	BearerIssuers []BearerConfig `yaml:"bearer_issuers"`

	// Prompt asks a person for the passphrase, if the seal wants that.
	Prompt func() ([]byte, error) `yaml:"-"`
}

// A TLSConfig names either a certificate for the vaults' and the login host, or an
// authority of Coffer's own that certifies every host as it is asked for.
type TLSConfig struct {
	CertificateFile string `yaml:"certificate_file"`
	KeyFile         string `yaml:"key_file"`
	AuthorityFile   string `yaml:"authority_file"`
	AuthorityKey    string `yaml:"authority_key_file"`
}

const maxConfig = 1 << 20

// ReadConfig reads and checks the file at path.
func ReadConfig(path string) (Config, error) {
	var c Config
	file, err := os.Open(path)
	if err != nil {
		return c, fmt.Errorf("the configuration cannot be read: %w; coffer init makes one", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfig))
	if err != nil {
		return c, fmt.Errorf("the configuration cannot be read: %w", err)
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.DisallowUnknownField()).Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("the configuration %s is wrong: %w", path, err)
	}
	c.resolve(filepath.Dir(path))
	if err := c.check(); err != nil {
		return c, fmt.Errorf("the configuration %s is wrong: %w", path, err)
	}
	return c, nil
}

// resolve makes the paths independent of the working directory.
func (c *Config) resolve(dir string) {
	if c.AdminSocket == "" && c.Store != "" {
		c.AdminSocket = filepath.Join(filepath.Dir(c.Store), adminSocket)
	}
	if c.AdminSocket == "" && c.Postgres != nil {
		c.AdminSocket = adminSocket // beside the configuration
	}
	if c.AdminSocket == noSocket {
		c.AdminSocket = ""
	}
	if c.Seal != nil {
		c.Seal.resolve(dir)
	}
	paths := []*string{&c.Store, &c.RootKeyFile, &c.PinFile, &c.AdminSocket, &c.AuditFile, &c.TLS.CertificateFile, &c.TLS.KeyFile, &c.TLS.AuthorityFile, &c.TLS.AuthorityKey}
	for i := range c.AttestationAuthorities {
		paths = append(paths, &c.AttestationAuthorities[i].CAFile)
	}
	for i := range c.AssertionIssuers {
		paths = append(paths, &c.AssertionIssuers[i].CAFile)
	}
	for i := range c.BearerIssuers {
		paths = append(paths, &c.BearerIssuers[i].CAFile)
	}
	paths = append(append(paths, c.Audit.paths()...), c.Admin.paths()...)
	if c.Postgres != nil {
		paths = append(paths, &c.Postgres.PasswordFile)
	}
	for _, path := range paths {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}

func (c Config) check() error {
	required := []struct{ name, value string }{
		{"domain", c.Domain}, {"listen", c.Listen}, {"audit_file", c.AuditFile},
	}
	for _, member := range required {
		if member.value == "" {
			return fmt.Errorf("%s is missing", member.name)
		}
	}
	if err := checkNode(c.Node); err != nil {
		return err
	}
	if err := c.checkStore(); err != nil {
		return err
	}
	if err := (SealChoice{RootKeyFile: c.RootKeyFile, Seal: c.Seal}).check(); err != nil {
		return err
	}
	if strings.Trim(strings.ToLower(c.Domain), "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || !strings.Contains(strings.Trim(c.Domain, "."), ".") || strings.HasPrefix(c.Domain, ".") || strings.HasSuffix(c.Domain, ".") {
		return fmt.Errorf("domain %q is no domain name such as coffer.example.com", c.Domain)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen %q is no address with a port such as 0.0.0.0:8443", c.Listen)
	}
	if err := checkBearers(c.BearerIssuers); err != nil {
		return err
	}
	if err := c.Audit.check(); err != nil {
		return err
	}
	if err := c.RateLimits.check(); err != nil {
		return err
	}
	if _, err := c.balancers(); err != nil {
		return err
	}
	if err := c.Admin.check(); err != nil {
		return err
	}
	own := c.TLS.CertificateFile != "" && c.TLS.KeyFile != "" && c.TLS.AuthorityFile == "" && c.TLS.AuthorityKey == ""
	authority := c.TLS.CertificateFile == "" && c.TLS.KeyFile == "" && c.TLS.AuthorityFile != "" && c.TLS.AuthorityKey != ""
	if !own && !authority {
		return errors.New("tls needs either certificate_file and key_file, or authority_file and authority_key_file")
	}
	return nil
}

func checkBearers(all []BearerConfig) error {
	authorities := 0
	for _, one := range all {
		if one.UserClaim != "" && one.UserClaim != userClaimSubject && one.UserClaim != userClaimOID {
			return fmt.Errorf("bearer_issuers: user_claim %q is neither %s nor %s", one.UserClaim, userClaimSubject, userClaimOID)
		}
		if one.Authority == "" {
			continue
		}
		authorities++
		u, err := url.Parse(one.Authority)
		if err != nil || u.Scheme != "https" || u.Host == "" || len(u.Path) < 2 || u.RawQuery != "" || strings.ContainsAny(one.Authority, `",= `) {
			return fmt.Errorf("bearer_issuers: authority %q is no https address with a tenant such as https://login.microsoftonline.com/TENANT", one.Authority)
		}
	}
	if authorities > 1 {
		return errors.New("bearer_issuers: clients can be sent to one authority, so only one issuer can have the member authority")
	}
	return nil
}

// VaultURL is the address of a vault, as clients use it.
func (c Config) VaultURL(name string) string {
	return "https://" + name + "." + DomainNames(c.Domain, c.port()).VaultSuffix + portSuffix(c.port())
}

// AuthorityHost is the address where tokens come from, as clients use it.
func (c Config) AuthorityHost() string {
	return "https://" + DomainNames(c.Domain, c.port()).LoginHosts[0] + portSuffix(c.port())
}

// port is the one that clients use.
func (c Config) port() string {
	if c.PublicPort != "" {
		return c.PublicPort
	}
	_, port, _ := net.SplitHostPort(c.Listen)
	return port
}
