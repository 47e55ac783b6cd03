package tenant

import (
	"crypto/rand"
	"crypto/subtle"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Argon2id as RFC 9106 and OWASP bound it for servers: 19 MiB, two passes, one thread. What
// is kept by a version with other parameters needs a member that says so.
const (
	argonTime    = 2
	argonMemory  = 19 << 10 // KiB
	argonThreads = 1
	argonSize    = 32 // bytes

	minPassword = 8   // characters
	maxPassword = 256 // characters (the service's)
)

// hashing bounds how much memory passwords take at once, however many sign in.
var hashing = make(chan struct{}, 4)

func hashPassword(salt []byte, password string) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonSize)
}

// keepPassword sets what is kept of a password that was chosen, and ends a lock-out.
func (r *userRecord) keepPassword(password string) error {
	if length := utf8.RuneCountInString(password); length < minPassword || length > maxPassword || !utf8.ValidString(password) {
		return badObject("The specified password does not comply with password complexity requirements: it has to have %d to %d characters.", minPassword, maxPassword)
	}
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return err
	}
	r.Salt, r.Hash, r.Failures, r.LockedUntil = salt, hashPassword(salt, password), 0, 0
	return nil
}

// verifyPassword compares in constant time. A record without a password, such as the zero
// one of a user that does not exist, takes the same work and never fits.
func verifyPassword(r userRecord, password string) bool {
	if len(password) > maxPassword*utf8.UTFMax {
		return false
	}
	salt := r.Salt
	if len(salt) != saltSize {
		salt = make([]byte, saltSize)
	}
	return subtle.ConstantTimeCompare(r.Hash, hashPassword(salt, password)) == 1
}
