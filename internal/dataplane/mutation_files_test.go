package dataplane_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// A keyFile is a certificate with its private key, in the forms of an import.
type keyFile struct {
	t       testing.TB
	key     *ecdsa.PrivateKey
	der     []byte
	raw     []byte   // PKCS#12 under filePassword
	pfx     string   // the same in base64
	secrets []string // what of the private key no answer may repeat
}

func newKeyFile(t testing.TB) *keyFile {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &keyFile{t: t, key: key}
	f.der = f.certificate(&key.PublicKey, nil)
	c, err := x509.ParseCertificate(f.der)
	if err != nil {
		t.Fatal(err)
	}
	if f.raw, err = pkcs12.Modern2023.WithIterations(1).Encode(key, c, nil, filePassword); err != nil {
		t.Fatal(err)
	}
	f.pfx = base64.StdEncoding.EncodeToString(f.raw)
	secret := pkcs8(t, key)
	f.secrets = []string{base64.StdEncoding.EncodeToString(secret)[40:80], f.pfx[40:80]}
	return f
}

// certificate signs a leaf for a public key; change alters what it says.
func (f *keyFile) certificate(public crypto.PublicKey, change func(*x509.Certificate)) []byte {
	f.t.Helper()
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(0x7a7b7c7d7e), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		DNSNames: []string{"leaf.test"}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if change != nil {
		change(c)
	}
	out, err := x509.CreateCertificate(rand.Reader, c, c, public, f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// leafFor is a certificate, in base64, that fits the operation of a name.
func (d *door) leafFor(name string, change func(*x509.Certificate)) string {
	d.t.Helper()
	op := d.want(d.do("GET", "/certificates/"+name+"/pending", ""), 200, "")
	text, _ := op.body["csr"].(string)
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		d.t.Fatal(err)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		d.t.Fatal(err)
	}
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString((&keyFile{t: d.t, key: authority}).certificate(request.PublicKey, change))
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	out, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// pemOf is a PEM text of a private key and certificates.
func pemOf(key []byte, chain ...[]byte) string {
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: key})
	for _, der := range chain {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	return b.String()
}
