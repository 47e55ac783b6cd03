package dataplane

import (
	"time"

	"coffer/internal/vault"
	"coffer/internal/wire"
)

// unix is a time on the wire; the zero time is absent.
func unix(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	seconds := t.Unix()
	return &seconds
}

// attributes of a live object. Lists show no recovery members (recorded).
func (r request) attributes(a vault.Attributes, recovery bool) wire.Attributes {
	out := wire.Attributes{
		Enabled: a.Enabled, NotBefore: unix(a.NotBefore), Expires: unix(a.Expires),
		Created: a.Created.Unix(), Updated: a.Updated.Unix(),
	}
	if recovery {
		out.RecoveryLevel = a.RecoveryLevel
		if !r.version.before("7.1") {
			out.RecoverableDays = &a.RecoverableDays
		}
	}
	return out
}

// tags are absent when none were ever supplied, and {} when they were emptied.
func tags(t map[string]string) *map[string]string {
	if t == nil {
		return nil
	}
	return &t
}

func (r request) id(collection, name, version string) string {
	id := r.base + "/" + collection + "/" + name
	if version != "" {
		id += "/" + version
	}
	return id
}

func (r request) certificate(c vault.Certificate) wire.CertificateBundle {
	out := wire.CertificateBundle{
		ID: r.id("certificates", c.Name, c.Version), Attributes: r.attributes(c.Attributes, true),
		Tags: tags(c.Tags), PreserveCertOrder: c.Preserve,
	}
	if c.Issued() {
		out.KeyID, out.SecretID = r.id("keys", c.Name, c.Version), r.id("secrets", c.Name, c.Version)
		out.Thumbprint, out.CER = c.Thumbprint, c.CER
	}
	if c.Policy != nil {
		out.Policy = r.policy(c.Name, *c.Policy)
	}
	if c.Pending {
		out.Pending = &wire.PendingID{ID: r.id("certificates", c.Name, "pending")}
	}
	return out
}

func (r request) deletedCertificate(c vault.DeletedCertificate) wire.DeletedCertificateBundle {
	return wire.DeletedCertificateBundle{
		RecoveryID: r.id("deletedcertificates", c.Name, ""), DeletedDate: c.Deleted.Unix(), ScheduledPurgeDate: c.PurgeAt.Unix(),
		CertificateBundle: r.certificate(c.Certificate),
	}
}

// item is a row of a list; the rows of versions have them in their ids.
func (r request) item(c vault.Certificate, version string) wire.CertificateItem {
	return wire.CertificateItem{
		ID: r.id("certificates", c.Name, version), Thumbprint: c.Thumbprint,
		Attributes: r.attributes(c.Attributes, false), Tags: tags(c.Tags),
	}
}

func (r request) deletedItem(c vault.DeletedCertificate) wire.DeletedCertificateItem {
	return wire.DeletedCertificateItem{
		RecoveryID: r.id("deletedcertificates", c.Name, ""), DeletedDate: c.Deleted.Unix(), ScheduledPurgeDate: c.PurgeAt.Unix(),
		ID: r.id("certificates", c.Name, ""), Thumbprint: c.Thumbprint, Attributes: r.attributes(c.Attributes, true), Tags: tags(c.Tags),
	}
}

func (r request) policy(name string, p vault.Policy) *wire.CertificatePolicy {
	kty := p.Kty()
	out := &wire.CertificatePolicy{
		ID:            r.id("certificates", name, "policy"),
		KeyProperties: &wire.KeyProperties{Exportable: &p.Exportable, KeyType: &kty, KeySize: &p.KeyType.Size, ReuseKey: &p.ReuseKey},
		SecretProps:   &wire.SecretProperties{ContentType: &p.ContentType},
		X509Props: &wire.X509Properties{
			Subject: &p.Subject, EKUs: &p.EKUs, KeyUsage: &p.KeyUsage, ValidityMonths: &p.ValidityMonths,
			BasicConstraints: &wire.BasicConstraints{CA: p.CA},
		},
		Issuer:     &wire.IssuerParameters{Name: &p.Issuer, CertificateType: p.IssuerType, CertTransparency: p.Transparency},
		Attributes: &wire.PolicyAttributes{Enabled: &p.Enabled, Created: p.Created.Unix(), Updated: p.Updated.Unix()},
	}
	if p.KeyType.Curve != "" {
		out.KeyProperties.Curve = &p.KeyType.Curve
	}
	if p.SANs != nil {
		out.X509Props.SANs = &wire.SANs{
			Emails: list(p.SANs.Emails), DNSNames: list(p.SANs.DNSNames), UPNs: list(p.SANs.UPNs),
			URIs: list(p.SANs.URIs), IPAddresses: list(p.SANs.IPAddresses),
		}
	}
	actions := make([]wire.LifetimeAction, 0, len(p.Actions))
	for _, a := range p.Actions {
		actions = append(actions, lifetimeAction(a))
	}
	out.LifetimeActions = &actions
	return out
}

func lifetimeAction(a vault.LifetimeAction) wire.LifetimeAction {
	out := wire.LifetimeAction{Trigger: &wire.Trigger{}, Action: &wire.Action{ActionType: &a.Action}}
	if a.Percentage != 0 {
		out.Trigger.LifetimePercentage = &a.Percentage
	} else {
		out.Trigger.DaysBeforeExpiry = &a.Days
	}
	return out
}

// list is absent when it was not sent.
func list(names []string) *[]string {
	if names == nil {
		return nil
	}
	return &names
}

// given is the inverse: nil when it was not sent, and not nil when it was sent empty.
func given(names *[]string) []string {
	switch {
	case names == nil:
		return nil
	case *names == nil:
		return []string{}
	}
	return *names
}

// policyInput takes a policy over, member by member. What the api-version does not
// have is ignored, as every unknown member is.
func (r request) policyInput(p *wire.CertificatePolicy) *vault.PolicyInput {
	if p == nil {
		return nil
	}
	in := &vault.PolicyInput{}
	if k := p.KeyProperties; k != nil {
		in.Key = &vault.KeyInput{Exportable: k.Exportable, Kty: k.KeyType, Size: k.KeySize, Curve: k.Curve, ReuseKey: k.ReuseKey}
	}
	if s := p.SecretProps; s != nil {
		in.Secret = &vault.SecretInput{ContentType: s.ContentType}
	}
	if x := p.X509Props; x != nil {
		in.X509 = &vault.X509Input{Subject: x.Subject, SANs: r.sansInput(x.SANs), EKUs: x.EKUs, KeyUsage: x.KeyUsage, ValidityMonths: x.ValidityMonths}
	}
	if i := p.Issuer; i != nil {
		in.Issuer = &vault.IssuerInput{Name: i.Name, Type: i.CertificateType, Transparency: i.CertTransparency}
	}
	if a := p.Attributes; a != nil {
		in.Enabled = a.Enabled
	}
	if p.LifetimeActions != nil {
		actions := []vault.LifetimeActionInput{}
		for _, a := range *p.LifetimeActions {
			actions = append(actions, lifetimeActionInput(a))
		}
		in.Actions = &actions
	}
	return in
}

func (r request) sansInput(s *wire.SANs) *vault.SANs {
	if s == nil {
		return nil
	}
	out := &vault.SANs{Emails: given(s.Emails), DNSNames: given(s.DNSNames), UPNs: given(s.UPNs)}
	if !r.version.before("2025-06-01-preview") {
		out.URIs, out.IPAddresses = given(s.URIs), given(s.IPAddresses)
	}
	return out
}

// preserveInput is the preserveCertOrder of a request, from the version on that has it.
func (r request) preserveInput(preserve *bool) *bool {
	if r.version.before("7.6-preview.2") {
		return nil
	}
	return preserve
}

// enabledInput is all that has an effect of the attributes of a request.
func enabledInput(a *wire.AttributesInput) *bool {
	if a == nil {
		return nil
	}
	return a.Enabled
}

// tagsInput are the tags of a new object; nil when none were sent.
func tagsInput(t *map[string]string) map[string]string {
	if t == nil {
		return nil
	}
	return *t
}

func lifetimeActionInput(a wire.LifetimeAction) (in vault.LifetimeActionInput) {
	if a.Trigger != nil {
		in.Percentage, in.Days = a.Trigger.LifetimePercentage, a.Trigger.DaysBeforeExpiry
	}
	if a.Action != nil {
		in.Action = a.Action.ActionType
	}
	return in
}
