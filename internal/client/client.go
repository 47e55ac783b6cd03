// Package client is the client's side of the command: where the servers are, who calls,
// and what an answer or a refusal looks like to a person or a script.
//
//	settings (flags and environment) → Endpoints → Session → a client of an SDK → Print, or Describe
//
// The vault, the key, the secret and the certificate commands of cmd/coffer are a few
// lines each: they take flags, call one method of an official client that a Session made,
// and print the answer. Nothing here knows a rule of the service; it works against Coffer
// and against Azure alike.
//
// # Who calls
//
// The credentials are those of azidentity's DefaultAzureCredential: the AZURE_ variables,
// a workload identity, a managed identity, or a login of the command-line tool az, in
// that order. Inside `coffer run` and with what `coffer env` prints, it is the variables.
//
// # Where the servers are
//
// The domain follows from the host that tokens come from, AZURE_AUTHORITY_HOST: without
// it, it is the public cloud, as for every program; one of a national cloud stands for
// that cloud; and https://login.DOMAIN means an installation of coffer serve, whose
// control plane is at management.DOMAIN, whose directory is at graph.DOMAIN and whose
// vaults are at NAME.vault.DOMAIN, all on the same port.
package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"coffer/certificates"
)

// Settings are what the flags and the environment say.
type Settings struct {
	Getenv        func(string) string
	Vault         string // name of a vault; KEY_VAULT_NAME if it is empty
	VaultURL      string // address of a vault; goes before Vault
	ManagementURL string // of the control plane; COFFER_MANAGEMENT_URL if it is empty
	Subscription  string // id; AZURE_SUBSCRIPTION_ID if it is empty
}

// A Session makes clients for one caller. It sends nothing before a client does.
type Session struct {
	Endpoints
	settings   Settings
	credential azcore.TokenCredential
	options    azcore.ClientOptions
}

// Open finds the servers and the credential.
func Open(s Settings) (*Session, error) {
	endpoints, err := s.endpoints()
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(s.Getenv)
	if err != nil {
		return nil, err
	}
	out := &Session{Endpoints: endpoints, settings: s}
	out.options = azcore.ClientOptions{
		Transport: transport, Cloud: endpoints.cloud(), Retry: policy.RetryOptions{ShouldRetry: worthAnotherTry},
		Telemetry: policy.TelemetryOptions{ApplicationID: "coffer"},
	}
	out.credential, err = azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: out.options})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (e Endpoints) cloud() cloud.Configuration {
	return cloud.Configuration{
		ActiveDirectoryAuthorityHost: e.Authority,
		Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Audience: e.ManagementAudience, Endpoint: e.Management}},
	}
}

// VaultURL is the address of the vault that the settings name.
func (s *Session) VaultURL() (string, error) {
	if s.settings.VaultURL != "" {
		return checkURL("--vault-url", s.settings.VaultURL)
	}
	name, err := s.VaultName()
	return "https://" + strings.ToLower(name) + "." + s.VaultSuffix, err
}

// VaultName is the name of the vault that the settings name.
func (s *Session) VaultName() (string, error) {
	name := s.settings.Vault
	if name == "" {
		name = s.settings.Getenv("KEY_VAULT_NAME")
	}
	if name == "" {
		return "", Usagef("name the vault: --vault NAME, or the variable KEY_VAULT_NAME; coffer vault list shows what there is")
	}
	return name, CheckVaultName(name)
}

// CheckVaultName refuses what could not be a label of a host: no name steers a request
// to another one.
func CheckVaultName(name string) error {
	if name == "" || len(name) > 63 || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return Usagef("%q is no name of a vault: it has letters, digits and hyphens", name)
	}
	return nil
}

// Certificates is a client of the vault's certificates, with pollers.
func (s *Session) Certificates() (*certificates.Client, error) {
	url, err := s.VaultURL()
	if err != nil {
		return nil, err
	}
	return certificates.NewClient(url, s.credential, &azcertificates.ClientOptions{ClientOptions: s.options})
}

// Secrets is a client of the vault's secrets.
func (s *Session) Secrets() (*azsecrets.Client, error) {
	url, err := s.VaultURL()
	if err != nil {
		return nil, err
	}
	return azsecrets.NewClient(url, s.credential, &azsecrets.ClientOptions{ClientOptions: s.options})
}

// Keys is a client of the vault's keys.
func (s *Session) Keys() (*azkeys.Client, error) {
	url, err := s.VaultURL()
	if err != nil {
		return nil, err
	}
	return azkeys.NewClient(url, s.credential, &azkeys.ClientOptions{ClientOptions: s.options})
}

// armOptions leave out the registration of resource providers, which is nobody's wish
// who asks for a vault.
func (s *Session) armOptions() *arm.ClientOptions {
	return &arm.ClientOptions{ClientOptions: s.options, DisableRPRegistration: true}
}

// Vaults is a client of the control plane's vaults in a subscription.
func (s *Session) Vaults(subscription string) (*armkeyvault.VaultsClient, error) {
	return armkeyvault.NewVaultsClient(subscription, s.credential, s.armOptions())
}

// RoleAssignments is a client of the control plane's role assignments in a subscription.
func (s *Session) RoleAssignments(subscription string) (*armauthorization.RoleAssignmentsClient, error) {
	return armauthorization.NewRoleAssignmentsClient(subscription, s.credential, s.armOptions())
}

// RoleDefinitions is a client of the control plane's roles.
func (s *Session) RoleDefinitions() (*armauthorization.RoleDefinitionsClient, error) {
	return armauthorization.NewRoleDefinitionsClient(s.credential, s.armOptions())
}

// Caller is the caller's own object id in the directory. It is read from a token for
// the control plane, the one answer that every kind of credential gets.
func (s *Session) Caller(ctx context.Context) (string, error) {
	token, err := s.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{s.ManagementAudience + "/.default"}})
	if err != nil {
		return "", err
	}
	id := claim(token.Token, "oid")
	if id == "" {
		return "", fmt.Errorf("the token for %s does not say who you are; name a principal with --object-id", s.Management)
	}
	return id, nil
}

// statusOf is that of a refusal by a server, or 0.
func statusOf(response *http.Response) int {
	if response == nil {
		return 0
	}
	return response.StatusCode
}
