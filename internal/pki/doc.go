// Package pki makes key pairs, certificates, requests and the files that carry them.
// It is pure: it keeps nothing, reads no file, asks no clock and no network. Its only
// outside source is the operating system's random generator.
//
// # From a policy to a certificate
//
// A Template is what a certificate policy says about the certificate itself. Its parts
// are parsed, one function each, and Check judges the whole:
//
//	name, err := pki.ParseName("CN=www.example.com, O=Example, C=US")
//	usage, err := pki.ParseKeyUsage([]string{"digitalSignature", "keyEncipherment"})
//	t := pki.Template{
//		Subject:  name,
//		SANs:     pki.SANs{DNSNames: []string{"www.example.com"}},
//		EKUs:     []string{"1.3.6.1.5.5.7.3.1"},
//		KeyUsage: usage,
//	}
//	err = t.Check()
//
// From a template and a key come a request for a certification authority, or a
// certificate that is signed by the key itself:
//
//	key, err := pki.GenerateKey(pki.KeyType{Kty: "RSA", Size: 2048})
//	csr, err := pki.CreateRequest(t, key)
//	der, err := pki.SelfSign(t, key, pki.Validity{
//		NotBefore: now.Add(-10 * time.Minute),
//		NotAfter:  pki.AddMonths(now, 12),
//	}, pki.NewSerial())
//
// The exported forms are EncodePFX and EncodePEM.
//
// # Why not crypto/x509
//
// Clients compare what they get from this vault with what they get from the service:
// the order of the extensions, their criticality, the string types of the subject and
// the profile of the PKCS#12 file. The standard library decides all of these by
// itself. So certificates and requests are assembled here with cryptobyte, exactly in
// the recorded form, and then read back with crypto/x509, which also verifies the
// signature, before anyone gets them. No primitive is made here: keys, signatures,
// ciphers and hashes are those of the standard library.
//
// # Where is what
//
//	key.go         key pairs and PKCS#8        sign.go         algorithms of signatures
//	name.go        X.500 names: the result     nameparse.go    text → name
//	attribute.go   keywords and string types   nameformat.go   name → text
//	usage.go       key usage                   san.go          alternative names
//	oid.go         object identifiers          template.go     a policy's certificate
//	certificate.go self-signed certificates    request.go      PKCS#10
//	pfx.go         PKCS#12 files               pfxcrypt.go     their password-based part
//	pem.go         PEM files
//
// # Errors
//
// What a caller sent and cannot be used is ErrKeyType, ErrName, ErrKeyUsage, ErrOID,
// ErrSAN or ErrTemplate, for errors.Is; the text says what is wrong and may be shown
// to that caller. No error holds any part of a private key.
package pki
