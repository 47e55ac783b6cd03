package pki

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The bounds of a certificate that is described.
const (
	maxSANNames = 100
	maxEKUs     = 100
)

// A Description is what a certificate says, in the words of a policy.
type Description struct {
	KeyType        KeyType
	Subject        string // as FormatName writes it
	SANs           SANs   // in the order of the certificate
	HasSANs        bool   // the certificate has the extension, perhaps with names of other kinds only
	EKUs           []string
	KeyUsage       KeyUsage
	CA             bool
	ValidityMonths int // whole calendar months, rounded up (recorded); at least 1
}

// Describe reads a certificate that ParseCertificate returned. EKUs are dotted, in the
// order of the certificate, and never nil. Alternative names of kinds that a policy
// does not have are left out. The error is ErrKeyType for a key that GenerateKey would
// not make, and ErrCertificate for an extension that cannot be read or has
// more than 100 names or usages.
func Describe(c *x509.Certificate) (Description, error) {
	kt, err := TypeOf(c.PublicKey)
	if err != nil {
		return Description{}, err
	}
	d := Description{
		KeyType: kt, KeyUsage: KeyUsage(c.KeyUsage) & allUsages, // crypto/x509 has the bits in the same places
		CA: c.BasicConstraintsValid && c.IsCA, ValidityMonths: monthsOf(c.NotBefore, c.NotAfter),
	}
	if d.Subject, err = FormatName(c.RawSubject); err != nil {
		return Description{}, fmt.Errorf("%w: its subject: %w", ErrCertificate, err)
	}
	if d.EKUs, err = readEKUs(c); err != nil {
		return Description{}, err
	}
	d.SANs, d.HasSANs, err = readSANs(c)
	return d, err
}

// monthsOf counts whole calendar months and rounds up: one year is 12 (recorded), and
// a second more is 13.
func monthsOf(from, to time.Time) int {
	from, to = from.UTC(), to.UTC()
	months := 12*(to.Year()-from.Year()) + int(to.Month()) - int(from.Month())
	if AddMonths(from, months).Before(to) {
		months++
	}
	return max(months, 1)
}

func readEKUs(c *x509.Certificate) ([]string, error) {
	ekus := []string{}
	content, ok := extensionOf(c.Extensions, 37)
	if !ok {
		return ekus, nil
	}
	input := cryptobyte.String(content)
	var list cryptobyte.String
	if !input.ReadASN1(&list, cbasn1.SEQUENCE) || !input.Empty() {
		return nil, fmt.Errorf("%w: its extended key usage cannot be read", ErrCertificate)
	}
	for !list.Empty() {
		var oid asn1.ObjectIdentifier
		if len(ekus) == maxEKUs || !list.ReadASN1ObjectIdentifier(&oid) {
			return nil, fmt.Errorf("%w: its extended key usage cannot be read", ErrCertificate)
		}
		ekus = append(ekus, oid.String())
	}
	return ekus, nil
}

func readSANs(c *x509.Certificate) (sans SANs, found bool, err error) {
	content, found := extensionOf(c.Extensions, 17)
	if !found {
		return SANs{}, false, nil
	}
	input := cryptobyte.String(content)
	var names cryptobyte.String
	if !input.ReadASN1(&names, cbasn1.SEQUENCE) || !input.Empty() {
		return SANs{}, true, errSANs()
	}
	for count := 1; !names.Empty(); count++ {
		if count > maxSANNames {
			return SANs{}, true, fmt.Errorf("%w: it has more than %d subject alternative names", ErrCertificate, maxSANNames)
		}
		var name cryptobyte.String
		var tag cbasn1.Tag
		if !names.ReadAnyASN1(&name, &tag) || !sans.addName(tag, name) {
			return SANs{}, true, errSANs()
		}
	}
	return sans, true, nil
}

func errSANs() error {
	return fmt.Errorf("%w: its subject alternative names cannot be read", ErrCertificate)
}

// addName adds one GeneralName (RFC 5280 §4.2.1.6), if it is of a kind that policies
// have. It tells false for one that is not well-formed.
func (s *SANs) addName(tag cbasn1.Tag, content cryptobyte.String) bool {
	text := string(content)
	switch tag {
	case cbasn1.Tag(tagEmail).ContextSpecific():
		s.Emails = append(s.Emails, text)
	case cbasn1.Tag(tagDNSName).ContextSpecific():
		s.DNSNames = append(s.DNSNames, text)
	case cbasn1.Tag(tagURI).ContextSpecific():
		s.URIs = append(s.URIs, text)
	case cbasn1.Tag(tagIPAddress).ContextSpecific():
		addr, ok := netip.AddrFromSlice(content)
		s.IPAddresses = append(s.IPAddresses, addr.String())
		return ok
	case cbasn1.Tag(tagOtherName).ContextSpecific().Constructed():
		return s.addOtherName(content)
	default:
		return true
	}
	return isASCII(text)
}

// addOtherName adds a user principal name and passes over other kinds of otherName.
func (s *SANs) addOtherName(content cryptobyte.String) bool {
	var oid asn1.ObjectIdentifier
	var value cryptobyte.String
	if !content.ReadASN1ObjectIdentifier(&oid) {
		return false
	}
	if !oid.Equal(oidUPN) {
		return true
	}
	if !content.ReadASN1(&value, explicit0) || !content.Empty() {
		return false
	}
	upn, ok := textOf(value)
	s.UPNs = append(s.UPNs, upn)
	return ok
}
