package vault

import (
	"time"

	"coffer/internal/pki"
)

// The reserved issuer names, folded.
const (
	selfIssuer    = "self"
	unknownIssuer = "unknown"
)

// The content types of a certificate's secret.
const (
	ContentTypePFX = "application/x-pkcs12"
	ContentTypePEM = "application/x-pem-file"
)

// The action types of a lifetime action.
const (
	ActionAutoRenew     = "AutoRenew"
	ActionEmailContacts = "EmailContacts"
)

// A Policy is how versions of a certificate are made. All members are filled.
type Policy struct {
	KeyType        pki.KeyType
	HSM            bool // the kty has the suffix -HSM
	Exportable     bool
	ReuseKey       bool
	ContentType    string // ContentTypePFX or ContentTypePEM
	Subject        string // as sent
	SANs           *SANs  // nil when not sent
	EKUs           []string
	KeyUsage       []string // canonical words, sorted
	ValidityMonths int
	CA             bool
	Actions        []LifetimeAction
	Issuer         string // as sent
	IssuerType     *string
	Transparency   *bool
	Enabled        bool
	Created        time.Time
	Updated        time.Time
}

// Kty is the key type in the words of a policy, such as "RSA" or "EC-HSM".
func (p Policy) Kty() string {
	if p.HSM {
		return p.KeyType.Kty + "-HSM"
	}
	return p.KeyType.Kty
}

// SANs are subject alternative names. A list that was not sent is nil; one that was
// sent empty is not.
type SANs struct {
	Emails, DNSNames, UPNs, URIs, IPAddresses []string
}

// A LifetimeAction has one of Percentage and Days; the other is zero.
type LifetimeAction struct {
	Percentage int // 1 to 99 of the validity
	Days       int // before expiry
	Action     string
}

// template is what the policy says about the certificate itself.
func (p Policy) template() (pki.Template, error) {
	name, err := pki.ParseName(p.Subject)
	if err != nil {
		return pki.Template{}, err
	}
	usage, err := pki.ParseKeyUsage(p.KeyUsage)
	if err != nil {
		return pki.Template{}, err
	}
	return pki.Template{Subject: name, SANs: p.SANs.pki(), EKUs: p.EKUs, KeyUsage: usage}, nil
}

// record and policy convert between the policy and what is sealed of it.
func (p Policy) record() policyRecord {
	r := policyRecord{
		Exportable: p.Exportable, Kty: p.KeyType.Kty, KeySize: p.KeyType.Size, Curve: p.KeyType.Curve,
		ReuseKey: p.ReuseKey, ContentType: p.ContentType, Subject: p.Subject, EKUs: p.EKUs, KeyUsage: p.KeyUsage,
		ValidityMonths: p.ValidityMonths, CA: p.CA, Issuer: p.Issuer, IssuerType: p.IssuerType,
		Transparency: p.Transparency, Enabled: p.Enabled, Created: unix(p.Created), Updated: unix(p.Updated), HSM: p.HSM,
	}
	if p.SANs != nil {
		r.SANs = &sansRecord{Emails: p.SANs.Emails, DNSNames: p.SANs.DNSNames, UPNs: p.SANs.UPNs, URIs: p.SANs.URIs, IPAddresses: p.SANs.IPAddresses}
	}
	for _, a := range p.Actions {
		r.Actions = append(r.Actions, lifetimeRecord(a))
	}
	return r
}

func (r policyRecord) policy() Policy {
	p := Policy{
		Exportable: r.Exportable, KeyType: pki.KeyType{Kty: r.Kty, Size: r.KeySize, Curve: r.Curve},
		ReuseKey: r.ReuseKey, ContentType: r.ContentType, Subject: r.Subject, EKUs: r.EKUs, KeyUsage: r.KeyUsage,
		ValidityMonths: r.ValidityMonths, CA: r.CA, Issuer: r.Issuer, IssuerType: r.IssuerType,
		Transparency: r.Transparency, Enabled: r.Enabled, Created: moment(r.Created), Updated: moment(r.Updated), HSM: r.HSM,
		Actions: []LifetimeAction{},
	}
	if r.SANs != nil {
		p.SANs = &SANs{Emails: r.SANs.Emails, DNSNames: r.SANs.DNSNames, UPNs: r.SANs.UPNs, URIs: r.SANs.URIs, IPAddresses: r.SANs.IPAddresses}
	}
	for _, a := range r.Actions {
		p.Actions = append(p.Actions, LifetimeAction(a))
	}
	return p
}
