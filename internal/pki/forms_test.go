package pki_test

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/internal/pki"
)

// newKey makes a key that is quick to make.
func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := pki.GenerateKey(pki.KeyType{Kty: "EC", Size: 256, Curve: "P-256"})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue signs a template for a year and reads the certificate.
func issue(t testing.TB, template pki.Template, key crypto.Signer) *x509.Certificate {
	t.Helper()
	return issueFor(t, template, key, pki.Validity{NotBefore: now, NotAfter: pki.AddMonths(now, 12)})
}

func issueFor(t testing.TB, template pki.Template, key crypto.Signer, v pki.Validity) *x509.Certificate {
	t.Helper()
	serial, err := pki.NewSerial()
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.SelfSign(template, key, v, serial)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// extension returns the content of 2.5.29.arc; nil if it is absent.
func extension(cert *x509.Certificate, arc int) []byte {
	for _, e := range cert.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, arc}) {
			return e.Value
		}
	}
	return nil
}

// The four forms of the key usage that were recorded, and the two-octet one.
func TestKeyUsageForms(t *testing.T) {
	for words, want := range map[string][]byte{
		"digitalSignature keyEncipherment": {3, 2, 5, 0xa0},
		"dataEncipherment":                 {3, 2, 4, 0x10},
		"keyAgreement keyCertSign":         {3, 2, 2, 0x0c},
		"digitalSignature":                 {3, 2, 7, 0x80},
		"cRLSign encipherOnly":             {3, 2, 0, 0x03},
		"decipherOnly":                     {3, 3, 7, 0x00, 0x80},
		"":                                 nil,
	} {
		cert := issue(t, template(t, "CN=a", strings.Fields(words)...), newKey(t))
		if got := extension(cert, 15); !bytes.Equal(got, want) {
			t.Errorf("%q is % X, not % X", words, got, want)
		}
	}
}

func TestKeyOps(t *testing.T) {
	for words, want := range map[string]string{
		"":                                 "",
		"digitalSignature":                 "sign verify",
		"nonRepudiation":                   "sign verify",
		"keyCertSign":                      "sign verify",
		"cRLSign":                          "sign verify",
		"keyEncipherment":                  "wrapKey unwrapKey",
		"dataEncipherment":                 "encrypt decrypt",
		"encipherOnly":                     "encrypt",
		"decipherOnly":                     "decrypt",
		"keyAgreement":                     "",
		"dataEncipherment keyEncipherment": "wrapKey unwrapKey encrypt decrypt",
	} {
		usage, err := pki.ParseKeyUsage(strings.Fields(words))
		if err != nil || usage.KeyOps() == nil || strings.Join(usage.KeyOps(), " ") != want {
			t.Errorf("%q allows %v, %v", words, usage.KeyOps(), err)
		}
	}
}

// Extensions that the template leaves empty are absent, and the identifiers of the
// key are the SHA-1 of its bits.
func TestBareCertificate(t *testing.T) {
	name, err := pki.ParseName("CN=a")
	if err != nil {
		t.Fatal(err)
	}
	cert := issue(t, pki.Template{Subject: name}, newKey(t))
	var arcs []int
	for _, e := range cert.Extensions {
		arcs = append(arcs, e.Id[3])
	}
	if !slices.Equal(arcs, []int{19, 35, 14}) {
		t.Errorf("extensions %v", arcs)
	}
	var spki struct {
		Algorithm asn1.RawValue
		Bits      asn1.BitString
	}
	if _, err := asn1.Unmarshal(cert.RawSubjectPublicKeyInfo, &spki); err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(spki.Bits.Bytes)
	if !bytes.Equal(cert.SubjectKeyId, sum[:]) || !bytes.Equal(cert.AuthorityKeyId, sum[:]) {
		t.Errorf("key identifiers %x and %x, not %x", cert.SubjectKeyId, cert.AuthorityKeyId, sum)
	}
	if !bytes.Equal(cert.RawIssuer, cert.RawSubject) || !bytes.Equal(cert.RawSubject, name.DER()) {
		t.Error("issuer and subject are not the template's")
	}
}

func TestCertificateWithoutSubject(t *testing.T) {
	cert := issue(t, pki.Template{SANs: pki.SANs{DNSNames: []string{"a.test"}}}, newKey(t))
	for _, e := range cert.Extensions {
		if e.Id[3] == 17 && !e.Critical {
			t.Error("the names are not critical although there is no subject")
		}
	}
	if !bytes.Equal(cert.RawSubject, []byte{0x30, 0}) {
		t.Errorf("subject % x", cert.RawSubject)
	}
}

// The names are written in the order DNS, URI, IP (recorded), then e-mail and UPN.
func TestAlternativeNameForm(t *testing.T) {
	cert := issue(t, template(t, "CN=a"), newKey(t))
	var names []asn1.RawValue
	if _, err := asn1.Unmarshal(extension(cert, 17), &names); err != nil {
		t.Fatal(err)
	}
	var tags []int
	for _, name := range names {
		tags = append(tags, name.Tag)
	}
	if !slices.Equal(tags, []int{2, 2, 6, 7, 7, 1, 0}) || len(names[3].Bytes) != 4 || len(names[4].Bytes) != 16 {
		t.Errorf("tags %v", tags)
	}
	var upn struct {
		Kind  asn1.ObjectIdentifier
		Value string `asn1:"tag:0,explicit,utf8"`
	}
	if _, err := asn1.UnmarshalWithParams(names[6].FullBytes, &upn, "tag:0"); err != nil || upn.Value != "ü@b.test" || upn.Kind.String() != "1.3.6.1.4.1.311.20.2.3" {
		t.Errorf("UPN %+v, %v", upn, err)
	}
}

// Times are UTCTime up to 2049 and GeneralizedTime after (RFC 5280 §4.1.2.5).
func TestTimes(t *testing.T) {
	from := time.Date(2049, 12, 31, 23, 59, 59, 999, time.FixedZone("", -3600))
	v := pki.Validity{NotBefore: now, NotAfter: from}
	cert := issueFor(t, template(t, "CN=a"), newKey(t), v)
	if !bytes.Contains(cert.RawTBSCertificate, []byte("\x18\x0f20500101005959Z")) || !bytes.Contains(cert.RawTBSCertificate, []byte("\x17\x0d260301120000Z")) {
		t.Errorf("from %v to %v in another form", cert.NotBefore, cert.NotAfter)
	}
	serial, err := pki.NewSerial()
	if err != nil {
		t.Fatal(err)
	}
	v.NotAfter = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := pki.SelfSign(template(t, "CN=a"), newKey(t), v, serial); err == nil {
		t.Error("a year of five digits was written")
	}
}

// Serial numbers take all 16 octets and no more, and every octet varies.
func TestSerials(t *testing.T) {
	var seen [16]byte
	first, err := pki.NewSerial()
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		s, err := pki.NewSerial()
		if err != nil || s[0] == 0 || s[0] > 0x7f || s[6]>>4 != 4 || s[8]>>6 != 2 {
			t.Fatalf("serial %x, %v", s, err)
		}
		if der, err := asn1.Marshal(new(big.Int).SetBytes(s[:])); err != nil || len(der) != 18 {
			t.Fatalf("serial %x takes %d octets, %v", s, len(der), err)
		}
		for i := range s {
			seen[i] |= s[i] ^ first[i]
		}
	}
	if slices.Contains(seen[:], 0) {
		t.Errorf("an octet never varies: %x", seen)
	}
}

func TestThumbprint(t *testing.T) {
	der := []byte("any octets")
	sum := sha1.Sum(der)
	got := pki.Thumbprint(der)
	if back, err := base64.RawURLEncoding.DecodeString(got); err != nil || !bytes.Equal(back, sum[:]) || len(got) != 27 {
		t.Errorf("%q", got)
	}
}

// What a policy may not say has its own kind of error.
func TestTemplateErrors(t *testing.T) {
	name, err := pki.ParseName("CN=a")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		template pki.Template
		want     error
	}{
		{pki.Template{}, pki.ErrTemplate},
		{pki.Template{Subject: name, EKUs: []string{"1.3.x"}}, pki.ErrOID},
		{pki.Template{Subject: name, KeyUsage: 1 << 9}, pki.ErrKeyUsage},
		{pki.Template{Subject: name, SANs: pki.SANs{URIs: []string{"/a"}}}, pki.ErrSAN},
	} {
		if err := test.template.Check(); !errors.Is(err, test.want) {
			t.Errorf("%+v: %v", test.template, err)
		}
		if _, err := pki.CreateRequest(test.template, newKey(t)); !errors.Is(err, test.want) {
			t.Errorf("a request of %+v: %v", test.template, err)
		}
	}
	if _, err := pki.CreateRequest(pki.Template{Subject: name}, nil); !errors.Is(err, pki.ErrKeyType) {
		t.Errorf("a request without a key: %v", err)
	}
}

func TestBadAlternativeNames(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, bad := range []pki.SANs{
		{DNSNames: []string{""}}, {DNSNames: []string{"a..b"}}, {DNSNames: []string{"a.test."}}, {DNSNames: []string{"-a.test"}}, {DNSNames: []string{"a-.test"}},
		{DNSNames: []string{"bücher.test"}}, {DNSNames: []string{"a b"}}, {DNSNames: []string{"*"}}, {DNSNames: []string{"a.*.test"}}, {DNSNames: []string{"10.0.0.1"}},
		{DNSNames: []string{long + ".test"}}, {DNSNames: []string{strings.Repeat("a.", 127) + "test"}}, {DNSNames: []string{"a\x00.test"}},
		{URIs: []string{""}}, {URIs: []string{"a.test/b"}}, {URIs: []string{"https:"}}, {URIs: []string{"https://a.test/é"}}, {URIs: []string{"https://a_b/"}}, {URIs: []string{"https://a.test./"}}, {URIs: []string{"h://a b"}},
		{IPAddresses: []string{""}}, {IPAddresses: []string{"10.0.0"}}, {IPAddresses: []string{"fe80::1%eth0"}}, {IPAddresses: []string{"10.0.0.0/8"}},
		{Emails: []string{"a"}}, {Emails: []string{"@b.test"}}, {Emails: []string{"a@"}}, {Emails: []string{"a@b@c.test"}}, {Emails: []string{"é@b.test"}}, {Emails: []string{"A <a@b.test>"}},
		{UPNs: []string{""}}, {UPNs: []string{"a@"}}, {UPNs: []string{"a\n@b"}}, {UPNs: []string{"\xff@b"}},
		{UPNs: []string{"a@" + strings.Repeat("b", 4096)}},
	} {
		if err := bad.Check(); !errors.Is(err, pki.ErrSAN) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestOIDs(t *testing.T) {
	for _, good := range []string{"0.0", "1.39", "2.999.1", "1.3.6.1.5.5.7.3.1", "1.2.2147483647"} {
		if oid, err := pki.ParseOID(good); err != nil || oid.String() != good {
			t.Errorf("%q: %v, %v", good, oid, err)
		}
	}
	for _, bad := range []string{"", "1", "1.", ".1", "1..2", "3.1", "1.40", "01.2", "1.02", "1.-2", "1.+2", "1. 2", "1.2.x", "1.2.2147483648", "2.2147483647", "1.٣", "1" + strings.Repeat(".1", 200)} {
		if _, err := pki.ParseOID(bad); !errors.Is(err, pki.ErrOID) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Names are read right to left, and every value has its string type: 12 UTF8String,
// 19 PrintableString, 22 IA5String.
func TestNameForms(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"   ":                     "",
		"CN=a,C=US":               "2.5.4.6/19=US; 2.5.4.3/19=a",
		" c = US ;cn=a ":          "2.5.4.3/19=a; 2.5.4.6/19=US",
		"ST=x, S=y, L=z":          "2.5.4.7/19=z; 2.5.4.8/19=y; 2.5.4.8/19=x",
		"dc=x":                    "0.9.2342.19200300.100.1.25/22=x",
		"e=a@b.test":              "1.2.840.113549.1.9.1/22=a@b.test",
		"EMAIL=a@b.test":          "1.2.840.113549.1.9.1/22=a@b.test",
		"emailAddress=a@b.test":   "1.2.840.113549.1.9.1/22=a@b.test",
		"2.5.4.3=a":               "2.5.4.3/19=a",
		"oid.1.2.3 = a":           "1.2.3/19=a",
		`CN=\C3\BC`:               "2.5.4.3/12=ü",
		"CN=*":                    "2.5.4.3/12=*",
		"CN=a=b":                  "2.5.4.3/19=a=b",
		"CN=#0c0161":              "2.5.4.3/19=a", // any string is taken for its text
		"O=b + CN=a":              "2.5.4.3/19=a + 2.5.4.10/19=b",
		"CN=aa+O=b":               "2.5.4.10/19=b + 2.5.4.3/19=aa", // a set is in the order of its encodings
		`CN=" a, b "`:             "2.5.4.3/19= a, b ",
		`CN="a""b\"c"`:            `2.5.4.3/12=a"b"c`,
		`CN=\ a\ `:                "2.5.4.3/19= a ",
		`CN=a\,b\+c`:              "2.5.4.3/19=a,b+c",
		"T=a, G=b, GN=c, SN=d":    "2.5.4.4/19=d; 2.5.4.42/19=c; 2.5.4.42/19=b; 2.5.4.12/19=a",
		"STREET=a,SERIALNUMBER=b": "2.5.4.5/19=b; 2.5.4.9/19=a",
	} {
		name, err := pki.ParseName(text)
		if got := describe(t, name.DER()); err != nil || got != want {
			t.Errorf("%q is %q, not %q: %v", text, got, want, err)
		}
	}
}

// describe lists what is in a name, in the order of the encoding.
func describe(t *testing.T, der []byte) string {
	t.Helper()
	type pair struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	type pairSET []pair // the library takes the word for a SET OF
	var sets []pairSET
	if rest, err := asn1.Unmarshal(der, &sets); err != nil || len(rest) > 0 {
		t.Fatalf("% x: %v", der, err)
	}
	var all []string
	for _, set := range sets {
		var parts []string
		for _, p := range set {
			parts = append(parts, fmt.Sprintf("%s/%d=%s", p.Type, p.Value.Tag, p.Value.Bytes))
		}
		all = append(all, strings.Join(parts, " + "))
	}
	return strings.Join(all, "; ")
}

// An error names the place, counted in characters from one.
func TestNameErrors(t *testing.T) {
	for text, at := range map[string]string{
		"Self":           "character 5",
		"ü":              "character 1",
		"CN=ü, XX=a":     "character 7",
		"CN=a,":          "character 6",
		`CN="a`:          "character 4",
		`CN="a"b`:        "character 7",
		"CN=a<b":         "character 5",
		`CN=a\x`:         "character 5",
		"CN=a+CN=b":      "character 6",
		"C=USA":          "character 3",
		"E=ü@b":          "character 3",
		"CN=#05":         "character 4",
		"CN=#0500":       "character 4",
		"CN=#0":          "character 4",
		`CN=\FF`:         "character 4",
		`CN=\00`:         "character 4",
		"CN=a\nb":        "character 5",
		"SERIALNUMBER=*": "character 14",
	} {
		_, err := pki.ParseName(text)
		if !errors.Is(err, pki.ErrName) || !strings.Contains(err.Error(), at+":") {
			t.Errorf("%q: %v, not at %s", text, err, at)
		}
	}
}

// Java reads the exports too, where it is installed, and joins the key to its
// certificate.
func TestJava(t *testing.T) {
	keytool, err := exec.LookPath("keytool")
	if err != nil {
		t.Skip("NOT TRIED: keytool is not installed")
	}
	key := newKey(t)
	pfx, err := pki.EncodePFX(key, [][]byte{issue(t, template(t, "CN=a.test, O=A"), key).Raw})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.pfx")
	if err := os.WriteFile(path, pfx, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(keytool, "-J-Duser.language=en", "-list", "-v", "-storetype", "PKCS12", "-keystore", path, "-storepass", "").CombinedOutput()
	for _, part := range []string{"contains 1 entry", "PrivateKeyEntry", "Certificate chain length: 1", "Owner: CN=a.test, O=A"} {
		if err != nil || !strings.Contains(string(out), part) {
			t.Fatalf("%q is missing: %v\n%s", part, err, out)
		}
	}
}

// A PEM file has the key, then the certificates in the order given, and reads back.
func TestPEM(t *testing.T) {
	key := newKey(t)
	leaf, other := issue(t, template(t, "CN=leaf"), key).Raw, issue(t, template(t, "CN=other"), newKey(t)).Raw
	text, err := pki.EncodePEM(key, [][]byte{leaf, other})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	rest := text
	for block, next := pem.Decode(rest); block != nil; block, next = pem.Decode(next) {
		kinds, rest = append(kinds, block.Type), next
	}
	if !slices.Equal(kinds, []string{"PRIVATE KEY", "CERTIFICATE", "CERTIFICATE"}) || len(rest) != 0 || bytes.ContainsRune(text, '\r') {
		t.Errorf("%v, and %q", kinds, rest)
	}
	for line := range strings.Lines(string(text)) {
		if len(line) > 65 || line[len(line)-1] != '\n' {
			t.Errorf("a line of %d", len(line))
		}
	}
	block, next := pem.Decode(text)
	back, err := pki.ParseKey(block.Bytes)
	if err != nil || !back.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
		t.Errorf("another key came out, %v", err)
	}
	if first, _ := pem.Decode(next); !bytes.Equal(first.Bytes, leaf) {
		t.Error("the leaf is not first")
	}
	public, err := pki.EncodePEM(nil, [][]byte{leaf})
	if err != nil || bytes.Contains(public, []byte("PRIVATE")) {
		t.Errorf("a key that is not to be exported: %v", err)
	}
}

// Neither export pairs a key with another key's certificate.
func TestExportsRefuse(t *testing.T) {
	key, foreign := newKey(t), issue(t, template(t, "CN=a"), newKey(t)).Raw
	for name, chain := range map[string][][]byte{"no chain": nil, "another key": {foreign}, "garbage": {{0x30, 0}}} {
		if _, err := pki.EncodePFX(key, chain); !errors.Is(err, pki.ErrChain) {
			t.Errorf("%s: PFX: %v", name, err)
		}
		if _, err := pki.EncodePEM(key, chain); !errors.Is(err, pki.ErrChain) {
			t.Errorf("%s: PEM: %v", name, err)
		}
	}
}

// A key record that is damaged is refused, and no error quotes it.
func TestParseKeyRefuses(t *testing.T) {
	der, err := pki.MarshalKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "cut": der[:len(der)-1], "followed by more": append(slices.Clone(der), 0), "of another kind": {0x30, 0},
	} {
		_, err := pki.ParseKey(bad)
		if err == nil || strings.Contains(err.Error(), hex.EncodeToString(der[40:48])) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
