package pki_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"coffer/internal/pki"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var keyTypes = []pki.KeyType{{Kty: "RSA", Size: 2048}, {Kty: "EC", Size: 256, Curve: "P-256"}, {Kty: "EC", Size: 384, Curve: "P-384"}, {Kty: "EC", Size: 521, Curve: "P-521"}}

func template(t testing.TB, subject string, words ...string) pki.Template {
	t.Helper()
	name, err := pki.ParseName(subject)
	if err != nil {
		t.Fatal(err)
	}
	usage, err := pki.ParseKeyUsage(words)
	if err != nil {
		t.Fatal(err)
	}
	return pki.Template{Subject: name, KeyUsage: usage, EKUs: []string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"},
		SANs: pki.SANs{DNSNames: []string{"a.test", "*.b.test"}, URIs: []string{"spiffe://a/b"}, IPAddresses: []string{"10.0.0.1", "::1"}, Emails: []string{"a@b.test"}, UPNs: []string{"ü@b.test"}}}
}

func TestSelfSign(t *testing.T) {
	for _, kt := range keyTypes {
		key, err := pki.GenerateKey(kt)
		if err != nil {
			t.Fatal(err)
		}
		serial, err := pki.NewSerial()
		if err != nil {
			t.Fatal(err)
		}
		der, err := pki.SelfSign(template(t, "CN=a.test, O=A, C=US", "digitalSignature", "keyEncipherment"), key, pki.Validity{NotBefore: now, NotAfter: pki.AddMonths(now, 12)}, serial)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil || c.Version != 3 || c.IsCA {
			t.Errorf("%v: %v", kt, err)
		}
		var order []string
		for _, e := range c.Extensions {
			order = append(order, e.Id.String())
			if e.Critical != (e.Id.String() == "2.5.29.15") {
				t.Errorf("%s critical: %v", e.Id, e.Critical)
			}
		}
		if want := "2.5.29.15 2.5.29.19 2.5.29.37 2.5.29.17 2.5.29.35 2.5.29.14"; strings.Join(order, " ") != want {
			t.Errorf("extensions %v", order)
		}
		for _, part := range []string{"030205a0", "0603551d1304023000"} { // key usage; empty basic constraints
			if !strings.Contains(hex.EncodeToString(der), part) {
				t.Errorf("%s is missing", part)
			}
		}
		if !bytes.Equal(c.SubjectKeyId, c.AuthorityKeyId) || len(c.SubjectKeyId) != 20 || !slices.Equal(c.DNSNames, []string{"a.test", "*.b.test"}) || len(c.IPAddresses) != 2 || len(c.URIs) != 1 || len(c.EmailAddresses) != 1 {
			t.Errorf("%+v", c.DNSNames)
		}
		if s := c.SerialNumber.Text(16); len(s) > 32 || serial[0] > 0x7f || serial[6]>>4 != 4 || serial[8]>>6 != 2 {
			t.Errorf("serial %s", s)
		}
	}
}

func TestRequest(t *testing.T) {
	for _, kt := range keyTypes {
		key, err := pki.GenerateKey(kt)
		if err != nil {
			t.Fatal(err)
		}
		der, err := pki.CreateRequest(template(t, "", "keyAgreement", "keyCertSign"), key)
		if err != nil {
			t.Fatal(err)
		}
		r, err := x509.ParseCertificateRequest(der)
		if err != nil || r.CheckSignature() != nil {
			t.Fatalf("%v", err)
		}
		var order []string
		for _, e := range r.Extensions {
			order = append(order, e.Id.String())
		}
		if want := "2.5.29.15 2.5.29.37 2.5.29.17 2.5.29.19"; strings.Join(order, " ") != want || !r.Extensions[2].Critical { // no subject: the names are critical
			t.Errorf("%v", order)
		}
		if !strings.Contains(hex.EncodeToString(der), "0302020c") {
			t.Error("the key usage has another form")
		}
	}
}

func TestNames(t *testing.T) {
	for text, want := range map[string]string{
		"CN=a": "CN=a", "cn = a , o = B": "CN=a, O=B", `CN="a, b", ST=x, emailAddress=e@x.test, DC=y`: `CN="a, b", S=x, E=e@x.test, DC=y`, `CN=a\, b`: `CN="a, b"`, "CN=é": "CN=é", "": "",
	} {
		name, err := pki.ParseName(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got, err := pki.FormatName(name.DER()); err != nil || got != want {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
	for _, bad := range []string{"Self", "CN", "=a", "XX=a", "CN=a,", "CN=a,,O=b", `CN="a`, `CN=a\`, "CN=", "CN=a\x00b", "CN=\xff", "1.2.x=a"} {
		if _, err := pki.ParseName(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	printable, _ := pki.ParseName("CN=DefaultPolicy")
	utf8, _ := pki.ParseName("CN=*.a.test")
	if printable.DER()[11] != 0x13 || utf8.DER()[11] != 0x0c {
		t.Errorf("string types %x %x", printable.DER(), utf8.DER())
	}
}

// FuzzName checks that what parses formats to a text that parses to the same.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"CN=a, O=B+OU=c", `CN="a""b"`, `CN=\2c`, "OID.1.2.3=x", "C=US;L=z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := pki.ParseName(text)
		if err != nil {
			return
		}
		formatted, err := pki.FormatName(name.DER())
		if err != nil {
			t.Fatalf("%q does not format: %v", text, err)
		}
		again, err := pki.ParseName(formatted)
		if err != nil || !bytes.Equal(again.DER(), name.DER()) {
			t.Fatalf("%q became %q: %v", text, formatted, err)
		}
	})
}

func TestMonths(t *testing.T) {
	for _, test := range []struct {
		from   string
		months int
		want   string
	}{{"2026-01-31", 1, "2026-02-28"}, {"2027-11-30", 3, "2028-02-29"}, {"2026-03-15", 12, "2027-03-15"}, {"2028-02-29", 12, "2029-02-28"}, {"2026-12-31", 2, "2027-02-28"}} {
		from, _ := time.Parse(time.DateOnly, test.from)
		if got := pki.AddMonths(from, test.months).Format(time.DateOnly); got != test.want {
			t.Errorf("%s + %d = %s", test.from, test.months, got)
		}
	}
}

func TestKeyUsage(t *testing.T) {
	usage, err := pki.ParseKeyUsage([]string{"keyENCIPHERMENT", "crlSign", "digitalSignature"})
	if err != nil || !slices.Equal(usage.Words(), []string{"cRLSign", "digitalSignature", "keyEncipherment"}) || !slices.Equal(usage.KeyOps(), []string{"sign", "verify", "wrapKey", "unwrapKey"}) {
		t.Errorf("%v %v %v", usage.Words(), usage.KeyOps(), err)
	}
	if _, err := pki.ParseKeyUsage([]string{"sing"}); err == nil {
		t.Error("an unknown word was accepted")
	}
}

func TestUnsupportedKeys(t *testing.T) {
	for _, kt := range []pki.KeyType{{}, {Kty: "RSA", Size: 1024}, {Kty: "RSA", Size: 2048, Curve: "P-256"}, {Kty: "EC", Size: 384, Curve: "P-256K"}, {Kty: "EC", Size: 256, Curve: "secp256k1"}, {Kty: "EC", Size: 384, Curve: "P-256"}, {Kty: "oct"}} {
		if _, err := pki.GenerateKey(kt); err == nil {
			t.Errorf("%v was made", kt)
		}
	}
}

// Other readers read what is exported: go-pkcs12, and OpenSSL where it is installed.
func TestExports(t *testing.T) {
	for _, kt := range keyTypes {
		key, err := pki.GenerateKey(kt)
		if err != nil {
			t.Fatal(err)
		}
		serial, _ := pki.NewSerial()
		leaf, err := pki.SelfSign(template(t, "CN=leaf", "digitalSignature"), key, pki.Validity{NotBefore: now, NotAfter: pki.AddMonths(now, 12)}, serial)
		if err != nil {
			t.Fatal(err)
		}
		pfx, err := pki.EncodePFX(key, [][]byte{leaf})
		if err != nil {
			t.Fatal(err)
		}
		private, certificate, _, err := pkcs12.DecodeChain(pfx, "")
		if err != nil || !bytes.Equal(certificate.Raw, leaf) {
			t.Fatalf("%v: %v", kt, err)
		}
		if got := private.(crypto.Signer).Public().(interface{ Equal(crypto.PublicKey) bool }); !got.Equal(key.Public()) {
			t.Errorf("%v: another key came out", kt)
		}
		public, err := pki.EncodePFX(nil, [][]byte{leaf})
		if err != nil || bytes.Contains(public, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x02}) {
			t.Errorf("a key bag in a file without a key: %v", err)
		}
		text, err := pki.EncodePEM(key, [][]byte{leaf})
		if err != nil || !strings.HasPrefix(string(text), "-----BEGIN PRIVATE KEY-----\n") || strings.Count(string(text), "BEGIN CERTIFICATE") != 1 || !strings.HasSuffix(string(text), "-----END CERTIFICATE-----\n") {
			t.Errorf("%s, %v", text, err)
		}
		openssl(t, pfx)
	}
}

// openssl has OpenSSL check the MAC and decrypt everything.
func openssl(t *testing.T, pfx []byte) {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("openssl is not installed; CI needs it")
		}
		t.Log("NOT TRIED: openssl is not installed")
		return
	}
	path := filepath.Join(t.TempDir(), "a.pfx")
	if err := os.WriteFile(path, pfx, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "pkcs12", "-legacy", "-in", path, "-passin", "pass:", "-nodes", "-info").CombinedOutput()
	text := string(out)
	if err != nil || !strings.Contains(text, "MAC: sha1, Iteration 2000") || strings.Count(text, "pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 2000") != 2 || strings.Index(text, "Shrouded Keybag") > strings.Index(text, "Certificate bag") ||
		!strings.Contains(text, "PRIVATE KEY") || !strings.Contains(text, "BEGIN CERTIFICATE") || !strings.Contains(text, "localKeyID: 01 00 00 00") {
		t.Errorf("%v\n%s", err, text)
	}
}
