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
// The exported forms are EncodePFX and EncodePEM. What a client brings is read by
// ParsePFX and ParsePEM, and Describe says of its certificate what a policy would:
//
//	in, err := pki.ParsePFX(file, password)
//	leaf, err := pki.ParseCertificate(in.Chain[in.Leaf])
//	d, err := pki.Describe(leaf)
//
// # Why not crypto/x509
//
// Clients compare what they get from this vault with what they get from the service:
// the order of the extensions, their criticality, the string types of the subject and
// the profile of the PKCS#12 file. The standard library decides all of these by
// itself. So certificates and requests are assembled here with cryptobyte, exactly in
// the recorded form, and then read back with crypto/x509, which also verifies the
// signature, before anyone gets them. No primitive is made here: keys, signatures,
// ciphers and hashes are those of the standard library, but for two that it does not
// have: the curve P-256K, which everyone else calls secp256k1, and RC2, in which old
// PKCS#12 files hold certificates.
//
// # What strangers send
//
// Files of clients are read with cryptobyte too, since their iteration counts and
// sizes have to be judged before anything follows them: a hostile file costs less than
// a second of a processor. Certificates and the usual keys go on to crypto/x509 after
// their sizes were looked at. A certificate on P-256K, which crypto/x509 does not read,
// gets there with another public key in place, and has its own put back.
//
// # Where is what
//
//	key.go         key pairs and PKCS#8        sign.go         algorithms of signatures
//	curve.go       the curve P-256K            public.go       public keys
//	name.go        X.500 names: the result     nameparse.go    text → name
//	attribute.go   keywords and string types   nameformat.go   name → text
//	usage.go       key usage                   san.go          alternative names
//	oid.go         object identifiers          template.go     a policy's certificate
//	certificate.go self-signed certificates    request.go      PKCS#10
//	read.go        certificates of others      describe.go     certificate → policy
//	pfx.go         PKCS#12 files: written      pem.go          PEM files: written
//	pfxcrypt.go    their encryption and KDF    import.go       what a file brings
//	pfxread.go     PKCS#12 files: read         pemread.go      PEM files: read
//	pfxmac.go      their MACs                  pbe.go          what passwords open
//	ber.go         BER → DER                   authority.go    a private authority
//
// # Errors
//
// What a caller sent and cannot be used is ErrKeyType, ErrName, ErrKeyUsage, ErrOID,
// ErrSAN or ErrTemplate, and of a file ErrPFX, ErrPEM, ErrCertificate or ErrMismatch, for
// errors.Is; the text says what is wrong and may be shown to that caller. No error holds
// a password or any part of a private key.
package pki
