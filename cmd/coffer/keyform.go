package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"coffer/internal/client"
)

// keyOf reads a key that is to be imported: PEM (PKCS#8, PKCS#1 or SEC 1), a JSON Web
// Key, or a transfer blob, which only the vault can open.
func keyOf(text []byte) (*azkeys.JSONWebKey, error) {
	if block, _ := pem.Decode(text); block != nil {
		return keyOfPEM(block)
	}
	var blob struct {
		SchemaVersion string `json:"schema_version"`
	}
	var key azkeys.JSONWebKey
	switch err := json.Unmarshal(text, &blob); {
	case err != nil:
		return nil, client.Usagef("--file: this is neither PEM nor JSON")
	case blob.SchemaVersion != "":
		return &azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeRSAHSM), T: text}, nil
	}
	if err := json.Unmarshal(text, &key); err != nil || key.Kty == nil {
		return nil, client.Usagef("--file: this is no JSON Web Key: it has no kty, or a member that cannot be read")
	}
	return &key, nil
}

func keyOfPEM(block *pem.Block) (*azkeys.JSONWebKey, error) {
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	switch block.Type {
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		private, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
	case "ENCRYPTED PRIVATE KEY":
		return nil, client.Usagef("--file: the key is encrypted; decrypt it first, for example with openssl pkey -in FILE")
	default:
		return nil, client.Usagef("--file: there is a %s first, and no private key", client.Printable(block.Type))
	}
	if err != nil {
		return nil, client.Usagef("--file: the private key cannot be read; one on the curve P-256K can be imported as a JSON Web Key")
	}
	switch k := private.(type) {
	case *rsa.PrivateKey:
		if len(k.Primes) != 2 {
			return nil, client.Usagef("--file: an RSA key has to have two primes")
		}
		k.Precompute()
		return &azkeys.JSONWebKey{
			Kty: to.Ptr(azkeys.KeyTypeRSA), N: k.N.Bytes(), E: big.NewInt(int64(k.E)).Bytes(), D: k.D.Bytes(), P: k.Primes[0].Bytes(), Q: k.Primes[1].Bytes(),
			DP: k.Precomputed.Dp.Bytes(), DQ: k.Precomputed.Dq.Bytes(), QI: k.Precomputed.Qinv.Bytes(),
		}, nil
	case *ecdsa.PrivateKey:
		return keyOfEC(k)
	}
	return nil, client.Usagef("--file: the vault takes RSA keys and those of the curves P-256, P-384, P-521 and P-256K")
}

func keyOfEC(k *ecdsa.PrivateKey) (*azkeys.JSONWebKey, error) {
	d, err := k.Bytes()
	if err != nil {
		return nil, client.Usagef("--file: the private key cannot be read")
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		return nil, client.Usagef("--file: the private key cannot be read")
	}
	half := (len(point) - 1) / 2 // 4, x, y
	return &azkeys.JSONWebKey{
		Kty: to.Ptr(azkeys.KeyTypeEC), Crv: to.Ptr(azkeys.CurveName(k.Params().Name)), D: d, X: point[1 : 1+half], Y: point[1+half:],
	}, nil
}

// encodePublic writes the public part of a key.
func encodePublic(key *azkeys.JSONWebKey, encoding string) ([]byte, error) {
	if encoding == "jwk" {
		text, err := json.MarshalIndent(key, "", "  ")
		return append(text, '\n'), err
	}
	if encoding != "pem" && encoding != "der" {
		return nil, client.Usagef("--encoding is pem, der or jwk, not %q", encoding)
	}
	public, err := publicOf(key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil || encoding == "der" {
		return der, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func publicOf(key *azkeys.JSONWebKey) (any, error) {
	if len(key.N) > 0 && len(key.E) > 0 && len(key.E) <= 4 {
		return &rsa.PublicKey{N: new(big.Int).SetBytes(key.N), E: int(new(big.Int).SetBytes(key.E).Int64())}, nil
	}
	curves := map[azkeys.CurveName]elliptic.Curve{azkeys.CurveNameP256: elliptic.P256(), azkeys.CurveNameP384: elliptic.P384(), azkeys.CurveNameP521: elliptic.P521()}
	if key.Crv == nil || curves[*key.Crv] == nil {
		return nil, client.Usagef("this key has no such form; --encoding jwk shows what is public of it")
	}
	curve := curves[*key.Crv]
	size := (curve.Params().BitSize + 7) / 8
	point := bytes.Join([][]byte{{4}, leftPad(key.X, size), leftPad(key.Y, size)}, nil)
	return ecdsa.ParseUncompressedPublicKey(curve, point)
}

func leftPad(number []byte, size int) []byte {
	return append(make([]byte, max(0, size-len(number))), number...)
}
