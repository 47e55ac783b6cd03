package proxy

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"software.sslmate.com/src/go-pkcs12"
)

// Files are what the variables of certificate authorities name. Some of them replace
// what a program trusts, so each file has what its variable named before, or the
// system's authorities, and Coffer's behind them.
type Files struct {
	SSLCert, Requests, Curl, Node, Java string
}

// systemRoots are where systems keep their authorities in one file.
var systemRoots = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/pki/tls/cacert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// javaPassword is the password of the trust store. There is nothing secret in it; Java
// wants one.
const javaPassword = "changeit"

// WriteFiles writes the files into dir.
func WriteFiles(dir string, inherited []string, authority []byte) (Files, error) {
	var out Files
	system, err := readSystemRoots()
	if err != nil {
		return out, err
	}
	for _, file := range []struct {
		variable string
		path     *string
		base     []byte // what is trusted when the variable names nothing
	}{
		{"SSL_CERT_FILE", &out.SSLCert, system}, {"REQUESTS_CA_BUNDLE", &out.Requests, system},
		{"CURL_CA_BUNDLE", &out.Curl, system}, {"NODE_EXTRA_CA_CERTS", &out.Node, nil},
	} {
		base := file.base
		if named := Lookup(inherited, file.variable); named != "" {
			if base, err = os.ReadFile(named); err != nil {
				return out, fmt.Errorf("%s names a file that cannot be read: %w; correct or unset it", file.variable, err)
			}
		}
		*file.path = filepath.Join(dir, file.variable+".pem")
		if err := os.WriteFile(*file.path, join(base, authority), 0o600); err != nil {
			return out, err
		}
	}
	out.Java = filepath.Join(dir, "trust.p12")
	store, err := javaStore(join(system, authority))
	if err != nil {
		return out, err
	}
	return out, os.WriteFile(out.Java, store, 0o600)
}

func join(base, authority []byte) []byte {
	base = bytes.Clone(base)
	if len(base) > 0 && base[len(base)-1] != '\n' {
		base = append(base, '\n')
	}
	return append(base, authority...)
}

// readSystemRoots returns the system's authorities; a system without a file of them,
// such as macOS or Windows, has its programs look elsewhere.
func readSystemRoots() ([]byte, error) {
	for _, path := range systemRoots {
		text, err := os.ReadFile(path)
		if err == nil {
			return text, nil
		}
		if !os.IsNotExist(err) {
			return nil, err
		}
	}
	return nil, nil
}

// javaStore returns a PKCS#12 trust store, with the few iterations that a file without
// secrets needs: it is made at every start.
func javaStore(bundle []byte) ([]byte, error) {
	var roots []pkcs12.TrustStoreEntry
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue // one that Go cannot read; Java will have others
		}
		roots = append(roots, pkcs12.TrustStoreEntry{Cert: certificate, FriendlyName: fmt.Sprintf("%d", len(roots))})
	}
	return pkcs12.LegacyDES.WithIterations(1).WithRand(rand.Reader).EncodeTrustStoreEntries(roots, javaPassword)
}
