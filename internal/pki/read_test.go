package pki_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/internal/pki"
)

// made is a certificate by the standard library.
func made(t testing.TB, c x509.Certificate, key crypto.Signer) []byte {
	t.Helper()
	if c.SerialNumber == nil {
		c.SerialNumber = big.NewInt(1)
	}
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = now, now.AddDate(1, 0, 0)
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestBadCertificates(t *testing.T) {
	key := newKey(t)
	good := selfSigned(t, "CN=a", key)
	koblitz := selfSigned(t, "CN=a", koblitzKey(t))
	swap := func(der []byte, old, with string) []byte {
		if bytes.Count(der, []byte(old)) == 0 {
			t.Fatalf("%q is not in the certificate", old)
		}
		return bytes.Replace(der, []byte(old), []byte(with), 1)
	}
	huge := made(t, x509.Certificate{ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, 100<<10)}}}, key)
	for name, der := range map[string][]byte{
		"empty":                  nil,
		"two":                    slices.Concat(good, good),
		"followed by more":       append(slices.Clone(good), 0),
		"negative serial number": fixture(t, "negative-serial.der"),
		"ends before it begins":  swap(good, "270301120000Z", "250301120000Z"),
		"the 31st of February":   swap(good, "270301120000Z", "270231120000Z"),
		"before 1970":            swap(good, "260301120000Z", "560301120000Z"),
		"no time":                swap(good, "260301120000Z", "2603011200zzZ"),
		"too large":              huge,
		"P-256K, more behind":    append(slices.Clone(koblitz), 0),
		"P-256K, end first":      swap(koblitz, "270301120000Z", "250301120000Z"),
		"a request":              request(t, key),
		"a request on P-256K":    request(t, koblitzKey(t)),
	} {
		if c, err := pki.ParseCertificate(der); !errors.Is(err, pki.ErrCertificate) || c != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, whole := range [][]byte{good, koblitz} {
		for n := range whole {
			if _, err := pki.ParseCertificate(whole[:n]); !errors.Is(err, pki.ErrCertificate) {
				t.Fatalf("cut at %d: %v", n, err)
			}
		}
	}
}

func request(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := pki.CreateRequest(template(t, "CN=a"), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Months are whole and rounded up; the first three were recorded.
func TestValidityMonths(t *testing.T) {
	key := newKey(t)
	day := func(text string) time.Time {
		at, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	from := day("2026-03-01 12:00:00")
	for _, test := range []struct {
		from, to time.Time
		want     int
	}{
		{from, from.AddDate(0, 0, 36500), 1200},
		{from, from.AddDate(0, 0, 3650), 120},
		{from, from.AddDate(1, 0, 0), 12},
		{from, from.AddDate(1, 0, 0).Add(time.Second), 13},
		{from, from.AddDate(1, 0, 0).Add(-time.Second), 12},
		{from, from, 1},
		{from, from.AddDate(0, 0, 1), 1},
		{day("2026-01-31 00:00:00"), day("2026-02-28 00:00:00"), 1},
		{day("2026-01-31 00:00:00"), day("2026-02-28 00:00:01"), 2},
		{day("2026-01-31 00:00:00"), day("2026-03-01 00:00:00"), 2},
		{day("2026-12-31 23:59:59"), day("2027-01-01 00:00:00"), 1},
		{from, day("9999-12-31 23:59:59"), 12*(9999-2026) + 10},
	} {
		c, err := pki.ParseCertificate(made(t, x509.Certificate{NotBefore: test.from, NotAfter: test.to}, key))
		if err != nil {
			t.Fatal(err)
		}
		if d, err := pki.Describe(c); err != nil || d.ValidityMonths != test.want {
			t.Errorf("%v to %v: %d months, not %d: %v", test.from, test.to, d.ValidityMonths, test.want, err)
		}
	}
}

// A certificate says of itself what its template said.
func TestDescribe(t *testing.T) {
	for _, kt := range append(keyTypes, koblitz) {
		key, err := pki.GenerateKey(kt)
		if err != nil {
			t.Fatal(err)
		}
		of := template(t, "E=a@b.test, CN=leaf, O=A, S=x, C=US", "digitalSignature", "decipherOnly")
		serial, err := pki.NewSerial()
		if err != nil {
			t.Fatal(err)
		}
		der, err := pki.SelfSign(of, key, pki.Validity{NotBefore: now, NotAfter: pki.AddMonths(now, 7)}, serial)
		if err != nil {
			t.Fatal(err)
		}
		c, err := pki.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		d, err := pki.Describe(c)
		want := pki.Description{KeyType: kt, Subject: "E=a@b.test, CN=leaf, O=A, S=x, C=US", SANs: of.SANs, HasSANs: true, EKUs: of.EKUs, KeyUsage: of.KeyUsage, ValidityMonths: 7}
		if err != nil || fmt.Sprintf("%+v", d) != fmt.Sprintf("%+v", want) {
			t.Errorf("%+v, not %+v: %v", d, want, err)
		}
	}
}

// What a certificate does not say is empty and not nil, and foreign kinds of names are
// passed over.
func TestDescribeOthers(t *testing.T) {
	key := newKey(t)
	describe := func(c x509.Certificate) (pki.Description, error) {
		read, err := pki.ParseCertificate(made(t, c, key))
		if err != nil {
			t.Fatal(err)
		}
		return pki.Describe(read)
	}
	bare, err := describe(x509.Certificate{})
	if err != nil || bare.HasSANs || !bare.SANs.Empty() || bare.EKUs == nil || len(bare.EKUs) != 0 || bare.KeyUsage != 0 || bare.CA || bare.Subject != "" {
		t.Errorf("%+v, %v", bare, err)
	}
	ca, err := describe(x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 2, 3}}})
	if err != nil || !ca.CA || ca.KeyUsage != pki.KeyCertSign || !slices.Equal(ca.EKUs, []string{"1.3.6.1.5.5.7.3.3", "1.2.3"}) {
		t.Errorf("%+v, %v", ca, err)
	}
	directory, registered := []byte{0xa4, 2, 0x30, 0}, []byte{0x88, 1, 0x2a}
	other := []byte{0xa0, 7, 6, 1, 0x2a, 0xa0, 2, 5, 0}
	names := slices.Concat(directory, registered, other, []byte{0x82, 1, 'a'})
	some, err := describe(x509.Certificate{ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: append([]byte{0x30, byte(len(names))}, names...)}}})
	if err != nil || !some.HasSANs || !slices.Equal(some.SANs.DNSNames, []string{"a"}) || len(some.SANs.UPNs) != 0 {
		t.Errorf("%+v, %v", some, err)
	}
	all, err := describe(x509.Certificate{DNSNames: []string{"b", "a"}, IPAddresses: []net.IP{net.IPv6loopback, net.IPv4(10, 0, 0, 1)}, URIs: []*url.URL{{Scheme: "urn", Opaque: "x"}}, EmailAddresses: []string{"a@b"}})
	if err != nil || fmt.Sprint(all.SANs) != "{[b a] [a@b] [] [urn:x] [::1 10.0.0.1]}" {
		t.Errorf("%v, %v", all.SANs, err)
	}
}

// The number of names and of usages is bounded, and what cannot be read is refused.
func TestDescribeRefuses(t *testing.T) {
	key := newKey(t)
	hosts := func(n int) []string { return slices.Repeat([]string{"a"}, n) }
	usages := func(n int) []asn1.ObjectIdentifier { return slices.Repeat([]asn1.ObjectIdentifier{{1, 2, 3}}, n) }
	upn := unhex(t, "3013a011060a2b060104018237140203a003130161")
	upn[len(upn)-1] = 0xff // no character of a PrintableString
	for name, test := range map[string]struct {
		certificate x509.Certificate
		fits        bool
	}{
		"100 names":                 {x509.Certificate{DNSNames: hosts(100)}, true},
		"101 names":                 {x509.Certificate{DNSNames: hosts(101)}, false},
		"10,000 names":              {x509.Certificate{DNSNames: hosts(10_000)}, false},
		"100 usages":                {x509.Certificate{UnknownExtKeyUsage: usages(100)}, true},
		"101 usages":                {x509.Certificate{UnknownExtKeyUsage: usages(101)}, false},
		"a UPN of dust":             {x509.Certificate{ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: upn}}}, false},
		"a subject that is no text": {x509.Certificate{RawSubject: unhex(t, "300d310b300906035504030c02c328")}, false},
		"one UPN of text":           {x509.Certificate{ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: append(slices.Clone(upn[:len(upn)-1]), 'a')}}}, true},
	} {
		c, err := pki.ParseCertificate(made(t, test.certificate, key))
		if err == nil {
			_, err = pki.Describe(c)
		}
		if test.fits && err != nil || !test.fits && !errors.Is(err, pki.ErrCertificate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, rest := pem.Decode(fixture(t, "ed25519.pem"))
	block, _ := pem.Decode(rest)
	edwards, err := pki.ParseCertificate(block.Bytes) // it may be in a chain
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pki.Describe(edwards); !errors.Is(err, pki.ErrKeyType) {
		t.Errorf("Ed25519: %v", err)
	}
}

// FuzzParseCertificate checks that a certificate keeps its octets, that its public key
// is written and read the same, and that it can be described or says why not.
func FuzzParseCertificate(f *testing.F) {
	for _, kt := range append(keyTypes, koblitz) {
		key, err := pki.GenerateKey(kt)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(selfSigned(f, "CN=a, O=b", key))
	}
	f.Add(fixture(f, "negative-serial.der"))
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := pki.ParseCertificate(der)
		if err != nil {
			if !errors.Is(err, pki.ErrCertificate) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(c.Raw, der) || c.SerialNumber.Sign() < 0 || c.NotAfter.Before(c.NotBefore) || !bytes.Contains(der, c.RawSubjectPublicKeyInfo) {
			t.Fatal("the members are not the certificate's")
		}
		d, err := pki.Describe(c)
		if err != nil {
			if !errors.Is(err, pki.ErrCertificate) && !errors.Is(err, pki.ErrKeyType) {
				t.Fatal(err)
			}
			return
		}
		spki, err := pki.MarshalPublicKey(c.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := pki.ParsePublicKey(spki); err != nil || !same(back, c.PublicKey) || d.ValidityMonths < 1 || d.EKUs == nil || strings.ContainsRune(d.Subject, 0) {
			t.Fatalf("%+v, %v", d, err)
		}
	})
}
