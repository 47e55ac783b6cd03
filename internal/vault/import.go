package vault

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"coffer/internal/access"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// An Import is a certificate with its private key that was made elsewhere.
type Import struct {
	Value    string // a PKCS#12 file in base64, or PEM text
	Password string // of the file, or of the key in it; not kept
	Policy   *PolicyInput
	Enabled  *bool
	Tags     map[string]string
	Preserve *bool // preserveCertOrder
}

// maxPassword bounds a password, in characters, as documented.
const maxPassword = 200

var (
	errPFX = &Error{Code: CodeBadParameter, Message: "The specified PKCS#12 X.509 certificate content can not be read. Please check if certificate is in valid PKCS#12 format."}
	errPEM = &Error{Code: CodeBadParameter, Message: "The specified PEM X.509 certificate content is in an unexpected format. Please check if certificate is in valid PEM format."}
)

// ImportCertificate makes a new version of what it is given. Its policy says what the
// certificate and its key are; of a policy that was sent only the rest counts. There is
// no operation, and one that had ended is forgotten.
func (s *Service) ImportCertificate(ctx context.Context, caller access.Caller, ref Ref, in Import) (Certificate, error) {
	f, err := s.find(ctx, caller, ref.Vault, nameKeys(ref)...)
	if err != nil {
		return Certificate{}, err
	}
	var out Certificate
	err = s.Gate.Write(ctx, s.request(f, CertificateImport, "certificates", ref), func(g seal.Grant) error {
		plan, err := s.planImport(ctx, g, f, ref, in)
		if err != nil {
			return err
		}
		return s.update(ctx, g, f.vault, func(e edit) error {
			out, err = plan.commit(e)
			return err
		})
	})
	return out, explain(err)
}

// An importation is everything about an import that is made before its commit.
type importation struct {
	ref    Ref
	policy Policy
	issued *issued
}

func (s *Service) planImport(ctx context.Context, g seal.Grant, f found, ref Ref, in Import) (*importation, error) {
	names, err := s.checkNew(g, f, ref, in.Tags)
	if err != nil {
		return nil, err
	}
	contents, format, err := s.readImport(ctx, in)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	plan := &importation{ref: ref}
	if plan.policy, err = in.policy(contents, format, f.vault.vaultRecord, now); err != nil {
		return nil, err
	}
	if names.hasCertificate {
		plan.policy.Created = moment(names.certificate.Policy.Created)
	}
	if err := s.checkIssuer(g, f.vault, plan.policy.Issuer, s.getter(ctx)); err != nil {
		return nil, err
	}
	plan.issued, err = newIssued(rendering{
		id: newVersion(), enabled: value(in.Enabled, true), tags: in.Tags, preserve: in.Preserve,
		policy: plan.policy, signer: contents.Key, chain: contents.Chain, leaf: contents.Leaf, now: now,
	})
	return plan, err
}

// readImport reads the file. The policy's content type says what it is; without one,
// the text itself does. The content type of the secret is that of the file.
func (s *Service) readImport(ctx context.Context, in Import) (contents pki.Import, format string, err error) {
	if utf8.RuneCountInString(in.Password) > maxPassword {
		return contents, "", badProperty("pwd", "char length is too long: a password has at most 200 characters")
	}
	in.Value = plainPEM(in.Value)
	if format, err = in.format(); err != nil {
		return contents, "", err
	}
	err = s.turn(ctx, func() error {
		if format == ContentTypePEM {
			contents, err = pki.ParsePEM([]byte(in.Value), in.Password)
			return explainImport(err, errPEM)
		}
		file, err := base64.StdEncoding.DecodeString(in.Value)
		if err != nil {
			return errPFX
		}
		contents, err = pki.ParsePFX(file, in.Password)
		return explainImport(err, errPFX)
	})
	return contents, format, err
}

// plainPEM takes PEM out of base64: one of the official clients encodes whatever it is
// given, and its examples import PEM.
func plainPEM(value string) string {
	if text, err := base64.StdEncoding.DecodeString(value); err == nil && bytes.HasPrefix(bytes.TrimSpace(text), []byte(beginPEM)) {
		return string(text)
	}
	return value
}

const beginPEM = "-----BEGIN"

func (in Import) format() (string, error) {
	if in.Value == "" {
		return "", badProperty("value", "Send the certificate with its private key: PKCS#12 in base64, or PEM")
	}
	if in.Policy != nil && in.Policy.Secret != nil && in.Policy.Secret.ContentType != nil {
		var p Policy
		err := in.Policy.Secret.fill(&p)
		return p.ContentType, err
	}
	if strings.Contains(in.Value, beginPEM) {
		return ContentTypePEM, nil
	}
	return ContentTypePFX, nil
}

// explainImport finds the service's answer to what is wrong with a file.
func explainImport(err error, format *Error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pki.ErrMismatch):
		return errMismatch
	case errors.Is(err, pki.ErrKeyType), errors.Is(err, pki.ErrCertificate):
		return &Error{Code: CodeBadParameter, Message: "The specified X.509 certificate content can not be imported: " + err.Error(), Err: err}
	}
	return &Error{Code: format.Code, Message: format.Message, Err: err}
}

// policy is the one that is stored: the certificate says what it is, whatever was sent
// (recorded); the rest is as sent, or the default.
func (in Import) policy(contents pki.Import, format string, v vaultRecord, now time.Time) (Policy, error) {
	leaf, err := pki.ParseCertificate(contents.Chain[contents.Leaf])
	if err != nil {
		return Policy{}, explainImport(err, errPFX)
	}
	if leaf.NotAfter.Before(now) {
		return Policy{}, &Error{Code: CodeBadParameter, Message: "The specified X.509 certificate content has expired (CertificateExpired): it was valid until " + leaf.NotAfter.UTC().Format(time.RFC3339) + "."}
	}
	p, err := describe(leaf, contents.Key)
	if err != nil {
		return Policy{}, err
	}
	p.ContentType, p.Enabled, p.Exportable, p.Issuer, p.Created, p.Updated = format, true, true, "Unknown", now, now
	sent := value(in.Policy, PolicyInput{})
	if err := sent.Key.overImported(&p, v.Premium); err != nil {
		return Policy{}, err
	}
	rest := PolicyInput{Issuer: sent.Issuer, Actions: sent.Actions, Enabled: sent.Enabled}
	if p, err = rest.over(p, v, now); err == nil && sent.Actions == nil {
		p.Actions = defaultActions(p.Issuer)
	}
	return p, err
}

// describe is what a certificate and its key say of themselves.
func describe(leaf *x509.Certificate, key crypto.Signer) (Policy, error) {
	d, err := pki.Describe(leaf)
	if err != nil {
		return Policy{}, explainImport(err, errPFX)
	}
	p := Policy{
		KeyType: d.KeyType, Subject: d.Subject, EKUs: d.EKUs, KeyUsage: d.KeyUsage.Words(), CA: d.CA, ValidityMonths: d.ValidityMonths,
	}
	if d.HasSANs {
		p.SANs = &SANs{Emails: d.SANs.Emails, DNSNames: d.SANs.DNSNames, UPNs: d.SANs.UPNs, URIs: d.SANs.URIs, IPAddresses: d.SANs.IPAddresses}
	}
	return p, nil
}

// errKeyProperties is the service's answer to key_props that are not those of the key.
var errKeyProperties = badProperty("policy", "")

// overImported checks key_props against the key that came in, and takes over what the
// key does not say.
func (in *KeyInput) overImported(p *Policy, premium bool) error {
	if in == nil {
		return nil
	}
	kty, hsm := strings.CutSuffix(strings.ToUpper(value(in.Kty, p.KeyType.Kty)), hsmSuffix)
	switch {
	case kty != p.KeyType.Kty, hsm && !premium,
		in.Size != nil && *in.Size != p.KeyType.Size,
		in.Curve != nil && !strings.EqualFold(*in.Curve, p.KeyType.Curve):
		return errKeyProperties
	}
	p.HSM, p.ReuseKey, p.Exportable = hsm, value(in.ReuseKey, false), value(in.Exportable, !hsm)
	if hsm && p.Exportable {
		return badProperty("policy.key_props.exportable", "A key of the kind "+kty+hsmSuffix+" cannot be exported")
	}
	return nil
}

// commit checks everything again and puts the new version.
func (i *importation) commit(e edit) (Certificate, error) {
	n, recs, err := e.names(i.ref)
	if err != nil {
		return Certificate{}, err
	}
	if n.hasCertificate && n.certificate.Current.ID == i.issued.certificate.ID { // a rerun of a commit that did happen
		return n.certificate.certificate(e.vault), nil
	}
	if err := n.refuse(i.ref); err != nil {
		return Certificate{}, err
	}
	if recs[1].Exists() {
		if err := e.tx.Delete(recs[1].Key, recs[1].Revision); err != nil {
			return Certificate{}, err
		}
	}
	t, err := e.triple(i.ref)
	if err != nil {
		return Certificate{}, err
	}
	t.certificate.Policy, t.certificate.Pending = i.policy.record(), false
	if err := i.issued.put(e, i.ref, t); err != nil {
		return Certificate{}, err
	}
	var head certificateHead
	_, err = e.head(kindCertificate, i.ref, &head)
	return head.certificate(e.vault), err
}

// names reads the records that have a say in whether a name is free.
func (e edit) names(ref Ref) (names, []store.Record, error) {
	f := found{vault: e.vault}
	for _, key := range nameKeys(ref) {
		rec, err := e.tx.Get(key)
		if err != nil {
			return names{}, nil, err
		}
		f.recs = append(f.recs, rec)
	}
	n, err := e.s.openNames(e.g, f, ref)
	return n, f.recs, err
}
