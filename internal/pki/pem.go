package pki

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"fmt"
)

// EncodePEM returns the exported form application/x-pem-file (recorded): the private
// key as PKCS#8 unless key is nil, then the certificates in the order given, of
// which one is the key's; lines of 64 columns that end in a line feed, the last one too.
func EncodePEM(key crypto.Signer, chain [][]byte) ([]byte, error) {
	if _, err := checkChain(key, chain); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if key != nil {
		pkcs8, err := MarshalKey(key)
		if err != nil {
			return nil, err
		}
		if err := pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}); err != nil {
			return nil, fmt.Errorf("pki: encode PEM: %w", err)
		}
	}
	for _, der := range chain {
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return nil, fmt.Errorf("pki: encode PEM: %w", err)
		}
	}
	return out.Bytes(), nil
}
