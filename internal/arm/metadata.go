package arm

import "net/http"

// A Cloud is what the metadata document says of an installation.
type Cloud struct {
	Name            string
	ResourceManager string // "https://management.coffer.example.com"
	Login           string // with the tenant word, if clients need one: "https://login.coffer.example.com/adfs"
	Graph           string
	Portal          string
	Audience        string // of tokens for the control plane
	VaultSuffix     string // "vault.coffer.example.com"
	Tenant          string // "common", or the word that clients have to use
	IdentityKind    string // "AAD" or "ADFS"
}

type cloudAuthentication struct {
	LoginEndpoint    string   `json:"loginEndpoint"`
	Audiences        []string `json:"audiences"`
	Tenant           string   `json:"tenant,omitempty"`
	IdentityProvider string   `json:"identityProvider,omitempty"`
}

// cloudEndpoints is the older form.
type cloudEndpoints struct {
	Gallery        string              `json:"galleryEndpoint"`
	Graph          string              `json:"graphEndpoint"`
	Portal         string              `json:"portalEndpoint"`
	Authentication cloudAuthentication `json:"authentication"`
}

type cloudResource struct {
	Portal           string              `json:"portal"`
	Authentication   cloudAuthentication `json:"authentication"`
	Media            string              `json:"media"`
	GraphAudience    string              `json:"graphAudience"`
	Graph            string              `json:"graph"`
	Name             string              `json:"name"`
	Suffixes         cloudSuffixes       `json:"suffixes"`
	Batch            string              `json:"batch"`
	ResourceManager  string              `json:"resourceManager"`
	VMImageAlias     string              `json:"vmImageAliasDoc"`
	SQLManagement    string              `json:"sqlManagement"`
	MicrosoftGraphID string              `json:"microsoftGraphResourceId"`
	Gallery          string              `json:"gallery"`
}

type cloudSuffixes struct {
	KeyVault  string `json:"keyVaultDns"`
	MHSM      string `json:"mhsmDns"`
	Storage   string `json:"storage"`
	SQLServer string `json:"sqlServerHostname"`
	ACR       string `json:"acrLoginServer"`
}

// metadata describes the cloud, to anybody, in the form of the api-version (recorded).
func (d *Door) metadata(version string) (answer, error) {
	c := d.Cloud
	auth := cloudAuthentication{LoginEndpoint: c.Login, Audiences: []string{c.Audience}}
	if version == "" {
		return answer{}, fail(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	}
	if !versionForm.MatchString(version) {
		return answer{}, invalidVersion(version)
	}
	if version < "2018" {
		return ok(cloudEndpoints{Gallery: c.ResourceManager, Graph: c.Graph, Portal: c.Portal, Authentication: auth}), nil
	}
	auth.Tenant, auth.IdentityProvider = c.Tenant, c.IdentityKind
	one := cloudResource{
		Portal: c.Portal, Authentication: auth, GraphAudience: c.Graph, Graph: c.Graph, Name: c.Name, Suffixes: cloudSuffixes{KeyVault: c.VaultSuffix, MHSM: "managedhsm." + c.VaultSuffix},
		ResourceManager: c.ResourceManager, MicrosoftGraphID: c.Graph, Gallery: c.ResourceManager,
	}
	if version >= "2022-09-01" {
		return ok(one), nil
	}
	return ok([]cloudResource{one}), nil
}
