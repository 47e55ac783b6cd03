package azure_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"coffer/coffertest"
	"coffer/internal/seal"
	"coffer/internal/seal/azure"
)

// newVault starts another Coffer with a key, and returns the configuration of the seal.
func newVault(t *testing.T) (*coffertest.Server, azure.Config) {
	t.Helper()
	other := coffertest.New(t)
	other.NewVault("unseal")
	p := other.NewPrincipal("sealed-coffer")
	other.Grant("unseal", p, "keys/wrapKey", "keys/unwrapKey")
	other.Grant("unseal", other.Owner(), "keys/create")
	keys, err := azkeys.NewClient(other.VaultURL("unseal"), other.Credential(), &azkeys.ClientOptions{ClientOptions: other.ClientOptions()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.CreateKey(t.Context(), "root", azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeRSA), KeySize: to.Ptr[int32](2048)}, nil); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(p.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return other, azure.Config{
		Key: other.VaultURL("unseal") + "/keys/root", TenantID: other.TenantID(), ClientID: p.AppID, SecretFile: secret,
		AuthorityHost: "https://login.microsoftonline.com", Transport: other.HTTPClient(), Verify: true,
	}
}

// One Coffer seals another: with the official clients, and a new version of the key in
// between.
func TestAnotherCofferSeals(t *testing.T) {
	other, config := newVault(t)
	s, err := azure.New(config)
	if err != nil {
		t.Fatal(err)
	}
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := seal.WrapRoot(t.Context(), s, root)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := azkeys.NewClient(other.VaultURL("unseal"), other.Credential(), &azkeys.ClientOptions{ClientOptions: other.ClientOptions()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.CreateKey(t.Context(), "root", azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeRSA)}, nil); err != nil {
		t.Fatal(err)
	}
	if again, err := seal.UnwrapRoot(t.Context(), s, wrapped); err != nil || again != root {
		t.Fatalf("after the key was renewed: %v", err)
	}
	for _, stored := range [][]byte{nil, []byte("{}"), []byte(`{"version":"../../x","value":"AA=="}`), bytes.Replace(wrapped, []byte(`"value":"`), []byte(`"value":"AAAA`), 1)} {
		if _, err := s.Unwrap(t.Context(), stored); !errors.Is(err, seal.ErrUnseal) {
			t.Errorf("%s: %v", stored, err)
		}
	}
}

// A refusal, and a vault that does not answer, are told from a seal that does not open.
func TestVaultThatCannotBeAsked(t *testing.T) {
	other, config := newVault(t)
	s, err := azure.New(config)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := s.Wrap(t.Context(), make([]byte, seal.RootKeySize))
	if err != nil {
		t.Fatal(err)
	}
	stranger := other.NewPrincipal("stranger")
	if err := os.WriteFile(config.SecretFile, []byte(stranger.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := config
	refused.ClientID = stranger.AppID
	away := config
	away.Transport = broken{}
	for name, c := range map[string]azure.Config{"refused": refused, "away": away} {
		s, err := azure.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Unwrap(t.Context(), wrapped); !errors.Is(err, seal.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type broken struct{}

func (broken) Do(*http.Request) (*http.Response, error) { return nil, errNet }

// errNet is not worth a second try.
var errNet error = &azcore.ResponseError{StatusCode: http.StatusBadGateway, ErrorCode: "Gateway"}

// A client secret that others can read is refused before anybody is asked.
func TestSecretFileIsPrivate(t *testing.T) {
	_, config := newVault(t)
	if err := os.Chmod(config.SecretFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := azure.New(config); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v", err)
	}
}

func TestKeyAddresses(t *testing.T) {
	for _, key := range []string{"", "http://a.vault.azure.net/keys/k", "https://a.vault.azure.net/keys/", "https://a.vault.azure.net/secrets/k", "https://a.vault.azure.net/keys/k/" + "0123456789abcdef0123456789abcdef", "https://u@a/keys/k", "https://a/keys/k?x=1"} {
		if _, err := azure.New(azure.Config{Key: key}); err == nil {
			t.Errorf("%q was taken for the address of a key", key)
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	s, err := azure.New(azure.Config{Key: "https://a.vault.azure.net/keys/k", Transport: broken{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"version":"x","value":"AA=="}`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		if root, err := s.Unwrap(t.Context(), stored); err == nil || root != nil {
			t.Error("unwrapped without the vault")
		}
	})
}
