package pki

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// This file reads PKCS#12 (RFC 7292) as clients send it, in DER or BER. No library is
// used: each count of iterations has to be seen before anyone follows it, and the keys
// of P-256K have to be read.

var (
	oidKeyBag  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}
	oidSafeBag = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 6}
)

// ParsePFX reads a PKCS#12 file with exactly one private key and at most 100
// certificates. It takes the schemes of PKCS#12 with triple DES and RC2, PBES2 with
// PBKDF2 and AES or triple DES, and the MACs of PKCS#12 and PBMAC1. Certificate
// revocation lists and secrets in it are passed over.
//
// Errors: ErrPFX for a file that cannot be read, has no MAC, does not open with the
// password, is larger than 1 MiB, or asks for more than 1,000,000 iterations of key
// derivation; ErrKeyType for a kind of key that GenerateKey does not make;
// ErrCertificate for a certificate that ParseCertificate refuses; ErrMismatch.
func ParsePFX(file []byte, password string) (Import, error) {
	r := pfxReader{work: newWork(), forms: passwords(password)}
	out, err := r.read(file)
	if err != nil {
		return Import{}, explainImport(ErrPFX, err)
	}
	return out, nil
}

type pfxReader struct {
	work  *work
	forms []password // that may still be the right one
}

// A bag is a certificate or a private key; others are not kept.
type bag struct {
	isKey      bool
	data       []byte  // the certificate; or PKCS#8, encrypted if there is a scheme
	scheme     *scheme // nil for a key in plain
	localKeyID []byte
}

// A content is one of the parts of the file: its bags, or what has them encrypted.
type content struct {
	bags   []bag
	scheme *scheme
	data   []byte
}

func (r *pfxReader) read(file []byte) (Import, error) {
	if len(file) > maxImport {
		return Import{}, fmt.Errorf("it has more than %d octets", maxImport)
	}
	der, err := toDER(file)
	if err != nil {
		return Import{}, err
	}
	bags, err := r.open(der)
	if err != nil {
		return Import{}, err
	}
	return r.join(bags)
}

// open verifies the MAC and returns all that is in the file, in its order. All that
// can be read without the password is read first, so that what the file asks for is
// known before any key is derived.
func (r *pfxReader) open(der []byte) ([]bag, error) {
	input := cryptobyte.String(der)
	var pfx, safe cryptobyte.String
	var version int
	if !input.ReadASN1(&pfx, cbasn1.SEQUENCE) || !pfx.ReadASN1Integer(&version) || version != 3 || !pfx.ReadASN1(&safe, cbasn1.SEQUENCE) {
		return nil, errors.New("it is not PKCS#12, version 3")
	}
	signed, err := plainData(safe)
	if err != nil {
		return nil, err
	}
	if pfx.Empty() {
		return nil, errors.New("it has no MAC; protect it by a password, which may be empty")
	}
	mac, err := readMAC(pfx, r.work)
	if err != nil {
		return nil, err
	}
	contents, err := r.contents(signed)
	if err != nil {
		return nil, err
	}
	if r.forms, err = mac.verify(signed, r.forms); err != nil {
		return nil, err
	}
	return r.decrypt(contents)
}

// plainData returns the octets of a ContentInfo (RFC 2315 §7) of plain data.
func plainData(info cryptobyte.String) ([]byte, error) {
	var oid asn1.ObjectIdentifier
	var explicit cryptobyte.String
	var data []byte
	if !info.ReadASN1ObjectIdentifier(&oid) || !info.ReadASN1(&explicit, explicit0) || !info.Empty() {
		return nil, errBER
	}
	if !oid.Equal(oidData) {
		return nil, errors.New("it is protected by public keys; use a password")
	}
	if !explicit.ReadASN1Bytes(&data, cbasn1.OCTET_STRING) || !explicit.Empty() {
		return nil, errBER
	}
	return data, nil
}

// contents reads AuthenticatedSafe (RFC 7292 §4.1).
func (r *pfxReader) contents(safe []byte) ([]content, error) {
	list, err := elements(safe)
	if err != nil {
		return nil, err
	}
	var out []content
	for _, info := range list {
		each, err := r.content(info)
		if err != nil {
			return nil, err
		}
		out = append(out, each)
	}
	return out, nil
}

// elements returns the contents of the SEQUENCEs in a SEQUENCE, which may be BER.
func elements(ber []byte) ([]cryptobyte.String, error) {
	der, err := toDER(ber)
	if err != nil {
		return nil, err
	}
	input := cryptobyte.String(der)
	var list cryptobyte.String
	if !input.ReadASN1(&list, cbasn1.SEQUENCE) {
		return nil, errBER
	}
	var out []cryptobyte.String
	for !list.Empty() {
		var each cryptobyte.String
		if !list.ReadASN1(&each, cbasn1.SEQUENCE) {
			return nil, errBER
		}
		out = append(out, each)
	}
	return out, nil
}

func (r *pfxReader) content(info cryptobyte.String) (content, error) {
	var oid asn1.ObjectIdentifier
	var explicit cryptobyte.String
	if rest := info; !rest.ReadASN1ObjectIdentifier(&oid) || !rest.ReadASN1(&explicit, explicit0) || !rest.Empty() {
		return content{}, errBER
	}
	if oid.Equal(oidEncryptedData) {
		return r.encryptedContent(explicit)
	}
	data, err := plainData(info)
	if err != nil {
		return content{}, err
	}
	bags, err := r.bags(data, 0)
	return content{bags: bags}, err
}

// encryptedContent reads EncryptedData (RFC 2315 §13).
func (r *pfxReader) encryptedContent(in cryptobyte.String) (content, error) {
	var data, info, algorithm cryptobyte.String
	var version int
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&data, cbasn1.SEQUENCE) || !in.Empty() || !data.ReadASN1Integer(&version) || version != 0 ||
		!data.ReadASN1(&info, cbasn1.SEQUENCE) || !data.Empty() ||
		!info.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidData) || !info.ReadASN1(&algorithm, cbasn1.SEQUENCE) {
		return content{}, errBER
	}
	encrypted, ok := implicitOctets(&info)
	if !ok || !info.Empty() {
		return content{}, errBER
	}
	s, err := readScheme(algorithm, r.work)
	return content{scheme: &s, data: encrypted}, err
}

// implicitOctets reads an OCTET STRING with the tag 0. In BER it may come in pieces,
// which toDER cannot know for what they are.
func implicitOctets(in *cryptobyte.String) ([]byte, bool) {
	var out, pieces cryptobyte.String
	if in.PeekASN1Tag(implicit) {
		ok := in.ReadASN1(&out, implicit)
		return out, ok
	}
	if !in.ReadASN1(&pieces, explicit0) {
		return nil, false
	}
	for !pieces.Empty() {
		var piece cryptobyte.String
		if !pieces.ReadASN1(&piece, cbasn1.OCTET_STRING) {
			return nil, false
		}
		out = append(out, piece...)
	}
	return out, true
}

// bags reads SafeContents (RFC 7292 §4.2), which may hold others, one level deep.
func (r *pfxReader) bags(safe []byte, depth int) ([]bag, error) {
	list, err := elements(safe)
	if err != nil {
		return nil, err
	}
	var out []bag
	for _, each := range list {
		var oid asn1.ObjectIdentifier
		var value, attributes cryptobyte.String
		var found bool
		if !each.ReadASN1ObjectIdentifier(&oid) || !each.ReadASN1(&value, explicit0) ||
			!each.ReadOptionalASN1(&attributes, &found, cbasn1.SET) || !each.Empty() {
			return nil, errBER
		}
		read, err := r.bag(oid, value, depth)
		if err != nil {
			return nil, err
		}
		if len(read) == 1 && !oid.Equal(oidSafeBag) {
			read[0].localKeyID = localKeyID(attributes)
		}
		out = append(out, read...)
	}
	return out, nil
}

// bag reads one SafeBag: none for a kind that is passed over, and many for a bag of bags.
func (r *pfxReader) bag(oid asn1.ObjectIdentifier, value cryptobyte.String, depth int) ([]bag, error) {
	switch {
	case oid.Equal(oidKeyBag):
		return []bag{{isKey: true, data: value}}, nil
	case oid.Equal(oidShroudedKeyBag):
		s, data, err := readEncryptedKey(value, r.work)
		return []bag{{isKey: true, data: data, scheme: &s}}, err
	case oid.Equal(oidCertBag):
		return certificateBag(value)
	case oid.Equal(oidSafeBag):
		if depth > 0 {
			return nil, errors.New("its bags are nested too deep")
		}
		return r.bags(value, depth+1)
	}
	return nil, nil
}

func certificateBag(value cryptobyte.String) ([]bag, error) {
	var body, explicit cryptobyte.String
	var oid asn1.ObjectIdentifier
	var der []byte
	if !value.ReadASN1(&body, cbasn1.SEQUENCE) || !value.Empty() || !body.ReadASN1ObjectIdentifier(&oid) ||
		!body.ReadASN1(&explicit, explicit0) || !body.Empty() {
		return nil, errBER
	}
	if !oid.Equal(oidX509Certificate) { // an SDSI certificate
		return nil, nil
	}
	if !explicit.ReadASN1Bytes(&der, cbasn1.OCTET_STRING) || !explicit.Empty() {
		return nil, errBER
	}
	return []bag{{data: der}}, nil
}

// localKeyID finds the attribute that pairs a key with its certificate; nil without a
// sound one, as nothing hangs on it when the public keys say the same.
func localKeyID(attributes cryptobyte.String) []byte {
	for !attributes.Empty() {
		var attribute, values cryptobyte.String
		var oid asn1.ObjectIdentifier
		var id []byte
		if !attributes.ReadASN1(&attribute, cbasn1.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&oid) || !attribute.ReadASN1(&values, cbasn1.SET) {
			return nil
		}
		if oid.Equal(oidLocalKeyID) && values.ReadASN1Bytes(&id, cbasn1.OCTET_STRING) {
			return id
		}
	}
	return nil
}

// decrypt returns the bags of all contents, in the order of the file.
func (r *pfxReader) decrypt(contents []content) ([]bag, error) {
	var out []bag
	for _, c := range contents {
		if c.scheme != nil {
			safe, err := c.scheme.decrypt(c.data, r.forms)
			if err != nil {
				return nil, err
			}
			if c.bags, err = r.bags(safe, 0); err != nil {
				return nil, err
			}
		}
		out = append(out, c.bags...)
	}
	return out, nil
}

// join counts what came out, and finds the certificate of the key.
func (r *pfxReader) join(bags []bag) (Import, error) {
	isKey := func(b bag) bool { return b.isKey }
	at := slices.IndexFunc(bags, isKey)
	switch {
	case at < 0:
		return Import{}, errors.New("it has no private key")
	case slices.ContainsFunc(bags[at+1:], isKey):
		return Import{}, errors.New("it has several private keys")
	case len(bags)-1 > maxCertificates:
		return Import{}, errTooMany()
	}
	own := bags[at]
	key, err := r.key(own)
	if err != nil {
		return Import{}, err
	}
	bags = slices.Delete(bags, at, at+1)
	chain := make([][]byte, len(bags))
	for i, b := range bags {
		chain[i] = b.data
	}
	preferred := slices.IndexFunc(bags, func(b bag) bool { return len(b.localKeyID) > 0 && bytes.Equal(b.localKeyID, own.localKeyID) })
	return newImport(key, chain, preferred)
}

func (r *pfxReader) key(b bag) (crypto.Signer, error) {
	if b.scheme == nil {
		return ParseKey(b.data)
	}
	pkcs8, err := b.scheme.decrypt(b.data, r.forms)
	if err != nil {
		return nil, err
	}
	return ParseKey(pkcs8)
}
