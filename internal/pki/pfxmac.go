package pki

import (
	"crypto"
	"crypto/hmac"
	"encoding/asn1"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A pfxMAC protects the contents of a PKCS#12 file under a password.
type pfxMAC struct {
	hash   crypto.Hash
	digest []byte
	forms  int // how many forms of an empty password differ under it
	key    func(password) ([]byte, error)
}

// The bounds of the key of a PBMAC1, in octets. RFC 9579 §5 asks for 20 at least; more
// than any hash gives has no use.
const (
	minMACKey = 20
	maxMACKey = 64
)

// readMAC reads MacData (RFC 7292 §4) and charges the work to verify it.
func readMAC(in cryptobyte.String, w *work) (pfxMAC, error) {
	var data, info, algorithm cryptobyte.String
	var digest, salt []byte
	iterations := 1
	if !in.ReadASN1(&data, cbasn1.SEQUENCE) || !in.Empty() ||
		!data.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1(&algorithm, cbasn1.SEQUENCE) ||
		!info.ReadASN1Bytes(&digest, cbasn1.OCTET_STRING) || !info.Empty() ||
		!data.ReadASN1Bytes(&salt, cbasn1.OCTET_STRING) ||
		!data.Empty() && !data.ReadASN1Integer(&iterations) || !data.Empty() {
		return pfxMAC{}, errBER
	}
	oid := asn1.ObjectIdentifier{}
	if rest := algorithm; rest.ReadASN1ObjectIdentifier(&oid) && oid.Equal(oidPBMAC1) {
		return readPBMAC1(rest, digest, w)
	}
	hash, err := readHash(algorithm, digestHashOf)
	if err != nil {
		return pfxMAC{}, err
	}
	return pfxMAC{hash: hash, digest: digest, forms: 2, key: func(pw password) ([]byte, error) {
		kdf := pkcs12KDF{hash: hash, password: pw.bmp, salt: salt, iterations: iterations}
		return kdf.key(pkcs12MAC, hash.Size()), nil
	}}, w.charge(iterations, 1)
}

// readPBMAC1 reads PBMAC1-params (RFC 8018 appendix A.5). Salt and iterations of the
// MacData itself mean nothing then (RFC 9579 §4).
func readPBMAC1(in cryptobyte.String, digest []byte, w *work) (pfxMAC, error) {
	var parameters, kdf, scheme cryptobyte.String
	if !in.ReadASN1(&parameters, cbasn1.SEQUENCE) || !in.Empty() || !parameters.ReadASN1(&kdf, cbasn1.SEQUENCE) ||
		!parameters.ReadASN1(&scheme, cbasn1.SEQUENCE) || !parameters.Empty() {
		return pfxMAC{}, errBER
	}
	derivation, err := readPBKDF2(kdf)
	if err != nil {
		return pfxMAC{}, err
	}
	hash, err := readHash(scheme, hmacHashOf)
	if err != nil {
		return pfxMAC{}, err
	}
	if derivation.size < minMACKey || derivation.size > maxMACKey {
		return pfxMAC{}, errors.New("the key of its MAC has from 20 to 64 octets")
	}
	return pfxMAC{hash: hash, digest: digest, forms: 1, key: derivation.key}, derivation.charge(w)
}

func digestHashOf(oid asn1.ObjectIdentifier) (crypto.Hash, bool) {
	switch oid.String() {
	case "1.3.14.3.2.26":
		return crypto.SHA1, true
	case "2.16.840.1.101.3.4.2.4":
		return crypto.SHA224, true
	case "2.16.840.1.101.3.4.2.1":
		return crypto.SHA256, true
	case "2.16.840.1.101.3.4.2.2":
		return crypto.SHA384, true
	case "2.16.840.1.101.3.4.2.3":
		return crypto.SHA512, true
	}
	return 0, false
}

// verify tells under which of the passwords the contents are what the MAC says. A MAC
// that does not tell forms of the empty password apart leaves them all.
func (m pfxMAC) verify(contents []byte, forms []password) ([]password, error) {
	for i, form := range forms[:min(m.forms, len(forms))] {
		key, err := m.key(form)
		if err != nil {
			return nil, err
		}
		mac := hmac.New(m.hash.New, key)
		mac.Write(contents)
		switch {
		case !hmac.Equal(mac.Sum(nil), m.digest):
		case m.forms == 1:
			return forms, nil
		default:
			return forms[i : i+1], nil
		}
	}
	return nil, errPassword
}
