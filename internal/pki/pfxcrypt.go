package pki

import (
	"crypto"
	"crypto/cipher"
	"crypto/des"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math/big"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// encryptPBE encrypts by pbeWithSHAAnd3-KeyTripleDES-CBC under the empty password and
// returns the AlgorithmIdentifier with its salt.
func encryptPBE(data []byte) (algorithm, encrypted []byte, err error) {
	salt, err := random(pfxSaltSize)
	if err != nil {
		return nil, nil, err
	}
	exported := pkcs12KDF{hash: crypto.SHA1, password: emptyPassword(), salt: salt, iterations: pfxIterations}
	block, err := des.NewTripleDESCipher(exported.key(pkcs12Cipher, 24))
	if err != nil {
		return nil, nil, err
	}
	padding := des.BlockSize - len(data)%des.BlockSize
	encrypted = make([]byte, len(data)+padding)
	copy(encrypted, data)
	for i := len(data); i < len(encrypted); i++ {
		encrypted[i] = byte(padding)
	}
	cipher.NewCBCEncrypter(block, exported.key(pkcs12IV, des.BlockSize)).CryptBlocks(encrypted, encrypted)
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidPBETripleDES)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(salt)
			b.AddASN1Int64(pfxIterations)
		})
	}), encrypted, nil
}

func random(size int) ([]byte, error) {
	out := make([]byte, size)
	if _, err := rand.Read(out); err != nil {
		return nil, fmt.Errorf("pki: salt: %w", err)
	}
	return out, nil
}

// A pkcs12KDF derives keys from a password as RFC 7292 appendix B.2 says.
type pkcs12KDF struct {
	hash       crypto.Hash
	password   []byte // as bmpPassword makes it
	salt       []byte
	iterations int
}

// What a key of a pkcs12KDF is for.
const (
	pkcs12Cipher = 1
	pkcs12IV     = 2
	pkcs12MAC    = 3
)

// bmpPassword is a password as a pkcs12KDF takes it: UTF-16, big-endian, with a
// terminator, which even an empty one has (RFC 7292 appendix B.1).
func bmpPassword(text string) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		out = binary.BigEndian.AppendUint16(out, unit)
	}
	return append(out, 0, 0)
}

func emptyPassword() []byte { return bmpPassword("") }

func (k pkcs12KDF) key(purpose byte, size int) []byte {
	hash := k.hash.New()
	v := hash.BlockSize()
	diversifier := repeat([]byte{purpose}, v)
	input := append(repeat(k.salt, v), repeat(k.password, v)...)
	var out []byte
	for {
		hash.Reset()
		hash.Write(diversifier)
		hash.Write(input)
		sum := hash.Sum(nil)
		for range k.iterations - 1 {
			hash.Reset()
			hash.Write(sum)
			sum = hash.Sum(sum[:0])
		}
		if out = append(out, sum...); len(out) >= size {
			return out[:size]
		}
		addToBlocks(input, repeat(sum, v), v)
	}
}

// repeat fills up to a multiple of v with copies of data; of nothing it makes nothing.
func repeat(data []byte, v int) []byte {
	out := make([]byte, (len(data)+v-1)/v*v)
	for i := range out {
		out[i] = data[i%len(data)]
	}
	return out
}

// addToBlocks adds b + 1 to every block of v bytes, modulo 2 to the power of 8v.
func addToBlocks(blocks, b []byte, v int) {
	addend := new(big.Int).Add(new(big.Int).SetBytes(b[:v]), big.NewInt(1))
	modulus := new(big.Int).Lsh(big.NewInt(1), uint(8*v))
	for at := 0; at < len(blocks); at += v {
		sum := new(big.Int).SetBytes(blocks[at : at+v])
		sum.Add(sum, addend).Mod(sum, modulus).FillBytes(blocks[at : at+v])
	}
}
