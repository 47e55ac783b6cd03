package pki_test

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"coffer/internal/pki"
)

// FuzzOID checks that what parses prints the same, and is read by the library.
func FuzzOID(f *testing.F) {
	for _, seed := range []string{"1.3.6.1.5.5.7.3.1", "2.999", "0.39.1", "01.2", "1.2.99999999999", "2.2147483567"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		oid, err := pki.ParseOID(text)
		if err != nil {
			if !errors.Is(err, pki.ErrOID) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		der, err := asn1.Marshal(oid)
		if err != nil {
			t.Fatalf("%q is not encoded: %v", text, err)
		}
		var back asn1.ObjectIdentifier
		if _, err := asn1.Unmarshal(der, &back); err != nil || back.String() != text {
			t.Fatalf("%q became %q, %v", text, back, err)
		}
	})
}

// FuzzSANs checks that names which are accepted make a certificate that others can
// read, with the same names in it.
func FuzzSANs(f *testing.F) {
	f.Add("a.test", "https://a.test:8443/b?c#d", "10.0.0.1", "a@b.test", "a@b")
	f.Add("*.a.test", "urn:uuid:8d2f0a9b", "::ffff:10.0.0.1", "a+b@c", "ü@b")
	f.Add("xn--bcher-kva.test", "spiffe://a/b", "2001:db8::1", "a@x", "a@b@c")
	f.Add("a", "https://[2001:db8::1]/", "1.2.3.4", "a@b", "a@b")
	f.Add("a", "https://[fe80::1%25eth0]:1/", "1.2.3.4", "a@b", "a@b")
	f.Add("a", "h://u:p@a.:1", "1.2.3.4", "a@b", "a@b")
	key := newKey(f)
	f.Fuzz(func(t *testing.T, dns, uri, ip, email, upn string) {
		for _, sans := range []pki.SANs{{DNSNames: []string{dns}}, {URIs: []string{uri}}, {IPAddresses: []string{ip}}, {Emails: []string{email}}, {UPNs: []string{upn}}} {
			if err := sans.Check(); err != nil {
				if !errors.Is(err, pki.ErrSAN) {
					t.Fatalf("%+v: %v", sans, err)
				}
				continue
			}
			cert := issue(t, pki.Template{SANs: sans}, key)
			same := slices.Equal(cert.DNSNames, sans.DNSNames) && slices.Equal(cert.EmailAddresses, sans.Emails) && len(cert.URIs) == len(sans.URIs)
			for _, text := range sans.URIs {
				same = same && bytes.Contains(extension(cert, 17), []byte(text))
			}
			for i, text := range sans.IPAddresses {
				addr, ok := netip.AddrFromSlice(cert.IPAddresses[i])
				same = same && ok && addr.Unmap() == netip.MustParseAddr(text).Unmap()
			}
			if !same {
				t.Fatalf("%+v came back as %v %v %v %v", sans, cert.DNSNames, cert.EmailAddresses, cert.URIs, cert.IPAddresses)
			}
		}
	})
}

// FuzzFormatName checks that any name that is shown, and can be used again, is shown
// the same then.
func FuzzFormatName(f *testing.F) {
	for _, seed := range []string{"CN=a, O=B+OU=c", `CN="a""b"`, `CN=\0A`, "OID.1.2.3=x"} {
		name, err := pki.ParseName(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(name.DER())
	}
	f.Add([]byte{0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06, 3, 0x55, 4, 3, 0x04, 1, 0x61}) // no string
	f.Add([]byte{0x30, 0x0d, 0x31, 0x0b, 0x30, 0x09, 0x06, 3, 0x55, 4, 3, 0x1e, 2, 0, 0x61})
	f.Fuzz(func(t *testing.T, der []byte) {
		text, err := pki.FormatName(der)
		if err != nil {
			if !errors.Is(err, pki.ErrName) {
				t.Fatal(err)
			}
			return
		}
		name, err := pki.ParseName(text)
		if err != nil { // a value that ParseName refuses: no string, empty, or not of its type
			return
		}
		if again := name.String(); again != text && !slices.Contains([]byte(text), '+') {
			t.Fatalf("%q became %q", text, again)
		}
	})
}
