package vault

import (
	"cmp"
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"coffer/internal/access"
	"coffer/internal/idle"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A NewCertificate is what a request says of a certificate to be made.
type NewCertificate struct {
	Policy   *PolicyInput      // nil: the stored policy of the name
	Enabled  *bool             // of the version, once issued; nil means true
	Tags     map[string]string // nil: none
	Preserve *bool             // preserveCertOrder
}

// The bounds of tags, as documented; of the two documented lengths, the longer.
const (
	maxTags      = 15
	maxTagLength = 512
)

// maxYear is the last that a certificate can have (RFC 5280 §4.1.2.5).
const maxYear = 9999

// predate is how far the validity begins before the certificate was made (recorded).
const predate = 600 * time.Second

// CreateCertificate begins the issuance of a new version and returns its operation,
// which is in progress. The policy is stored as the one of the name.
func (s *Service) CreateCertificate(ctx context.Context, caller access.Caller, ref Ref, in NewCertificate) (Operation, error) {
	f, err := s.find(ctx, caller, ref.Vault, nameKeys(ref)...)
	if err != nil {
		return Operation{}, err
	}
	var out Operation
	err = s.Gate.Write(ctx, s.request(f, CertificateCreate, "certificates", ref), func(g seal.Grant) error {
		plan, err := s.planCreate(ctx, g, f, ref, in)
		if err != nil {
			return err
		}
		out = plan.operation.operation(plan.name)
		return s.update(ctx, g, f.vault, plan.commit)
	})
	if err == nil && !out.Merges() {
		s.begin(ref.key(kindOperation))
	}
	return out, explain(err)
}

// A creation is everything about a create that is made before its commit.
type creation struct {
	ref       Ref
	name      string // as the certificate was created
	operation operationRecord
	policy    Policy
	object    string // id of the certificate, if this is its first
	now       time.Time
}

// planCreate checks the preconditions and makes keys, ids and times.
func (s *Service) planCreate(ctx context.Context, g seal.Grant, f found, ref Ref, in NewCertificate) (*creation, error) {
	names, err := s.checkNew(g, f, ref, in.Tags)
	if err != nil {
		return nil, err
	}
	policy, err := names.policy(in.Policy, f.vault.vaultRecord, s.Now())
	if err != nil {
		return nil, err
	}
	if err := s.checkIssuer(g, f.vault, policy.Issuer, s.getter(ctx)); err != nil {
		return nil, err
	}
	plan, err := s.planVersion(ctx, g, f, ref, policy, in)
	if err == nil {
		plan.name = cmp.Or(names.certificate.Name, ref.Name)
	}
	return plan, err
}

// planVersion makes the keys, ids and times of a version that is to be issued.
func (s *Service) planVersion(ctx context.Context, g seal.Grant, f found, ref Ref, policy Policy, in NewCertificate) (*creation, error) {
	signer, err := s.keyFor(ctx, g, f, ref, policy)
	if err != nil {
		return nil, err
	}
	c := &creation{ref: ref, policy: policy, object: newObject(), now: s.Now()}
	return c, c.fillOperation(in, signer)
}

// checkCertificateName refuses what no certificate can be called, and the words that
// stand for something else in the URLs of certificates.
func checkCertificateName(name string) error {
	if slices.Contains([]string{"contacts", "issuers", "restore"}, fold(name)) {
		return &Error{Code: CodeBadParameter, Message: "The name " + name + " is reserved, and a certificate of it could not be reached; choose another one."}
	}
	return checkObjectName(name)
}

func inValidName(name string) *Error {
	return &Error{Code: CodeBadParameter, Message: "The request URI contains an invalid name: " + name}
}

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return badProperty("tags", fmt.Sprintf("There are %d tags; at most %d are allowed", len(tags), maxTags))
	}
	for name, value := range tags {
		if utf8.RuneCountInString(name) > maxTagLength || utf8.RuneCountInString(value) > maxTagLength {
			return badProperty("tags", fmt.Sprintf("A tag's name and its value have at most %d characters each", maxTagLength))
		}
	}
	return nil
}

// checkNew refuses a new version that cannot be, whatever else it consists of.
func (s *Service) checkNew(g seal.Grant, f found, ref Ref, tags map[string]string) (n names, err error) {
	if err := checkCertificateName(ref.Name); err != nil {
		return n, err
	}
	if err := checkTags(tags); err != nil {
		return n, err
	}
	if n, err = s.openNames(g, f, ref); err != nil {
		return n, err
	}
	return n, n.refuse(ref)
}

// nameKeys are where the records are that have a say in whether a name is free, in the
// order of openNames.
func nameKeys(ref Ref) []store.Key {
	return []store.Key{ref.key(kindCertificate), ref.key(kindOperation), ref.key(kindKey), ref.key(kindSecret)}
}

// names are what those records say.
type names struct {
	certificate    certificateHead
	hasCertificate bool
	operation      operationRecord
	key, secret    header
}

func (s *Service) openNames(g seal.Grant, f found, ref Ref) (n names, err error) {
	if n.hasCertificate, err = s.openHead(g, f.vault, kindCertificate, ref, f.recs[0], &n.certificate); err != nil {
		return n, err
	}
	if f.recs[1].Exists() {
		if _, err = s.open(g, f.vault, f.vault.place(kindOperation, ref, n.certificate.object, ""), f.recs[1], &n.operation); err != nil {
			return n, err
		}
	}
	var key keyHead
	var secret secretHead
	if _, err = s.openHead(g, f.vault, kindKey, ref, f.recs[2], &key); err != nil {
		return n, err
	}
	_, err = s.openHead(g, f.vault, kindSecret, ref, f.recs[3], &secret)
	n.key, n.secret = key.header, secret.header
	return n, err
}

// refuse says why no new version of the name can be made now, or nil.
func (n names) refuse(ref Ref) error {
	switch {
	case n.hasCertificate && n.certificate.State == stateDeleted:
		return deletedConflict(ref)
	case n.hasCertificate && n.certificate.State == statePurging:
		return beingDeletedConflict(ref)
	case n.operation.Status == statusInProgress:
		return conflict("", "A new key vault certificate can not be created or imported while a pending key vault certificate's status is inProgress.")
	case n.key.State != "" && !n.key.Managed, n.secret.State != "" && !n.secret.Managed:
		return conflict("", "The name %s is in use by a key or a secret that does not belong to a certificate; choose another name.", ref.Name)
	}
	return nil
}

// policy is the one to issue by: the input's, or else the stored one.
func (n names) policy(in *PolicyInput, v vaultRecord, now time.Time) (Policy, error) {
	if in == nil && !n.hasCertificate {
		return Policy{}, badProperty("policy", "The first version of a certificate needs a policy")
	}
	if in == nil {
		return n.certificate.Policy.policy(), nil
	}
	p, err := in.fill(v, now)
	if err == nil && n.hasCertificate {
		p.Created = moment(n.certificate.Policy.Created)
	}
	return p, err
}

// keyFor makes a key pair, or takes the current one if the policy says so.
func (s *Service) keyFor(ctx context.Context, g seal.Grant, f found, ref Ref, p Policy) (crypto.Signer, error) {
	if p.ReuseKey && f.recs[2].Exists() {
		var head keyHead
		if _, err := s.openHead(g, f.vault, kindKey, ref, f.recs[2], &head); err != nil {
			return nil, err
		}
		signer, err := pki.ParseKey(head.Current.PKCS8)
		if err != nil {
			return nil, err
		}
		if kt, err := pki.TypeOf(signer.Public()); err == nil && kt == p.KeyType {
			return signer, nil
		}
	}
	return s.generate(ctx, p.KeyType)
}

// generate makes a key pair; one that takes long, when it is its turn.
func (s *Service) generate(ctx context.Context, kt pki.KeyType) (signer crypto.Signer, err error) {
	if kt.Kty == "EC" {
		return pki.GenerateKey(kt)
	}
	err = s.turn(ctx, func() error {
		signer, err = pki.GenerateKey(kt)
		return err
	})
	return signer, err
}

// turn runs what keeps a processor busy, when it is its turn and beside everything
// else, so that reads go on.
func (s *Service) turn(ctx context.Context, work func() error) (err error) {
	refused := s.Keys.Do(ctx, func() { err = work() })
	if errors.Is(refused, idle.ErrFull) {
		return &Error{Code: CodeThrottled, RetryAfter: time.Second, Message: "Too many keys are being made or read at this moment; try again in a second."}
	}
	return errors.Join(refused, err)
}

func (c *creation) fillOperation(in NewCertificate, signer crypto.Signer) error {
	// A policy that came from an imported certificate may ask for what cannot be made.
	template, err := c.policy.template()
	if err != nil {
		return badProperty("policy.x509_props", err.Error())
	}
	if pki.AddMonths(c.now, c.policy.ValidityMonths).Year() > maxYear {
		return badProperty("policy.x509_props.validity_months", "The certificate would be valid beyond the year 9999")
	}
	csr, err := pki.CreateRequest(template, signer)
	if err != nil {
		return badProperty("policy.x509_props", err.Error())
	}
	pkcs8, err := pki.MarshalKey(signer)
	if err != nil {
		return err
	}
	c.operation = operationRecord{
		RequestID: newVersion(), Version: newVersion(), Status: statusInProgress, CSR: csr, PKCS8: pkcs8,
		Policy: c.policy.record(), Enabled: value(in.Enabled, true), Tags: in.Tags, Preserve: in.Preserve, Created: unix(c.now),
	}
	return nil
}

// newVersion returns a version or request id: a version-4 UUID as 32 hex digits.
func newVersion() string {
	id := uuid.New()
	return hex.EncodeToString(id[:])
}

// newObject returns the instance id of a new object.
func newObject() string { return uuid.NewString() }

// commit checks everything again and stores the operation. Its due row is leased to
// this node, which goes on with it at once.
func (c *creation) commit(e edit) error {
	n, recs, err := e.names(c.ref)
	if err != nil {
		return err
	}
	if n.operation.RequestID == c.operation.RequestID { // a rerun of a commit that did happen
		return nil
	}
	if err := n.refuse(c.ref); err != nil {
		return err
	}
	return c.put(e, n, recs)
}

func (c *creation) put(e edit, n names, recs []store.Record) error {
	head := n.certificate
	if !n.hasCertificate {
		head = certificateHead{header: header{Name: c.ref.Name, State: stateLive, Managed: true, object: c.object}}
	}
	head.Policy, head.Pending = c.policy.record(), true
	if len(head.Current.CER) == 0 { // never issued: the version that is being made can be seen already
		head.Current = c.predicted()
	}
	if err := e.putHead(kindCertificate, c.ref, recs[0].Revision, &head); err != nil {
		return err
	}
	place := e.vault.place(kindOperation, c.ref, head.object, "")
	if err := e.put(c.ref.key(kindOperation), place, recs[1].Revision, c.operation); err != nil {
		return err
	}
	if c.operation.merges() { // nothing happens until a certificate is merged
		return e.tx.SetDue(c.ref.key(kindOperation), time.Time{})
	}
	return e.tx.SetDue(c.ref.key(kindOperation), e.s.leased(c.now))
}

// predicted is the version as it is seen before it is issued (recorded).
func (c *creation) predicted() certificateVersion {
	return certificateVersion{
		versionRecord: versionRecord{
			ID: c.operation.Version, Created: unix(c.now), Updated: unix(c.now), Tags: c.operation.Tags,
			NotBefore: unix(c.now.Add(-predate)), Expires: unix(pki.AddMonths(c.now, c.policy.ValidityMonths)),
		},
		Preserve: c.operation.Preserve,
	}
}
