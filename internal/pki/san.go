package pki

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrSAN means a subject alternative name that is not well-formed.
var ErrSAN = errors.New("invalid subject alternative name")

// maxSAN bounds one name, in octets. Names of hosts are bounded by RFC 1035; the
// others have no bound of their own, and this one is beyond what verifiers take.
const maxSAN = 2048

// SANs are the subject alternative names of a certificate, each list in the order of
// the policy.
type SANs struct {
	DNSNames    []string // ASCII; an internationalized name in its xn-- form
	Emails      []string // local@host
	UPNs        []string // user principal names of Windows
	URIs        []string // absolute
	IPAddresses []string // IPv4 or IPv6, without a zone
}

// Empty tells whether there is no name.
func (s SANs) Empty() bool {
	return len(s.DNSNames)+len(s.Emails)+len(s.UPNs)+len(s.URIs)+len(s.IPAddresses) == 0
}

// Check tells whether every name is well-formed. The error is ErrSAN and says which
// name and what to do.
func (s SANs) Check() error {
	for _, kind := range []struct {
		names []string
		check func(string) string
	}{
		{s.DNSNames, checkDNSName}, {s.URIs, checkURI}, {s.IPAddresses, checkIP}, {s.Emails, checkEmail}, {s.UPNs, checkUPN},
	} {
		for _, name := range kind.names {
			wrong := "it is too long"
			if len(name) <= maxSAN {
				wrong = kind.check(name)
			}
			if wrong != "" {
				return fmt.Errorf("%w %q: %s", ErrSAN, shorten(name), wrong)
			}
		}
	}
	return nil
}

// checkDNSName takes names of RFC 1034 §3.5, with digits first allowed (RFC 1123 §2.1),
// whose leftmost label may be an asterisk (RFC 6125 §6.4.3).
func checkDNSName(name string) string {
	rest, wild := strings.CutPrefix(name, "*.")
	if wrong := checkHost(rest); wrong != "" {
		return wrong
	}
	if wild && len(name) > maxHost {
		return "a DNS name has at most 253 characters"
	}
	if _, err := netip.ParseAddr(rest); err == nil {
		return "it is an IP address; put it into ipAddresses"
	}
	return ""
}

const (
	maxHost  = 253 // RFC 1035 §2.3.4, written without the root
	maxLabel = 63
)

func checkHost(host string) string {
	if len(host) > maxHost {
		return "a DNS name has at most 253 characters"
	}
	for label := range strings.SplitSeq(host, ".") {
		switch {
		case label == "":
			return "a DNS name has no empty label, nor a dot at its end"
		case len(label) > maxLabel:
			return "a label of a DNS name has at most 63 characters"
		case label[0] == '-' || label[len(label)-1] == '-':
			return "a label of a DNS name neither begins nor ends with a hyphen"
		case strings.ContainsFunc(label, func(r rune) bool { return r >= utf8.RuneSelf }):
			return "a DNS name is in ASCII; use its xn-- form"
		case strings.ContainsFunc(label, func(r rune) bool { return !isLetter(byte(r)) && !isDigit(byte(r)) && r != '-' }):
			return "a DNS name has letters, digits, hyphens and dots; an asterisk only as its first label"
		}
	}
	return ""
}

// checkURI takes what RFC 5280 §4.2.1.6 asks for: absolute, in ASCII, and the host, if
// any, a full name or an address.
func checkURI(text string) string {
	if !isGraphic(text) {
		return "a URI is in ASCII and has no spaces; escape other characters with %"
	}
	uri, err := url.Parse(text)
	switch {
	case err != nil:
		return "it is not a URI"
	case !uri.IsAbs() || len(uri.Scheme)+1 == len(text):
		return "a URI is absolute, such as spiffe://example.com/service"
	case uri.Host == "":
		return ""
	}
	if _, err := netip.ParseAddr(uri.Hostname()); err == nil {
		return ""
	}
	return checkHost(uri.Hostname())
}

func checkIP(text string) string {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return "it is not an IPv4 or IPv6 address"
	}
	return ""
}

// checkEmail takes the Mailbox of RFC 5280 §4.2.1.6 in the form that is in use: an
// unquoted local part and a host name.
func checkEmail(text string) string {
	local, host, found := strings.Cut(text, "@")
	switch {
	case !found || local == "":
		return "an e-mail address has the form local@host"
	case !isGraphic(local) || strings.ContainsAny(local, `()<>[]:;\,"`):
		return "the part before the @ has characters that no e-mail address has"
	}
	return checkHost(host)
}

func checkUPN(text string) string {
	user, suffix, found := strings.Cut(text, "@")
	switch {
	case !found || user == "" || suffix == "":
		return "a user principal name has the form user@domain"
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return "a user principal name is text without control characters"
	}
	return ""
}

// isGraphic tells whether a text is of the visible characters of ASCII.
func isGraphic(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

var oidUPN = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}

// The context tags of GeneralName (RFC 5280 §4.2.1.6).
const (
	tagOtherName = 0
	tagEmail     = 1
	tagDNSName   = 2
	tagURI       = 6
	tagIPAddress = 7
)

// addTo writes GeneralNames in the order DNS, URI, IP (recorded), then e-mail
// addresses and user principal names. The names have passed Check.
func (s SANs) addTo(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addNames(b, tagDNSName, s.DNSNames)
		addNames(b, tagURI, s.URIs)
		for _, text := range s.IPAddresses {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				b.SetError(err)
				return
			}
			addNames(b, tagIPAddress, []string{string(addr.AsSlice())})
		}
		addNames(b, tagEmail, s.Emails)
		for _, upn := range s.UPNs {
			addUPN(b, upn)
		}
	})
}

func addNames(b *cryptobyte.Builder, tag uint8, names []string) {
	for _, name := range names {
		b.AddASN1(cbasn1.Tag(tag).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
	}
}

// addUPN writes the otherName in which Windows looks for a user principal name.
func addUPN(b *cryptobyte.Builder, upn string) {
	b.AddASN1(cbasn1.Tag(tagOtherName).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidUPN)
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(upn)) })
		})
	})
}
