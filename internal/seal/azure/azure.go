// Package azure keeps the root key under a key of another key vault that speaks the
// protocol of Azure Key Vault: the service itself, or another Coffer. The vault wraps the
// root key (wrapKey, RSA-OAEP-256) and unwraps it at a start; the key never leaves it.
//
// The address of the key is that of the configuration. Of what lies in the store only the
// version of the key is taken, so a store cannot make the server ask another vault.
package azure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"coffer/internal/seal"
)

// Name is the provider's word in the configuration.
const Name = "azure_key_vault"

// A Config says which key, and as whom the vault is asked.
type Config struct {
	Key           string // https://VAULT/keys/NAME
	TenantID      string
	ClientID      string
	SecretFile    string // the client secret; empty: the managed identity of the machine
	AuthorityHost string // https://login.DOMAIN; empty: the public cloud's
	CAFile        string // PEM of the authorities to trust; empty: the system's
	// Verify makes the client insist that the vault's challenge is of the vault's own domain,
	// which it is nowhere but in the public clouds.
	Verify bool
	// Transport replaces HTTP; nil: the system's, with CAFile.
	Transport policy.Transporter
}

// A Seal is the provider.
type Seal struct {
	client     *azkeys.Client
	vault, key string
}

var _ seal.Provider = (*Seal)(nil)

// maxSecret bounds a client secret, in bytes.
const maxSecret = 4096

// within bounds one question, with its retries.
const within = 30 * time.Second

// New returns the provider. The vault is not asked yet.
func New(c Config) (*Seal, error) {
	vault, key, err := splitKey(c.Key)
	if err != nil {
		return nil, err
	}
	options, err := c.options()
	if err != nil {
		return nil, err
	}
	credential, err := c.credential(options)
	if err != nil {
		return nil, err
	}
	client, err := azkeys.NewClient(vault, credential, &azkeys.ClientOptions{ClientOptions: options, DisableChallengeResourceVerification: !c.Verify})
	if err != nil {
		return nil, err
	}
	return &Seal{client: client, vault: vault, key: key}, nil
}

func splitKey(address string) (vault, key string, err error) {
	at, err := url.Parse(address)
	if err != nil || at.Scheme != "https" || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return "", "", fmt.Errorf("the key %q is no address such as https://NAME.vault.azure.net/keys/NAME", address)
	}
	key, ok := strings.CutPrefix(strings.TrimSuffix(at.Path, "/"), "/keys/")
	if !ok || !keyName.MatchString(key) {
		return "", "", fmt.Errorf("the key %q is no address such as https://NAME.vault.azure.net/keys/NAME, without a version", address)
	}
	return "https://" + at.Host, key, nil
}

var (
	keyName    = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
	keyVersion = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

func (c Config) options() (o policy.ClientOptions, err error) {
	o.Retry = policy.RetryOptions{MaxRetries: 2, MaxRetryDelay: 2 * time.Second, TryTimeout: within / 3}
	if c.AuthorityHost != "" {
		o.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: c.AuthorityHost, Services: map[cloud.ServiceName]cloud.ServiceConfiguration{}}
	}
	if o.Transport = c.Transport; c.Transport != nil || c.CAFile == "" {
		return o, nil
	}
	authorities, err := os.ReadFile(c.CAFile)
	if err != nil {
		return o, fmt.Errorf("the authorities of the vault cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return o, fmt.Errorf("%s has no certificate in PEM", c.CAFile)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	o.Transport = &http.Client{Transport: transport}
	return o, nil
}

func (c Config) credential(o policy.ClientOptions) (azcore.TokenCredential, error) {
	if c.SecretFile == "" {
		identity := azidentity.ManagedIdentityCredentialOptions{ClientOptions: o}
		if c.ClientID != "" {
			identity.ID = azidentity.ClientID(c.ClientID)
		}
		return azidentity.NewManagedIdentityCredential(&identity)
	}
	secret, err := seal.ReadPrivateFile(c.SecretFile, maxSecret)
	if err != nil {
		return nil, fmt.Errorf("the client secret of the seal cannot be read: %w", err)
	}
	// Which authority is asked stands in the configuration: it is not looked up in the public cloud.
	return azidentity.NewClientSecretCredential(c.TenantID, c.ClientID, strings.TrimSpace(string(secret)),
		&azidentity.ClientSecretCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: c.AuthorityHost != ""})
}

// Name implements seal.Provider.
func (*Seal) Name() string { return Name }

// Describe implements seal.Provider.
func (s *Seal) Describe() string { return "the key " + s.vault + "/keys/" + s.key }

// Remote says that the seal can be away.
func (*Seal) Remote() bool { return true }

// wrapped is what lies in the store.
type wrapped struct {
	Version string `json:"version"` // of the key
	Value   []byte `json:"value"`
}

// algorithm is the one that the protocol recommends for RSA keys.
const algorithm = azkeys.EncryptionAlgorithmRSAOAEP256

// Wrap implements seal.Provider.
func (s *Seal) Wrap(ctx context.Context, root []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	alg := algorithm
	answer, err := s.client.WrapKey(ctx, s.key, "", azkeys.KeyOperationParameters{Algorithm: &alg, Value: root}, nil)
	if err != nil {
		return nil, s.explain(err)
	}
	if answer.KID == nil || answer.Result == nil {
		return nil, fmt.Errorf("%w: %s gave an answer without a result", seal.ErrUnavailable, s.vault)
	}
	return json.Marshal(wrapped{Version: answer.KID.Version(), Value: answer.Result})
}

// Unwrap implements seal.Provider.
func (s *Seal) Unwrap(ctx context.Context, stored []byte) ([]byte, error) {
	var w wrapped
	if err := json.Unmarshal(stored, &w); err != nil || !keyVersion.MatchString(w.Version) {
		return nil, fmt.Errorf("%w: what lies in the store was not wrapped by a key vault", seal.ErrUnseal)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	alg := algorithm
	answer, err := s.client.UnwrapKey(ctx, s.key, w.Version, azkeys.KeyOperationParameters{Algorithm: &alg, Value: w.Value}, nil)
	if err != nil {
		return nil, s.explain(err)
	}
	return answer.Result, nil
}

// explain tells a vault that refuses what it is given from one that cannot be asked. The
// texts of the vault's errors hold no secret, but are long.
func (s *Seal) explain(err error) error {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) && answer.StatusCode >= 400 && answer.StatusCode < 500 {
		switch answer.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Errorf("%w: %s refuses this server (%d %s): give its application the permissions keys/wrapKey and keys/unwrapKey", seal.ErrUnavailable, s.vault, answer.StatusCode, answer.ErrorCode)
		case http.StatusRequestTimeout, http.StatusTooManyRequests:
			return fmt.Errorf("%w: %s is busy (%d)", seal.ErrUnavailable, s.vault, answer.StatusCode)
		}
		return fmt.Errorf("%w: %s answered %d %s about the key %s", seal.ErrUnseal, s.vault, answer.StatusCode, answer.ErrorCode, s.key)
	}
	return fmt.Errorf("%w: %s: %w", seal.ErrUnavailable, s.Describe(), err)
}
