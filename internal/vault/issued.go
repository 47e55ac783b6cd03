package vault

import (
	"cmp"
	"crypto"
	"encoding/base64"
	"time"

	"coffer/internal/pki"
)

// A rendering is what a new version of a certificate is made of.
type rendering struct {
	id       string // of the version
	enabled  bool
	tags     map[string]string
	preserve *bool // preserveCertOrder
	policy   Policy
	signer   crypto.Signer
	chain    [][]byte // DER
	leaf     int      // index of the signer's certificate in chain
	now      time.Time
}

// An issued is a new version of a certificate with its key and its secret, rendered
// and ready to be put.
type issued struct {
	certificate certificateVersion
	key         keyVersion
	secret      secretVersion
	objects     [3]string // ids, if the certificate, the key or the secret is new
}

// newIssued renders everything that the version consists of.
func newIssued(r rendering) (*issued, error) {
	leaf, err := pki.ParseCertificate(r.chain[r.leaf])
	if err != nil {
		return nil, err
	}
	v := versionRecord{
		ID: r.id, Enabled: r.enabled, NotBefore: unix(leaf.NotBefore), Expires: unix(leaf.NotAfter),
		Created: unix(r.now), Updated: unix(r.now), Tags: r.tags,
	}
	n := &issued{
		certificate: certificateVersion{versionRecord: v, CER: r.chain[r.leaf], Preserve: r.preserve},
		objects:     [3]string{newObject(), newObject(), newObject()},
	}
	v.Tags = nil
	if n.key, err = newKeyVersion(v, r.signer, r.policy); err != nil {
		return nil, err
	}
	n.secret, err = newSecretVersion(v, r)
	return n, err
}

func newKeyVersion(v versionRecord, signer crypto.Signer, policy Policy) (keyVersion, error) {
	usage, err := pki.ParseKeyUsage(policy.KeyUsage)
	if err != nil {
		return keyVersion{}, err
	}
	pkcs8, err := pki.MarshalKey(signer)
	if err != nil {
		return keyVersion{}, err
	}
	spki, err := pki.MarshalPublicKey(signer.Public())
	if err != nil {
		return keyVersion{}, err
	}
	return keyVersion{versionRecord: v, PKCS8: pkcs8, Ops: keyOps(usage, policy), SPKI: spki, HSM: policy.HSM}, nil
}

// keyOps are the operations of a certificate's key. A certificate without any key
// usage, which only an imported one is, allows all that its kind of key can do.
func keyOps(usage pki.KeyUsage, policy Policy) []string {
	if usage != 0 {
		return usage.KeyOps()
	}
	return defaultOps(policy.KeyType.Kty)
}

func newSecretVersion(v versionRecord, r rendering) (secretVersion, error) {
	signer := r.signer
	if !r.policy.Exportable {
		signer = nil
	}
	out := secretVersion{versionRecord: v, ContentType: r.policy.ContentType}
	chain := r.ordered()
	if out.ContentType == ContentTypePEM {
		text, err := pki.EncodePEM(signer, chain)
		out.Value = string(text)
		return out, err
	}
	pfx, err := pki.EncodePFX(signer, chain)
	out.Value = base64.StdEncoding.EncodeToString(pfx)
	return out, err
}

// ordered is the chain as the secret has it: the leaf first, unless the order that was
// given is to be kept.
func (r rendering) ordered() [][]byte {
	if value(r.preserve, false) || r.leaf == 0 {
		return r.chain
	}
	out := append([][]byte{r.chain[r.leaf]}, r.chain[:r.leaf]...)
	return append(out, r.chain[r.leaf+1:]...)
}

// put puts the new version of all three objects, and keeps what was current as an
// older version. Objects that are not there yet are made.
func (n *issued) put(e edit, ref Ref, t triple) error {
	if err := t.keepOlder(e, ref); err != nil {
		return err
	}
	for i, head := range t.heads() {
		if h := head.base(); h.object == "" {
			*h = header{Name: cmp.Or(t.certificate.Name, ref.Name), State: stateLive, Managed: true, object: n.objects[i]}
		}
	}
	sequence := t.certificate.Sequence + 1
	for _, head := range t.heads() {
		head.base().Sequence = sequence
	}
	n.certificate.Sequence, n.key.Sequence, n.secret.Sequence = sequence, sequence, sequence
	n.secret.Previous = ""
	if len(t.certificate.Current.CER) != 0 {
		n.secret.Previous = t.certificate.Current.ID
	}
	t.certificate.Current, t.key.Current, t.secret.Current = n.certificate, n.key, n.secret
	for i, head := range t.heads() {
		if err := e.putHead(tripleKinds[i], ref, t.revisions[i], head); err != nil {
			return err
		}
	}
	return e.schedule(ref, &t.certificate)
}

// keepOlder makes records of the versions that will no longer be current.
func (t *triple) keepOlder(e edit, ref Ref) error {
	if len(t.certificate.Current.CER) == 0 {
		return nil
	}
	older := t.certificate.Current.ID
	current := [3]any{t.certificate.Current, t.key.Current, t.secret.Current}
	for i, head := range t.heads() {
		if err := e.putVersion(versionKinds[i], ref, head.base().object, older, current[i]); err != nil {
			return err
		}
	}
	return nil
}
