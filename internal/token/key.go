package token

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"time"
)

// A SigningKey signs tokens.
type SigningKey struct {
	ID          string // kid
	Thumbprint  string // x5t: SHA-1 of Certificate in base64url
	Certificate []byte // DER, self-signed; only its thumbprint and key are of use
	private     *rsa.PrivateKey
}

// A PublicKey verifies tokens.
type PublicKey struct {
	ID, Thumbprint string
	Key            *rsa.PublicKey
	Certificate    []byte
}

const signingBits = 2048

// NewSigningKey makes a key. It takes a tenth of a second, more or less; two are tried
// at the same time and the first is taken, because somebody may wait for it.
func NewSigningKey(now time.Time) (*SigningKey, error) {
	type result struct {
		key *rsa.PrivateKey
		err error
	}
	results := make(chan result, 2)
	for range 2 {
		go func() {
			key, err := rsa.GenerateKey(rand.Reader, signingBits)
			results <- result{key, err}
		}()
	}
	first := <-results
	if first.err != nil {
		return nil, fmt.Errorf("token: making a signing key: %w", first.err)
	}
	return certify(first.key, now)
}

func certify(private *rsa.PrivateKey, now time.Time) (*SigningKey, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "Coffer token signing"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(20, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, fmt.Errorf("token: certifying a signing key: %w", err)
	}
	return newKey(private, der), nil
}

func newKey(private *rsa.PrivateKey, der []byte) *SigningKey {
	hash := sha1.Sum(der) // x5t is defined over SHA-1 (RFC 7515, 4.1.7); nothing rests on it
	thumbprint := base64.RawURLEncoding.EncodeToString(hash[:])
	return &SigningKey{ID: thumbprint, Thumbprint: thumbprint, Certificate: der, private: private}
}

// marshalled is the stored form of a signing key.
type marshalled struct {
	PKCS8       []byte `json:"pkcs8"`
	Certificate []byte `json:"certificate"`
}

// Marshal returns the key, private part included, for sealing.
func (k *SigningKey) Marshal() ([]byte, error) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, err
	}
	return json.Marshal(marshalled{PKCS8: pkcs8, Certificate: k.Certificate})
}

// ParseSigningKey is the inverse of Marshal.
func ParseSigningKey(data []byte) (*SigningKey, error) {
	var m marshalled
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("token: reading a signing key: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(m.PKCS8)
	if err != nil {
		return nil, fmt.Errorf("token: reading a signing key: %w", err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("token: a signing key is %T, not RSA", parsed)
	}
	return newKey(private, m.Certificate), nil
}

// String hides the private part.
func (k *SigningKey) String() string { return "signing key " + k.ID }

// Public returns what verifies the key's tokens.
func (k *SigningKey) Public() PublicKey {
	return PublicKey{ID: k.ID, Thumbprint: k.Thumbprint, Key: &k.private.PublicKey, Certificate: k.Certificate}
}
