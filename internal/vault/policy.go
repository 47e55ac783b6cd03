package vault

import (
	"fmt"
	"slices"
	"strings"
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

// The bounds of a policy's members.
const (
	maxSubject        = 200  // characters, as documented
	maxValidityMonths = 1200 // recorded: 36500 days are stored as 1200
	maxSANs           = 100  // of all kinds together; widely quoted, not published
	maxEKUs           = 50
	daysPerMonth      = 27 // days_before_expiry is at most 27 × validity_months
)

// A Policy is how versions of a certificate are made. All members are filled.
type Policy struct {
	KeyType        pki.KeyType
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

// A PolicyInput is what a request says of a policy. What is nil was left out.
type PolicyInput struct {
	Exportable     *bool
	Kty            *string
	KeySize        *int
	Curve          *string
	ReuseKey       *bool
	ContentType    *string
	Subject        *string
	SANs           *SANs
	EKUs           *[]string
	KeyUsage       *[]string
	ValidityMonths *int
	Actions        *[]LifetimeActionInput
	Issuer         *string
	IssuerType     *string
	Transparency   *bool
	Enabled        *bool
}

// A LifetimeActionInput is what a request says of one lifetime action.
type LifetimeActionInput struct {
	Percentage *int
	Days       *int
	Action     *string
}

// fill checks the input and fills what it leaves out with the service's defaults
// (recorded). The checks go in the order of the service: the subject comes before key
// usage and issuer.
func (in PolicyInput) fill(now time.Time) (Policy, error) {
	p := Policy{
		Exportable: value(in.Exportable, true), ReuseKey: value(in.ReuseKey, false),
		ContentType: value(in.ContentType, ContentTypePFX), Subject: value(in.Subject, ""), SANs: in.SANs,
		EKUs:           value(in.EKUs, []string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}),
		ValidityMonths: value(in.ValidityMonths, 12), Issuer: value(in.Issuer, "Unknown"),
		IssuerType: in.IssuerType, Transparency: in.Transparency, Enabled: value(in.Enabled, true),
		Created: now, Updated: now,
	}
	steps := []func(*Policy) error{in.fillSubject, in.fillKey, in.fillUsage, in.checkRest, in.fillActions}
	for _, step := range steps {
		if err := step(&p); err != nil {
			return Policy{}, err
		}
	}
	return p, nil
}

func value[T any](given *T, otherwise T) T {
	if given != nil {
		return *given
	}
	return otherwise
}

func (in PolicyInput) fillSubject(p *Policy) error {
	if len([]rune(p.Subject)) > maxSubject {
		return badProperty("policy.x509_props.subject", fmt.Sprintf("char length is too long: a subject has at most %d characters", maxSubject))
	}
	if _, err := pki.ParseName(p.Subject); err != nil {
		return badProperty("policy.x509_props", "Invalid X.500 distinguished name")
	}
	names := p.SANs.count()
	if p.Subject == "" && names == 0 {
		return badProperty("policy.x509_props", "A subject or a subject alternative name is needed")
	}
	if names > maxSANs {
		return badProperty("policy.x509_props.sans", fmt.Sprintf("There are %d names; at most %d are allowed", names, maxSANs))
	}
	if err := p.SANs.pki().Check(); err != nil {
		return badProperty("policy.x509_props.sans", err.Error())
	}
	return nil
}

func (s *SANs) count() int {
	if s == nil {
		return 0
	}
	return len(s.Emails) + len(s.DNSNames) + len(s.UPNs) + len(s.URIs) + len(s.IPAddresses)
}

func (s *SANs) pki() pki.SANs {
	if s == nil {
		return pki.SANs{}
	}
	return pki.SANs{DNSNames: s.DNSNames, Emails: s.Emails, UPNs: s.UPNs, URIs: s.URIs, IPAddresses: s.IPAddresses}
}

// The key sizes and curves that this version makes.
var (
	rsaSizes   = []int{2048, 3072, 4096}
	curveSizes = []struct {
		name string
		bits int
	}{{"P-256", 256}, {"P-384", 384}, {"P-521", 521}}
)

func (in PolicyInput) fillKey(p *Policy) error {
	switch kty := value(in.Kty, "RSA"); strings.ToUpper(kty) {
	case "RSA":
		return in.fillRSA(p)
	case "EC":
		return in.fillEC(p)
	case "RSA-HSM", "EC-HSM":
		return badProperty("policy.key_props.kty", kty+" keys need a vault with a hardware module; use "+strings.TrimSuffix(strings.ToUpper(kty), "-HSM"))
	default:
		return badProperty("policy.key_props.kty", "Use RSA or EC")
	}
}

func (in PolicyInput) fillRSA(p *Policy) error {
	size := value(in.KeySize, 2048)
	if !slices.Contains(rsaSizes, size) {
		return badProperty("policy.key_props.key_size", "An RSA key has 2048, 3072 or 4096 bits")
	}
	if in.Curve != nil {
		return badProperty("policy.key_props.crv", "An RSA key has no curve")
	}
	p.KeyType = pki.KeyType{Kty: "RSA", Size: size}
	return nil
}

func (in PolicyInput) fillEC(p *Policy) error {
	if in.Curve == nil && in.KeySize == nil {
		p.KeyType = pki.KeyType{Kty: "EC", Size: 256, Curve: "P-256"}
		return nil
	}
	for _, curve := range curveSizes {
		if in.Curve != nil && !strings.EqualFold(*in.Curve, curve.name) || in.Curve == nil && *in.KeySize != curve.bits {
			continue
		}
		if in.KeySize != nil && *in.KeySize != curve.bits {
			return badProperty("policy.key_props.key_size", fmt.Sprintf("A key on %s has %d bits", curve.name, curve.bits))
		}
		p.KeyType = pki.KeyType{Kty: "EC", Size: curve.bits, Curve: curve.name}
		return nil
	}
	return badProperty("policy.key_props.crv", "This version makes keys on P-256, P-384 and P-521")
}

func (in PolicyInput) fillUsage(p *Policy) error {
	usage, err := pki.ParseKeyUsage(value(in.KeyUsage, []string{"digitalSignature", "keyEncipherment"}))
	if err != nil {
		return badProperty("policy.x509_props.key_usage", err.Error())
	}
	p.KeyUsage = usage.Words()
	if len(p.EKUs) > maxEKUs {
		return badProperty("policy.x509_props.ekus", fmt.Sprintf("There are %d object identifiers; at most %d are allowed", len(p.EKUs), maxEKUs))
	}
	for _, oid := range p.EKUs {
		if _, err := pki.ParseOID(oid); err != nil {
			return badProperty("policy.x509_props.ekus", err.Error())
		}
	}
	return nil
}

func (in PolicyInput) checkRest(p *Policy) error {
	switch {
	case p.ValidityMonths < 1 || p.ValidityMonths > maxValidityMonths:
		return badProperty("policy.x509_props.validity_months", fmt.Sprintf("Use 1 to %d months", maxValidityMonths))
	case p.ContentType != ContentTypePFX && p.ContentType != ContentTypePEM:
		return badProperty("policy.secret_props.contentType", "Use "+ContentTypePFX+" or "+ContentTypePEM)
	case p.Issuer == "":
		return badProperty("policy.issuer.name", "Name an issuer, such as Self")
	case !validWord(p.Issuer, 1, 127):
		return badProperty("policy.issuer.name", "An issuer's name has 1 to 127 letters, digits and hyphens")
	}
	return nil
}

func (in PolicyInput) fillActions(p *Policy) error {
	if in.Actions == nil {
		p.Actions = []LifetimeAction{{Percentage: 80, Action: ActionAutoRenew}}
		if fold(p.Issuer) == unknownIssuer {
			p.Actions[0].Action = ActionEmailContacts
		}
		return nil
	}
	p.Actions = make([]LifetimeAction, 0, len(*in.Actions))
	for i, action := range *in.Actions {
		checked, err := action.check(fmt.Sprintf("policy.lifetime_actions[%d]", i), p)
		if err != nil {
			return err
		}
		p.Actions = append(p.Actions, checked)
	}
	return nil
}

func (in LifetimeActionInput) check(path string, p *Policy) (LifetimeAction, error) {
	out := LifetimeAction{Percentage: value(in.Percentage, 0), Days: value(in.Days, 0)}
	if (in.Percentage == nil) == (in.Days == nil) {
		return out, badProperty(path+".trigger", "Use one of lifetime_percentage and days_before_expiry")
	}
	if in.Percentage != nil && (out.Percentage < 1 || out.Percentage > 99) {
		return out, badProperty(path+".trigger.lifetime_percentage", "Use 1 to 99")
	}
	if most := daysPerMonth * p.ValidityMonths; in.Days != nil && (out.Days < 1 || out.Days > most) {
		return out, badProperty(path+".trigger.days_before_expiry", fmt.Sprintf("Use 1 to %d", most))
	}
	for _, known := range []string{ActionAutoRenew, ActionEmailContacts} {
		if strings.EqualFold(value(in.Action, ""), known) {
			out.Action = known
		}
	}
	switch {
	case out.Action == "":
		return out, badProperty(path+".action.action_type", "Use AutoRenew or EmailContacts")
	case out.Action == ActionAutoRenew && fold(p.Issuer) == unknownIssuer:
		return out, badProperty(path+".action.action_type", "A certificate of the issuer Unknown cannot be renewed; use EmailContacts")
	}
	return out, nil
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
		Transparency: p.Transparency, Enabled: p.Enabled, Created: unix(p.Created), Updated: unix(p.Updated),
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
		Transparency: r.Transparency, Enabled: r.Enabled, Created: moment(r.Created), Updated: moment(r.Updated),
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
