package graph

import (
	"encoding/base64"
	"time"

	"coffer/internal/tenant"
)

type collection struct {
	Context  string `json:"@odata.context"`
	NextLink string `json:"@odata.nextLink,omitempty"`
	Value    []any  `json:"value"`
}

func (r request) collection(of string, items []any) answer {
	if items == nil {
		items = []any{}
	}
	return ok(collection{Context: r.base + "/$metadata#" + of, Value: items})
}

type password struct {
	CustomKeyID *string `json:"customKeyIdentifier"`
	DisplayName *string `json:"displayName"`
	End         *string `json:"endDateTime"`
	Hint        *string `json:"hint"`
	ID          string  `json:"keyId"`
	SecretText  *string `json:"secretText"`
	Start       *string `json:"startDateTime"`
}

type keyCredential struct {
	CustomKeyID *string `json:"customKeyIdentifier"`
	DisplayName *string `json:"displayName"`
	End         *string `json:"endDateTime"`
	Key         *string `json:"key"`
	ID          string  `json:"keyId"`
	Start       *string `json:"startDateTime"`
	Type        string  `json:"type"`
	Usage       string  `json:"usage"`
}

type application struct {
	Context          string          `json:"@odata.context,omitempty"`
	ODataType        string          `json:"@odata.type,omitempty"`
	ID               string          `json:"id"`
	DeletedDateTime  *string         `json:"deletedDateTime"`
	AppID            string          `json:"appId"`
	Created          *string         `json:"createdDateTime"`
	DisplayName      string          `json:"displayName"`
	Description      *string         `json:"description"`
	IdentifierURIs   []string        `json:"identifierUris"`
	PublisherDomain  string          `json:"publisherDomain"`
	SignInAudience   string          `json:"signInAudience"`
	Tags             []string        `json:"tags"`
	AppRoles         []any           `json:"appRoles"`
	Passwords        []password      `json:"passwordCredentials"`
	Keys             []keyCredential `json:"keyCredentials"`
	RequiredAccess   []any           `json:"requiredResourceAccess"`
	API              struct{}        `json:"api"`
	Web              webSettings     `json:"web"`
	SPA              redirects       `json:"spa"`
	PublicClient     redirects       `json:"publicClient"`
	IsFallbackPublic *bool           `json:"isFallbackPublicClient"`
}

type redirects struct {
	RedirectURIs []string `json:"redirectUris"`
}

type webSettings struct {
	HomePage     *string  `json:"homePageUrl"`
	Logout       *string  `json:"logoutUrl"`
	RedirectURIs []string `json:"redirectUris"`
}

type principal struct {
	Context           string          `json:"@odata.context,omitempty"`
	ODataType         string          `json:"@odata.type,omitempty"`
	ID                string          `json:"id"`
	DeletedDateTime   *string         `json:"deletedDateTime"`
	Enabled           bool            `json:"accountEnabled"`
	AlternativeNames  []string        `json:"alternativeNames"`
	AppDisplayName    string          `json:"appDisplayName"`
	AppID             string          `json:"appId"`
	AppOwner          string          `json:"appOwnerOrganizationId"`
	AssignmentNeeded  bool            `json:"appRoleAssignmentRequired"`
	Created           *string         `json:"createdDateTime"`
	DisplayName       string          `json:"displayName"`
	ReplyURLs         []string        `json:"replyUrls"`
	Names             []string        `json:"servicePrincipalNames"`
	Type              string          `json:"servicePrincipalType"`
	SignInAudience    string          `json:"signInAudience"`
	Tags              []string        `json:"tags"`
	AppRoles          []any           `json:"appRoles"`
	Keys              []keyCredential `json:"keyCredentials"`
	PermissionsScopes []any           `json:"oauth2PermissionScopes"`
	Passwords         []password      `json:"passwordCredentials"`
}

type user struct {
	Context        string   `json:"@odata.context,omitempty"`
	ODataType      string   `json:"@odata.type,omitempty"`
	BusinessPhones []string `json:"businessPhones"`
	DisplayName    string   `json:"displayName"`
	GivenName      *string  `json:"givenName"`
	JobTitle       *string  `json:"jobTitle"`
	Mail           *string  `json:"mail"`
	MobilePhone    *string  `json:"mobilePhone"`
	OfficeLocation *string  `json:"officeLocation"`
	Language       *string  `json:"preferredLanguage"`
	Surname        *string  `json:"surname"`
	Name           string   `json:"userPrincipalName"`
	ID             string   `json:"id"`
}

type federated struct {
	Context     string   `json:"@odata.context,omitempty"`
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Issuer      string   `json:"issuer"`
	Subject     string   `json:"subject"`
	Description *string  `json:"description"`
	Audiences   []string `json:"audiences"`
}

func stamp(t time.Time) *string {
	if t.IsZero() || t.Unix() == 0 {
		return nil
	}
	text := t.UTC().Format(time.RFC3339)
	return &text
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func passwordOf(p tenant.Password) password {
	return password{DisplayName: optional(p.DisplayName), Start: stamp(p.Start), End: stamp(p.End), Hint: optional(p.Hint), ID: p.ID}
}

func credentials(a tenant.Registration) ([]password, []keyCredential) {
	passwords, keys := []password{}, []keyCredential{}
	for _, p := range a.Passwords {
		passwords = append(passwords, passwordOf(p))
	}
	for _, k := range a.Keys {
		keys = append(keys, keyCredential{DisplayName: optional(k.DisplayName), Start: stamp(k.Start), End: stamp(k.End), ID: k.ID, Type: "AsymmetricX509Cert", Usage: "Verify"})
	}
	return passwords, keys
}

func applicationOf(a tenant.Registration) application {
	passwords, keys := credentials(a)
	return application{
		ID: a.ID, AppID: a.AppID, Created: stamp(a.Created), DisplayName: a.DisplayName, IdentifierURIs: listed(a.IdentifierURIs), PublisherDomain: "coffer.local",
		SignInAudience: "AzureADMyOrg", Tags: []string{}, AppRoles: []any{}, Passwords: passwords, Keys: keys, RequiredAccess: []any{},
		Web: webSettings{RedirectURIs: []string{}}, SPA: redirects{[]string{}}, PublicClient: redirects{[]string{}},
	}
}

func (d *Door) principalOf(p tenant.Principal) principal {
	return principal{
		ID: p.ID, Enabled: p.Enabled, AlternativeNames: []string{}, AppDisplayName: p.App.DisplayName, AppID: p.App.AppID, AppOwner: d.Tenant.TenantID(), Created: stamp(p.App.Created),
		DisplayName: p.App.DisplayName, ReplyURLs: []string{}, Names: append([]string{p.App.AppID}, p.App.IdentifierURIs...), Type: "Application", SignInAudience: "AzureADMyOrg",
		Tags: []string{}, AppRoles: []any{}, Keys: []keyCredential{}, PermissionsScopes: []any{}, Passwords: []password{},
	}
}

func userOf(u tenant.User) user {
	return user{BusinessPhones: []string{}, DisplayName: u.DisplayName, Name: u.Name, ID: u.ID}
}

func federatedOf(f tenant.Federated) federated {
	return federated{ID: f.ID, Name: f.Name, Issuer: f.Issuer, Subject: f.Subject, Description: optional(f.Description), Audiences: f.Audiences}
}

func listed(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func decodeKey(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }

// clip bounds what an error repeats of a request.
func clip(text string) string {
	if len(text) > 200 {
		return text[:200] + "…"
	}
	return text
}
