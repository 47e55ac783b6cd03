package vault

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A Report is told of one thing that is wrong with the record at key. repair makes it
// right in an Update of its own, after it has looked again; nil: that cannot be derived
// from anything.
type Report func(key store.Key, problem string, repair func(store.Tx) error)

// A Check looks through the records of one snapshot: each opens at its place, the three of
// a certificate belong together, and index records and due rows are there for what needs
// them.
type Check struct {
	service *Service
	tx      store.Tx
	grant   seal.Grant
	due     map[store.Key]time.Time
	report  Report
	vault   *vaultState // the last one that was asked for
}

// NewCheck begins a check of a snapshot. due are all its due rows.
func (s *Service) NewCheck(tx store.Tx, g seal.Grant, due map[store.Key]time.Time, report Report) *Check {
	return &Check{service: s, tx: tx, grant: g, due: due, report: report}
}

// Record checks one record. known is false for a record of another room. An error is the
// store's.
func (c *Check) Record(rec store.Record) (known bool, err error) {
	if name, found := strings.CutPrefix(string(rec.Key), vaultPrefix); found {
		c.checkVault(rec, name)
		return true, nil
	}
	if name, found := strings.CutPrefix(string(rec.Key), groupPrefix); found {
		c.checkGroup(rec, name)
		return true, nil
	}
	if !strings.HasPrefix(string(rec.Key), objectPrefix) {
		return false, nil
	}
	kind, ref, ok := parseKey(rec.Key)
	if ok && slices.Contains(indexKinds, kind) {
		return true, c.checkIndex(rec.Key, kind, ref)
	}
	at, ok := parsePlace(rec.Key)
	if !ok {
		return false, nil
	}
	v, err := c.vaultOf(rec.Key, at.ref)
	if err != nil || v == nil {
		return true, err
	}
	return true, c.checkObject(edit{s: c.service, g: c.grant, vault: v, tx: c.tx}, rec, at)
}

// vaultOf returns the vault of a record; nil if it does not exist or does not open.
func (c *Check) vaultOf(key store.Key, ref Ref) (*vaultState, error) {
	if c.vault != nil && fold(c.vault.Name) == ref.Vault {
		return c.vault, nil
	}
	rec, err := c.tx.Get(vaultKey(ref.Vault))
	if err != nil {
		return nil, err
	}
	if !rec.Exists() {
		c.report(key, "it is of a vault that does not exist", nil)
		return nil, nil
	}
	v, err := c.service.openVault(ref.Vault)(rec)
	if err != nil { // reported with the vault itself
		c.report(key, "its vault does not open", nil)
		return nil, nil
	}
	c.vault = v
	return v, nil
}

func (c *Check) checkVault(rec store.Record, name string) {
	v, err := c.service.openVault(name)(rec)
	if err != nil {
		c.report(rec.Key, err.Error(), nil)
		return
	}
	if fold(v.Name) != name {
		c.report(rec.Key, "it has the name "+v.Name, nil)
	}
	if v.State != "" {
		c.needDue(rec.Key, moment(v.PurgeAt), "a deleted vault is not due to be purged")
	}
}

func (c *Check) checkGroup(rec store.Record, name string) {
	r, err := c.service.openGroup(c.grant, rec, name)
	if err != nil {
		c.report(rec.Key, err.Error(), nil)
		return
	}
	if r.State != "" {
		c.needDue(rec.Key, c.service.Now(), "a group that is being deleted is not due")
	}
}

// needDue reports a due row that is missing. The repair makes it, if the record that needs
// it has not changed.
func (c *Check) needDue(key store.Key, at time.Time, problem string) {
	c.needDueFor(key, key, at, problem)
}

func (c *Check) needDueFor(key, record store.Key, at time.Time, problem string) {
	if _, ok := c.due[key]; ok {
		return
	}
	was, err := c.tx.Get(record)
	if err != nil {
		return
	}
	c.report(key, problem, func(tx store.Tx) error {
		now, err := tx.Get(record)
		if err != nil || now.Revision != was.Revision {
			return err
		}
		return tx.SetDue(key, at)
	})
}

// checkIndex looks whether an index record points at something deleted.
func (c *Check) checkIndex(key store.Key, kind string, ref Ref) error {
	of := map[string]string{indexDeleted: kindCertificate, indexDeletedKey: kindKey, indexDeletedSecret: kindSecret}[kind]
	rec, err := c.tx.Get(ref.key(of))
	if err != nil || rec.Exists() { // whether that is deleted is looked at with the head
		return err
	}
	c.report(key, "the index record points at nothing", func(tx store.Tx) error {
		if head, err := tx.Get(ref.key(of)); err != nil || head.Exists() {
			return err
		}
		return edit{tx: tx}.remove(key)
	})
	return nil
}

// checkObject opens a record in a vault, and looks at what belongs to it.
func (c *Check) checkObject(e edit, rec store.Record, at spot) error {
	into := newRecord(at.kind)
	place, err := c.service.open(c.grant, e.vault, e.vault.place(at.kind, at.ref, "", at.ref.Version), rec, into)
	if err != nil {
		c.report(rec.Key, err.Error(), nil)
		return nil
	}
	if e.vault.State == statePurging {
		return nil
	}
	if head, ok := into.(headed); ok {
		head.base().object = place.Object
		return c.checkHead(e, rec.Key, at, head)
	}
	switch v := into.(type) {
	case *certificateVersion:
		return c.checkOlder(e, rec.Key, at.ref, place.Object, v)
	case *keyVersion:
		return c.checkOwner(rec.Key, at.ref, kindKey, place.Object)
	case *secretVersion:
		return c.checkOwner(rec.Key, at.ref, kindSecret, place.Object)
	case *operationRecord:
		return c.checkOperation(e, rec.Key, at.ref, place.Object, v)
	}
	return nil
}

// newRecord is what a kind of record is decoded into.
func newRecord(kind string) any {
	switch kind {
	case kindCertificate:
		return &certificateHead{}
	case kindKey:
		return &keyHead{}
	case kindSecret:
		return &secretHead{}
	case kindCertificateVersion:
		return &certificateVersion{}
	case kindKeyVersion:
		return &keyVersion{}
	case kindSecretVersion:
		return &secretVersion{}
	case kindOperation:
		return &operationRecord{}
	case kindContacts:
		return &contactsRecord{}
	case kindIssuer:
		return &issuerRecord{}
	}
	return &releaseSignerRecord{}
}

// checkHead looks at the head of an object: its index, its due rows, and of a certificate
// the key and the secret.
func (c *Check) checkHead(e edit, key store.Key, at spot, head headed) error {
	h := head.base()
	if fold(h.Name) != at.ref.Name {
		c.report(key, "it has the name "+h.Name, nil)
	}
	if err := c.checkDeleted(e, at, head); err != nil {
		return err
	}
	switch head := head.(type) {
	case *certificateHead:
		if h.State != stateLive {
			c.needDue(key, moment(h.PurgeAt), "a deleted certificate is not due to be purged")
		} else if due := head.renewAt(); !due.IsZero() {
			c.needDueFor(at.ref.key(kindRenewal), key, due, "the certificate is not due to be renewed")
		}
		return c.checkTriple(e, key, at.ref, head)
	case *keyHead:
		if due := head.rotateAt(); h.State == stateLive && !h.Managed && !due.IsZero() {
			c.needDueFor(at.ref.key(kindRotation), key, due, "the key is not due to be rotated")
		}
		if err := checkKey(&head.Current); err != nil {
			c.report(key, err.Error(), nil)
		}
	}
	if h.Managed {
		return c.need(key, at.ref.key(kindCertificate), "its certificate does not exist")
	}
	if h.State != stateLive {
		c.needDue(key, moment(h.PurgeAt), "a deleted object is not due to be purged")
	}
	return nil
}

// need reports a record that has to be there.
func (c *Check) need(key, other store.Key, problem string) error {
	rec, err := c.tx.Get(other)
	if err == nil && !rec.Exists() {
		c.report(key, problem, nil)
	}
	return err
}

// checkDeleted looks whether the index of deleted objects has the head, or has it not.
func (c *Check) checkDeleted(e edit, at spot, head headed) error {
	index := at.ref.key(deletedIndexes[slices.Index(tripleKinds[:], at.kind)])
	rec, err := c.tx.Get(index)
	if err != nil || rec.Exists() == (head.base().State != stateLive) {
		return err
	}
	was, err := c.tx.Get(at.ref.key(at.kind))
	if err != nil {
		return err
	}
	deleted := head.base().State != stateLive
	c.report(index, "the index of deleted objects does not say what the object says", func(tx store.Tx) error {
		now, err := tx.Get(at.ref.key(at.kind))
		switch {
		case err != nil || now.Revision != was.Revision:
			return err
		case deleted:
			return edit{tx: tx}.index(index)
		}
		return edit{tx: tx}.remove(index)
	})
	return nil
}

// checkTriple looks whether a certificate, its key and its secret are of one state and one
// version, and hold the same key.
func (c *Check) checkTriple(e edit, key store.Key, ref Ref, head *certificateHead) error {
	t, err := e.triple(ref)
	if err != nil {
		c.report(key, "its key or its secret does not open: "+err.Error(), nil)
		return nil
	}
	if len(head.Current.CER) == 0 { // never issued
		return nil
	}
	if t.revisions[1] == 0 || t.revisions[2] == 0 {
		c.report(key, "its key or its secret does not exist", nil)
		return nil
	}
	for i, other := range t.heads() {
		h := other.base()
		if h.State != head.State || h.Sequence != head.Sequence || i > 0 && !h.Managed {
			c.report(key, "its "+tripleKinds[i]+" is of another state or version", nil)
			return nil
		}
	}
	if err := checkVersions(&head.Current, &t.key.Current, &t.secret.Current, head.Policy.Exportable); err != nil {
		c.report(key, err.Error(), nil)
	}
	return nil
}

// checkOlder is checkTriple for an older version. It has been exportable or not: that is
// not in it.
func (c *Check) checkOlder(e edit, key store.Key, ref Ref, object string, v *certificateVersion) error {
	if err := c.checkOwner(key, ref, kindCertificate, object); err != nil {
		return err
	}
	var head certificateHead
	if was, err := e.head(kindCertificate, ref, &head); err != nil || was == 0 || head.State == statePurging {
		return nil // reported with the head
	}
	var k keyVersion
	var s secretVersion
	for i, into := range []any{&k, &s} {
		kind := versionKinds[i+1]
		rec, err := c.tx.Get(ref.key(tripleKinds[i+1]))
		if err != nil {
			return err
		}
		was, err := e.version(kind, ref, seal.ObjectOf(rec.Body), into)
		if err != nil || was == 0 {
			c.report(key, "its "+kind+" does not exist or does not open", nil)
			return nil
		}
	}
	if err := checkVersions(v, &k, &s, false); err != nil {
		c.report(key, err.Error(), nil)
	}
	return nil
}

// checkOwner looks whether an older version is of the object that has its name now.
func (c *Check) checkOwner(key store.Key, ref Ref, kind, object string) error {
	rec, err := c.tx.Get(ref.key(kind))
	if err == nil && (!rec.Exists() || seal.ObjectOf(rec.Body) != object) {
		c.report(key, "it is a version of an object that does not exist", nil)
	}
	return err
}

func (c *Check) checkOperation(e edit, key store.Key, ref Ref, object string, op *operationRecord) error {
	if err := c.checkOwner(key, ref, kindCertificate, object); err != nil {
		return err
	}
	var head certificateHead
	was, err := e.head(kindCertificate, ref, &head)
	if err != nil || was == 0 || head.State != stateLive {
		return nil // reported with the head
	}
	if op.Status == statusInProgress && !op.merges() {
		c.needDue(key, c.service.Now(), "an issuance that is under way is not due")
	}
	return nil
}

// checkKey looks whether the two halves of a key belong together.
func checkKey(k *keyVersion) error {
	if len(k.K) > 0 {
		return nil
	}
	signer, err := pki.ParseKey(k.PKCS8)
	if err != nil {
		return fmt.Errorf("its private key cannot be read: %w", err)
	}
	public, err := pki.MarshalPublicKey(signer.Public())
	if err != nil {
		return err
	}
	if !bytes.Equal(public, k.SPKI) {
		return errors.New("its public key is not that of its private key")
	}
	return nil
}

// checkVersions looks whether one version of a certificate, a key and a secret are of one
// key, and the secret has what the certificate's policy promises.
func checkVersions(certificate *certificateVersion, k *keyVersion, s *secretVersion, exportable bool) error {
	if certificate.ID != k.ID || certificate.ID != s.ID {
		return errors.New("its key or its secret is of another version")
	}
	if err := checkKey(k); err != nil {
		return err
	}
	leaf, err := pki.ParseCertificate(certificate.CER)
	if err != nil {
		return err
	}
	public, err := pki.MarshalPublicKey(leaf.PublicKey)
	if err != nil {
		return err
	}
	if !bytes.Equal(public, k.SPKI) {
		return errors.New("its key is not that of the certificate")
	}
	return checkSecret(s, certificate.CER, k.SPKI, exportable)
}

// checkSecret looks whether the secret of a certificate has the certificate, and no other
// private key than its own; wants says that there has to be one.
func checkSecret(s *secretVersion, cer, spki []byte, wants bool) error {
	text := []byte(s.Value)
	if s.ContentType != ContentTypePEM {
		pfx, err := base64.StdEncoding.DecodeString(s.Value)
		if err != nil {
			return errors.New("its secret is no base64")
		}
		if text, err = pki.PFXToPEM(pfx); err != nil {
			return fmt.Errorf("its secret cannot be read: %w", err)
		}
	}
	hasCertificate, hasKey := false, false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			hasCertificate = hasCertificate || bytes.Equal(block.Bytes, cer)
			continue
		}
		hasKey = true
		signer, err := pki.ParseKey(block.Bytes)
		if err != nil {
			return errors.New("the private key in its secret cannot be read")
		}
		if public, err := pki.MarshalPublicKey(signer.Public()); err != nil || !bytes.Equal(public, spki) {
			return errors.New("the private key in its secret is another one")
		}
	}
	if !hasCertificate || wants && !hasKey {
		return errors.New("its secret has not the certificate and its key")
	}
	return nil
}

// Due checks a due row: what it is about has to be there. known is false for a row of
// another room.
func (c *Check) Due(key store.Key) (known bool, err error) {
	if c.service.route(key) == nil {
		return false, nil
	}
	about := key
	if kind, ref, ok := parseKey(key); ok && kind == kindRenewal {
		about = ref.key(kindCertificate)
	} else if ok && kind == kindRotation {
		about = ref.key(kindKey)
	}
	rec, err := c.tx.Get(about)
	if err != nil || rec.Exists() {
		return true, err
	}
	c.report(key, "the due row leads to nothing", func(tx store.Tx) error {
		if now, err := tx.Get(about); err != nil || now.Exists() {
			return err
		}
		return tx.SetDue(key, time.Time{})
	})
	return true, nil
}
