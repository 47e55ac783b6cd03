package vault

import "fmt"

// The key and the secret of a certificate are changed through the certificate only.

// managed is the service's answer to a write to what belongs to a certificate
// (reported for secrets, recorded for keys).
func managed(kind, verb string) *Error {
	inner := map[string]string{kindSecret: InnerSecretManaged, kindKey: InnerKeyManaged}[kind]
	return &Error{Code: CodeForbidden, Inner: inner, Message: fmt.Sprintf("Operation %q is not allowed as this object's lifetime is managed by Key Vault.", verb)}
}
