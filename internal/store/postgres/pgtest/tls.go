//go:build unix

package pgtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// ListenTLS restarts the server on a TCP port of the name localhost, with TLS alone, and
// returns the port and the file of the authority that its certificate is of.
func (s *Server) ListenTLS() (port, ca string) {
	s.t.Helper()
	certificate, key := selfSigned(s.t)
	ca = filepath.Join(s.dir, "server.crt")
	for path, text := range map[string][]byte{ca: certificate, filepath.Join(s.dir, "server.key"): key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			s.t.Fatal(err)
		}
		if as := unprivileged(s.t); as != nil {
			if err := os.Chown(path, int(as.Uid), int(as.Gid)); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	if err := listener.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.Kill()
	s.more = []string{"-c", "listen_addresses=127.0.0.1", "-p", port, "-c", "ssl=on", "-c", "ssl_cert_file=" + ca, "-c", "ssl_key_file=" + filepath.Join(s.dir, "server.key")}
	s.port = port
	s.Run()
	return port, ca
}

// Authority is the certificate of some authority, PEM.
func Authority(t testing.TB) []byte {
	t.Helper()
	certificate, _ := selfSigned(t)
	return certificate
}

func selfSigned(t testing.TB) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
