package pki

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
)

// ParsePEM reads a PEM text with exactly one private key and from one to 100
// certificates, in any order. The key is PKCS#8 ("PRIVATE KEY"), or encrypted PKCS#8
// ("ENCRYPTED PRIVATE KEY") under a scheme that ParsePFX takes too; the password counts
// for that one only. Text round the blocks is passed over.
//
// Errors: ErrPEM for anything else, such as PKCS#1 and SEC1 keys, a carriage return
// anywhere, headers in a block (recorded or documented by the service), more than
// 1 MiB, and a password that does not fit; ErrKeyType, ErrCertificate and ErrMismatch
// as ParsePFX has them.
func ParsePEM(text []byte, password string) (Import, error) {
	out, err := parsePEM(text, password)
	if err != nil {
		return Import{}, explainImport(ErrPEM, err)
	}
	return out, nil
}

func parsePEM(text []byte, password string) (Import, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return Import{}, err
	}
	var keys []*pem.Block
	var chain [][]byte
	for _, block := range blocks {
		switch block.Type {
		case "CERTIFICATE":
			chain = append(chain, block.Bytes)
		case "PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
			keys = append(keys, block)
		case "RSA PRIVATE KEY", "EC PRIVATE KEY":
			return Import{}, errors.New("the private key is not PKCS#8; convert it with openssl pkcs8 -topk8")
		default:
			return Import{}, errors.New("it has blocks that are neither certificates nor private keys")
		}
	}
	switch {
	case len(keys) != 1:
		return Import{}, fmt.Errorf("it has %d private keys, where one is needed", len(keys))
	case len(chain) == 0:
		return Import{}, errors.New("it has no certificate")
	case len(chain) > maxCertificates:
		return Import{}, errTooMany()
	}
	key, err := pemKey(keys[0], password)
	if err != nil {
		return Import{}, err
	}
	return newImport(key, chain, -1)
}

func errTooMany() error { return fmt.Errorf("it has more than %d certificates", maxCertificates) }

// pemBlocks decodes all blocks. encoding/pem passes over a block that it cannot read,
// so they are counted before; that also bounds how often it searches the text.
func pemBlocks(text []byte) ([]*pem.Block, error) {
	begins := bytes.Count(text, []byte("-----BEGIN "))
	switch {
	case len(text) > maxImport:
		return nil, fmt.Errorf("it has more than %d octets", maxImport)
	case bytes.ContainsRune(text, '\r'):
		return nil, errors.New("its lines end in a carriage return; end them in a line feed only")
	case begins > maxCertificates+1:
		return nil, errTooMany()
	}
	var blocks []*pem.Block
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if len(block.Headers) > 0 {
			return nil, errors.New("a block has headers; encrypt the private key as PKCS#8")
		}
		blocks = append(blocks, block)
	}
	if len(blocks) != begins {
		return nil, errors.New("a block is not well-formed")
	}
	return blocks, nil
}

func pemKey(block *pem.Block, password string) (crypto.Signer, error) {
	if block.Type == "PRIVATE KEY" {
		return ParseKey(block.Bytes)
	}
	s, data, err := readEncryptedKey(block.Bytes, newWork())
	if err != nil {
		return nil, err
	}
	pkcs8, err := s.decrypt(data, passwords(password))
	if err != nil {
		return nil, err
	}
	return ParseKey(pkcs8)
}
