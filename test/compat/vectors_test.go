package compat_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"

	"coffer/internal/jwk"
)

// A vectorFile is what the files of Wycheproof share.
type vectorFile struct {
	TestGroups []struct {
		PublicKeyDER  string          `json:"publicKeyDer"`
		PrivateKeyPK8 string          `json:"privateKeyPkcs8"`
		PublicKeyJWK  json.RawMessage `json:"publicKeyJwk"`
		PublicKey     json.RawMessage `json:"publicKey"`
		KeySize       int             `json:"keySize"`
		IVSize        int             `json:"ivSize"`
		TagSize       int             `json:"tagSize"`
		SaltLength    int             `json:"sLen"`
		Tests         []vector        `json:"tests"`
	} `json:"testGroups"`
}

type vector struct {
	ID     int    `json:"tcId"`
	Result string `json:"result"` // valid, invalid, acceptable
	Msg    string `json:"msg"`
	Sig    string `json:"sig"`
	CT     string `json:"ct"`
	Label  string `json:"label"`
	Key    string `json:"key"`
	IV     string `json:"iv"`
	AAD    string `json:"aad"`
	Tag    string `json:"tag"`
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	out, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// vectors hands every vector of a file to check, and fails when there are too few.
func vectors(t *testing.T, name string, check func(t *testing.T, f vectorFile, group int, v vector) bool) {
	t.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, name)
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for g := range f.TestGroups {
		for _, v := range f.TestGroups[g].Tests {
			if check(t, f, g, v) {
				checked++
			}
		}
	}
	if checked < 20 {
		t.Errorf("%s: only %d vectors were checked", name, checked)
	}
}

func TestWycheproofSignatures(t *testing.T) {
	for _, test := range []struct {
		file, alg string
		hash      crypto.Hash
	}{
		{"ecdsa_secp256r1_sha256_p1363_test.json", "ES256", crypto.SHA256},
		{"ecdsa_secp384r1_sha384_p1363_test.json", "ES384", crypto.SHA384},
		{"ecdsa_secp521r1_sha512_p1363_test.json", "ES512", crypto.SHA512},
		{"ecdsa_secp256k1_sha256_p1363_test.json", "ES256K", crypto.SHA256},
		{"rsa_signature_2048_sha256_test.json", "RS256", crypto.SHA256},
		{"rsa_signature_3072_sha384_test.json", "RS384", crypto.SHA384},
		{"rsa_signature_4096_sha512_test.json", "RS512", crypto.SHA512},
		{"rsa_pss_2048_sha256_mgf1_32_test.json", "PS256", crypto.SHA256},
		{"rsa_pss_4096_sha512_mgf1_64_test.json", "PS512", crypto.SHA512},
	} {
		t.Run(test.file, func(t *testing.T) {
			vectors(t, test.file, func(t *testing.T, f vectorFile, group int, v vector) bool {
				public := publicKey(t, f, group)
				if public == nil {
					return false
				}
				hash := test.hash.New()
				hash.Write(unhex(t, v.Msg))
				ok, err := jwk.Verify(public, test.alg, hash.Sum(nil), unhex(t, v.Sig))
				if err != nil || v.Result != "acceptable" && ok != (v.Result == "valid") {
					t.Errorf("%d is %s: %v, %v", v.ID, v.Result, ok, err)
				}
				return true
			})
		})
	}
}

// publicKey reads the key of a group: as DER, or where no library reads that, as its
// coordinates.
func publicKey(t *testing.T, f vectorFile, group int) crypto.PublicKey {
	t.Helper()
	g := f.TestGroups[group]
	if key, err := x509.ParsePKIXPublicKey(unhex(t, g.PublicKeyDER)); err == nil {
		switch key.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey:
			return key
		}
	}
	var point struct{ WX, WY string }
	if err := json.Unmarshal(g.PublicKey, &point); err != nil || point.WX == "" {
		return nil
	}
	coordinate := func(text string) string {
		octets := unhex(t, text)
		for len(octets) > 32 {
			octets = octets[1:]
		}
		return base64.RawURLEncoding.EncodeToString(append(make([]byte, 32-len(octets)), octets...))
	}
	key, err := jwk.Key{Kty: "EC", Crv: "P-256K", X: coordinate(point.WX), Y: coordinate(point.WY)}.Public()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestWycheproofDecryption(t *testing.T) {
	for _, test := range []struct{ file, alg string }{
		{"rsa_oaep_2048_sha1_mgf1sha1_test.json", "RSA-OAEP"}, {"rsa_oaep_2048_sha256_mgf1sha256_test.json", "RSA-OAEP-256"}, {"rsa_pkcs1_2048_test.json", "RSA1_5"},
	} {
		t.Run(test.file, func(t *testing.T) {
			vectors(t, test.file, func(t *testing.T, f vectorFile, group int, v vector) bool {
				parsed, err := x509.ParsePKCS8PrivateKey(unhex(t, f.TestGroups[group].PrivateKeyPK8))
				if err != nil || v.Label != "" { // the protocol has no label
					return false
				}
				plain, err := jwk.Decrypt(parsed.(crypto.Signer), test.alg, unhex(t, v.CT))
				switch {
				case v.Result == "valid" && (err != nil || hex.EncodeToString(plain) != v.Msg):
					t.Errorf("%d: %v", v.ID, err)
				case v.Result == "invalid" && !errors.Is(err, jwk.ErrDecrypt):
					t.Errorf("%d is invalid: %v", v.ID, err)
				}
				return true
			})
		})
	}
}

func TestWycheproofAES(t *testing.T) {
	t.Run("GCM", func(t *testing.T) {
		vectors(t, "aes_gcm_test.json", func(t *testing.T, f vectorFile, group int, v vector) bool {
			if g := f.TestGroups[group]; g.IVSize != 96 || g.TagSize != 128 {
				return false // the service has 12 octets and 16
			}
			key := unhex(t, v.Key)
			plain, err := jwk.DecryptAES(key, fmt.Sprintf("A%dGCM", 8*len(key)), jwk.AESInput{Value: unhex(t, v.CT), IV: unhex(t, v.IV), AAD: unhex(t, v.AAD), Tag: unhex(t, v.Tag)})
			judge(t, v, plain, err)
			return true
		})
	})
	t.Run("CBCPAD", func(t *testing.T) {
		vectors(t, "aes_cbc_pkcs5_test.json", func(t *testing.T, _ vectorFile, _ int, v vector) bool {
			key := unhex(t, v.Key)
			plain, err := jwk.DecryptAES(key, fmt.Sprintf("A%dCBCPAD", 8*len(key)), jwk.AESInput{Value: unhex(t, v.CT), IV: unhex(t, v.IV)})
			judge(t, v, plain, err)
			return true
		})
	})
	for file, alg := range map[string]string{"aes_wrap_test.json": "CKM_AES_KEY_WRAP", "aes_kwp_test.json": "CKM_AES_KEY_WRAP_PAD"} {
		t.Run(file, func(t *testing.T) {
			vectors(t, file, func(t *testing.T, _ vectorFile, _ int, v vector) bool {
				key, plain := unhex(t, v.Key), unhex(t, v.Msg)
				got, err := jwk.UnwrapAES(key, alg, unhex(t, v.CT))
				judge(t, v, got, err)
				if v.Result != "valid" {
					return true
				}
				if sealed, err := jwk.WrapAES(key, alg, plain); err != nil || hex.EncodeToString(sealed) != v.CT {
					t.Errorf("%d: wrapping gives %x, %v", v.ID, sealed, err)
				}
				return true
			})
		})
	}
}

func judge(t *testing.T, v vector, plain []byte, err error) {
	t.Helper()
	switch {
	case v.Result == "valid" && (err != nil || hex.EncodeToString(plain) != v.Msg):
		t.Errorf("%d is valid: %x, %v", v.ID, plain, err)
	case v.Result == "invalid" && err == nil:
		t.Errorf("%d is invalid, and was taken", v.ID)
	case v.Result == "acceptable" && err == nil && hex.EncodeToString(plain) != v.Msg:
		t.Errorf("%d is acceptable, and came to something else", v.ID)
	}
}
