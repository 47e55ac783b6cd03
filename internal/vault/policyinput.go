package vault

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"coffer/internal/pki"
)

// The bounds of a policy's members.
const (
	maxSubject        = 200  // characters, as documented
	maxValidityMonths = 1200 // recorded: 36500 days are stored as 1200
	maxSANs           = 100  // of all kinds together; widely quoted, not published
	maxEKUs           = 50
	maxActions        = 10
	daysPerMonth      = 27 // days_before_expiry is at most 27 × validity_months
)

// A PolicyInput is what a request says of a policy. Its members are those that a
// change replaces one by one, each as a whole; nil was left out.
type PolicyInput struct {
	Key     *KeyInput
	Secret  *SecretInput
	X509    *X509Input
	Actions *[]LifetimeActionInput
	Issuer  *IssuerInput
	Enabled *bool
}

// A KeyInput is what a request says of key_props.
type KeyInput struct {
	Exportable *bool
	Kty        *string
	Size       *int // bits
	Curve      *string
	ReuseKey   *bool
}

// A SecretInput is what a request says of secret_props.
type SecretInput struct{ ContentType *string }

// An X509Input is what a request says of x509_props.
type X509Input struct {
	Subject        *string
	SANs           *SANs
	EKUs           *[]string
	KeyUsage       *[]string
	ValidityMonths *int
}

// An IssuerInput is what a request says of the issuer.
type IssuerInput struct {
	Name         *string
	Type         *string
	Transparency *bool
}

// A LifetimeActionInput is what a request says of one lifetime action.
type LifetimeActionInput struct {
	Percentage *int
	Days       *int
	Action     *string
}

// fill checks the input and fills what it leaves out with the service's defaults
// (recorded).
func (in PolicyInput) fill(v vaultRecord, now time.Time) (Policy, error) {
	if in.Key == nil {
		in.Key = &KeyInput{}
	}
	if in.Secret == nil {
		in.Secret = &SecretInput{}
	}
	if in.X509 == nil {
		in.X509 = &X509Input{}
	}
	if in.Issuer == nil {
		in.Issuer = &IssuerInput{}
	}
	p, err := in.over(Policy{Enabled: true, Created: now}, v, now)
	if err == nil && in.Actions == nil {
		p.Actions = defaultActions(p.Issuer)
	}
	return p, err
}

// over checks the input and puts it over a policy: what it leaves out stays as it is
// (recorded). The checks go in the order of the service: the subject comes before key
// usage and issuer. What was not sent is not checked against what was, as in the
// service (recorded: an EC key beside the key usage of an RSA key).
func (in PolicyInput) over(p Policy, v vaultRecord, now time.Time) (Policy, error) {
	p.Updated = now
	if in.Enabled != nil {
		p.Enabled = *in.Enabled
	}
	steps := []func(*Policy) error{
		in.X509.fillSubject,
		func(p *Policy) error { return in.Key.fill(p, v.Premium) },
		in.X509.fillUsage, in.Secret.fill, in.Issuer.fill, in.fillActions,
	}
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

func (in *X509Input) fillSubject(p *Policy) error {
	if in == nil {
		return nil
	}
	p.Subject, p.SANs = value(in.Subject, ""), in.SANs
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

// The key sizes and curves that there are. Of two curves of one size, the first is
// meant when only the size is given.
var (
	rsaSizes   = []int{2048, 3072, 4096}
	curveSizes = []struct {
		name string
		bits int
	}{{"P-256", 256}, {"P-384", 384}, {"P-521", 521}, {"P-256K", 256}}
)

const hsmSuffix = "-HSM"

func (in *KeyInput) fill(p *Policy, premium bool) error {
	if in == nil {
		return nil
	}
	kty, hsm := strings.CutSuffix(strings.ToUpper(value(in.Kty, "RSA")), hsmSuffix)
	if kty != "RSA" && kty != "EC" {
		return badProperty("policy.key_props.kty", "Use RSA or EC, or on a premium vault RSA-HSM or EC-HSM")
	}
	if hsm && !premium {
		return badProperty("policy.key_props.kty", kty+hsmSuffix+" keys need a premium vault; use "+kty)
	}
	p.HSM, p.ReuseKey, p.Exportable = hsm, value(in.ReuseKey, false), value(in.Exportable, !hsm)
	if hsm && p.Exportable {
		return badProperty("policy.key_props.exportable", "A key of the kind "+kty+hsmSuffix+" cannot be exported")
	}
	if kty == "RSA" && in.Curve != nil {
		return badProperty("policy.key_props.crv", "An RSA key has no curve")
	}
	var err error
	p.KeyType, err = keyTypeOf(kty, in.Size, in.Curve, "policy.key_props.")
	return err
}

// keyTypeOf is the key of a kind, RSA or EC, that a size or a curve means. Errors name
// the member at fault after the prefix.
func keyTypeOf(kty string, size *int, curve *string, prefix string) (pki.KeyType, error) {
	if kty == "RSA" {
		bits := value(size, 2048)
		if !slices.Contains(rsaSizes, bits) {
			return pki.KeyType{}, badProperty(prefix+"key_size", "An RSA key has 2048, 3072 or 4096 bits")
		}
		return pki.KeyType{Kty: "RSA", Size: bits}, nil
	}
	for _, known := range curveSizes {
		if curve != nil && !strings.EqualFold(*curve, known.name) || curve == nil && value(size, 256) != known.bits {
			continue
		}
		if value(size, known.bits) != known.bits {
			return pki.KeyType{}, badProperty(prefix+"key_size", fmt.Sprintf("A key on %s has %d bits", known.name, known.bits))
		}
		return pki.KeyType{Kty: "EC", Size: known.bits, Curve: known.name}, nil
	}
	return pki.KeyType{}, badProperty(prefix+"crv", "An EC key is on P-256, P-256K, P-384 or P-521")
}

func (in *X509Input) fillUsage(p *Policy) error {
	if in == nil {
		return nil
	}
	usage, err := pki.ParseKeyUsage(value(in.KeyUsage, []string{"digitalSignature", "keyEncipherment"}))
	if err != nil {
		return badProperty("policy.x509_props.key_usage", err.Error())
	}
	p.KeyUsage, p.EKUs = usage.Words(), value(in.EKUs, []string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"})
	if len(p.EKUs) > maxEKUs {
		return badProperty("policy.x509_props.ekus", fmt.Sprintf("There are %d object identifiers; at most %d are allowed", len(p.EKUs), maxEKUs))
	}
	for _, oid := range p.EKUs {
		if _, err := pki.ParseOID(oid); err != nil {
			return badProperty("policy.x509_props.ekus", err.Error())
		}
	}
	p.ValidityMonths, p.CA = value(in.ValidityMonths, 12), false
	if p.ValidityMonths < 1 || p.ValidityMonths > maxValidityMonths {
		return badProperty("policy.x509_props.validity_months", fmt.Sprintf("Use 1 to %d months", maxValidityMonths))
	}
	return nil
}

func (in *SecretInput) fill(p *Policy) error {
	if in == nil {
		return nil
	}
	p.ContentType = value(in.ContentType, ContentTypePFX)
	if p.ContentType != ContentTypePFX && p.ContentType != ContentTypePEM {
		return badProperty("policy.secret_props.contentType", "Use "+ContentTypePFX+" or "+ContentTypePEM)
	}
	return nil
}

// fill takes the name as it was typed: the reserved words are matched without regard
// to case, and echoed (recorded).
func (in *IssuerInput) fill(p *Policy) error {
	if in == nil {
		return nil
	}
	p.Issuer, p.IssuerType, p.Transparency = value(in.Name, "Unknown"), in.Type, in.Transparency
	if !ValidName(p.Issuer) {
		return badProperty("policy.issuer.name", "An issuer's name has 1 to 127 letters, digits and hyphens; name one, such as Self")
	}
	if len([]rune(value(in.Type, ""))) > maxSubject {
		return badProperty("policy.issuer.cty", fmt.Sprintf("char length is too long: use at most %d characters", maxSubject))
	}
	return nil
}

// defaultActions depend on the issuer: a certificate of the issuer Unknown cannot be
// renewed (recorded).
func defaultActions(issuer string) []LifetimeAction {
	if fold(issuer) == unknownIssuer {
		return []LifetimeAction{{Percentage: 80, Action: ActionEmailContacts}}
	}
	return []LifetimeAction{{Percentage: 80, Action: ActionAutoRenew}}
}

func (in PolicyInput) fillActions(p *Policy) error {
	if in.Actions == nil {
		return nil
	}
	if len(*in.Actions) > maxActions {
		return badProperty("policy.lifetime_actions", fmt.Sprintf("There are %d actions; at most %d are allowed", len(*in.Actions), maxActions))
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
