package graph

import (
	"encoding/base64"
	"strings"
	"time"

	"coffer/internal/tenant"
)

// entity are the annotations of an object. Context stands on one that is answered by itself,
// Type where objects of several types are answered.
type entity struct {
	Context string `json:"@odata.context,omitempty"`
	Type    string `json:"@odata.type,omitempty"`
}

type application struct {
	entity
	ID                     string               `json:"id"`
	AppID                  string               `json:"appId"`
	DisplayName            string               `json:"displayName"`
	CreatedDateTime        *string              `json:"createdDateTime"`
	IdentifierURIs         []string             `json:"identifierUris"`
	SignInAudience         string               `json:"signInAudience"`
	PublisherDomain        string               `json:"publisherDomain"`
	PasswordCredentials    []passwordCredential `json:"passwordCredentials"`
	KeyCredentials         []keyCredential      `json:"keyCredentials"`
	AppRoles               []struct{}           `json:"appRoles"`
	RequiredResourceAccess []struct{}           `json:"requiredResourceAccess"`
	Tags                   []string             `json:"tags"`
	Web                    web                  `json:"web"`
	API                    api                  `json:"api"`
	SPA                    redirects            `json:"spa"`
	PublicClient           redirects            `json:"publicClient"`
}

type redirects struct {
	RedirectURIs []string `json:"redirectUris"`
}

type web struct {
	redirects
	HomePageURL           *string        `json:"homePageUrl"`
	LogoutURL             *string        `json:"logoutUrl"`
	ImplicitGrantSettings implicitGrants `json:"implicitGrantSettings"`
}

type implicitGrants struct {
	EnableIDTokenIssuance     bool `json:"enableIdTokenIssuance"`
	EnableAccessTokenIssuance bool `json:"enableAccessTokenIssuance"`
}

type api struct {
	OAuth2PermissionScopes    []struct{} `json:"oauth2PermissionScopes"`
	PreAuthorizedApplications []struct{} `json:"preAuthorizedApplications"`
	KnownClientApplications   []string   `json:"knownClientApplications"`
}

type principal struct {
	entity
	ID                        string               `json:"id"`
	AppID                     string               `json:"appId"`
	DisplayName               string               `json:"displayName"`
	AppDisplayName            string               `json:"appDisplayName"`
	AppOwnerOrganizationID    string               `json:"appOwnerOrganizationId"`
	AccountEnabled            bool                 `json:"accountEnabled"`
	ServicePrincipalType      string               `json:"servicePrincipalType"`
	ServicePrincipalNames     []string             `json:"servicePrincipalNames"`
	AlternativeNames          []string             `json:"alternativeNames"`
	PasswordCredentials       []passwordCredential `json:"passwordCredentials"`
	KeyCredentials            []keyCredential      `json:"keyCredentials"`
	SignInAudience            string               `json:"signInAudience"`
	AppRoleAssignmentRequired bool                 `json:"appRoleAssignmentRequired"`
	AppRoles                  []struct{}           `json:"appRoles"`
	OAuth2PermissionScopes    []struct{}           `json:"oauth2PermissionScopes"`
	ReplyURLs                 []string             `json:"replyUrls"`
	Tags                      []string             `json:"tags"`
}

type passwordCredential struct {
	Context             string  `json:"@odata.context,omitempty"`
	CustomKeyIdentifier *string `json:"customKeyIdentifier"`
	DisplayName         *string `json:"displayName"`
	EndDateTime         *string `json:"endDateTime"`
	Hint                *string `json:"hint"`
	KeyID               string  `json:"keyId"`
	SecretText          *string `json:"secretText"`
	StartDateTime       *string `json:"startDateTime"`
}

type keyCredential struct {
	CustomKeyIdentifier string  `json:"customKeyIdentifier"`
	DisplayName         *string `json:"displayName"`
	EndDateTime         *string `json:"endDateTime"`
	Key                 *string `json:"key"`
	KeyID               string  `json:"keyId"`
	StartDateTime       *string `json:"startDateTime"`
	Type                string  `json:"type"`
	Usage               string  `json:"usage"`
}

type federatedCredential struct {
	Context     string   `json:"@odata.context,omitempty"`
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Issuer      string   `json:"issuer"`
	Subject     string   `json:"subject"`
	Description *string  `json:"description"`
	Audiences   []string `json:"audiences"`
}

type user struct {
	entity
	BusinessPhones    []string `json:"businessPhones"`
	DisplayName       string   `json:"displayName"`
	GivenName         *string  `json:"givenName"`
	JobTitle          *string  `json:"jobTitle"`
	Mail              *string  `json:"mail"`
	MobilePhone       *string  `json:"mobilePhone"`
	OfficeLocation    *string  `json:"officeLocation"`
	PreferredLanguage *string  `json:"preferredLanguage"`
	Surname           *string  `json:"surname"`
	UserPrincipalName string   `json:"userPrincipalName"`
	ID                string   `json:"id"`
	AccountEnabled    bool     `json:"accountEnabled"`
	CreatedDateTime   *string  `json:"createdDateTime"`
	UserType          string   `json:"userType"`

	Identities []identity `json:"identities"`
}

// An identity is how a user signs in: by their name here, or by an outside issuer.
type identity struct {
	SignInType       string `json:"signInType"`
	Issuer           string `json:"issuer"`
	IssuerAssignedID string `json:"issuerAssignedId"`
}

// The kinds of identities (documented).
const (
	signInName      = "userPrincipalName"
	signInFederated = "federated"
)

type organization struct {
	ID              string           `json:"id"`
	DisplayName     string           `json:"displayName"`
	TenantType      string           `json:"tenantType"`
	CountryLetters  *string          `json:"countryLetterCode"`
	VerifiedDomains []verifiedDomain `json:"verifiedDomains"`
}

type verifiedDomain struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	IsDefault bool   `json:"isDefault"`
	IsInitial bool   `json:"isInitial"`
}

// signInAudience says that principals of this tenant alone sign in.
const signInAudience = "AzureADMyOrg"

func (d *Door) showApplication(a tenant.ApplicationObject) application {
	none := redirects{[]string{}}
	return application{
		ID: a.ID, AppID: a.AppID, DisplayName: a.DisplayName, CreatedDateTime: date(a.Created), IdentifierURIs: orEmpty(a.IdentifierURIs),
		SignInAudience: signInAudience, PublisherDomain: d.Domain, PasswordCredentials: showAll(a.Passwords, showPassword), KeyCredentials: showAll(a.Keys, showKey),
		AppRoles: []struct{}{}, RequiredResourceAccess: []struct{}{}, Tags: []string{}, Web: web{redirects: none}, SPA: none, PublicClient: none,
		API: api{OAuth2PermissionScopes: []struct{}{}, PreAuthorizedApplications: []struct{}{}, KnownClientApplications: []string{}},
	}
}

func (d *Door) showPrincipal(p tenant.PrincipalObject) principal {
	return principal{
		ID: p.ID, AppID: p.AppID, DisplayName: p.DisplayName, AppDisplayName: p.DisplayName, AppOwnerOrganizationID: d.Tenant.TenantID(), AccountEnabled: p.Enabled,
		ServicePrincipalType: principalType, ServicePrincipalNames: orEmpty(p.Names), AlternativeNames: []string{}, PasswordCredentials: showAll(p.Passwords, showPassword),
		KeyCredentials: showAll(p.Keys, showKey), SignInAudience: signInAudience, AppRoles: []struct{}{}, OAuth2PermissionScopes: []struct{}{}, ReplyURLs: []string{}, Tags: []string{},
	}
}

// principalType is the type of every service principal that there is.
const principalType = "Application"

func (d *Door) showUser(u tenant.User) user {
	identities := []identity{{signInName, d.Domain, u.Name}}
	for _, i := range u.Identities {
		identities = append(identities, identity{signInFederated, i.Issuer, i.ID})
	}
	return user{Identities: identities, BusinessPhones: []string{}, DisplayName: u.DisplayName, UserPrincipalName: u.Name, ID: u.ID, AccountEnabled: u.Enabled, CreatedDateTime: date(u.Created), UserType: "Member"}
}

func showPassword(p tenant.PasswordCredential) passwordCredential {
	return passwordCredential{DisplayName: orNull(p.DisplayName), StartDateTime: date(p.Start), EndDateTime: date(p.End), Hint: orNull(p.Hint), KeyID: p.ID}
}

func showKey(k tenant.KeyCredential) keyCredential {
	return keyCredential{
		CustomKeyIdentifier: base64.StdEncoding.EncodeToString(k.Thumbprint), DisplayName: orNull(k.DisplayName), KeyID: k.ID,
		StartDateTime: date(k.Start), EndDateTime: date(k.End), Type: keyType, Usage: keyUsage,
	}
}

// What a key credential is: a certificate, with whose key the client signs.
const (
	keyType  = "AsymmetricX509Cert"
	keyUsage = "Verify"
)

func showFederated(f tenant.FederatedCredential) federatedCredential {
	return federatedCredential{ID: f.ID, Name: f.Name, Issuer: f.Issuer, Subject: f.Subject, Description: orNull(f.Description), Audiences: orEmpty(f.Audiences)}
}

// showObject says of every object what it is.
func (d *Door) showObject(o tenant.Object) any {
	switch {
	case o.Principal != nil:
		out := d.showPrincipal(*o.Principal)
		out.Type = typePrefix + "servicePrincipal"
		return out
	case o.User != nil:
		out := d.showUser(*o.User)
		out.Type = typePrefix + "user"
		return out
	}
	if o.Group != nil {
		out := showGroup(*o.Group)
		out.Type = typePrefix + "group"
		return out
	}
	out := d.showApplication(*o.Application)
	out.Type = typePrefix + "application"
	return out
}

const typePrefix = "#microsoft.graph."

func showAll[T, Item any](all []T, show func(T) Item) []Item {
	out := []Item{}
	for _, one := range all {
		out = append(out, show(one))
	}
	return out
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func date(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format("2006-01-02T15:04:05Z")
	return &text
}

// parseDate reads a time of a request; nil is the zero time.
func parseDate(name string, text *string) (time.Time, error) {
	if text == nil {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(*text))
	if err != nil || t.Year() < 1970 {
		return t, badRequest("Invalid value specified for property '%s' of resource 'PasswordCredential'.", name)
	}
	return t, nil
}
