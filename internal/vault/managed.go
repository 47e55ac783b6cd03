package vault

import (
	"context"
	"fmt"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
)

// The key and the secret of a certificate are changed through the certificate only.

// RefuseManagedSecret answers a write to a secret: a managed one is refused, any other
// cannot be written by this version.
func (s *Service) RefuseManagedSecret(ctx context.Context, caller access.Caller, op gate.Operation, ref Ref) error {
	return s.refuseManaged(ctx, caller, op, kindSecret, ref, &secretHead{})
}

// RefuseManagedKey does the same for a key.
func (s *Service) RefuseManagedKey(ctx context.Context, caller access.Caller, op gate.Operation, ref Ref) error {
	return s.refuseManaged(ctx, caller, op, kindKey, ref, &keyHead{})
}

func (s *Service) refuseManaged(ctx context.Context, caller access.Caller, op gate.Operation, kind string, ref Ref, head headed) error {
	f, err := s.find(ctx, caller, ref.Vault, ref.key(kind))
	if err != nil {
		return err
	}
	return explain(s.Gate.Read(ctx, s.request(f, op, op.Permission.Collection, ref), func(g seal.Grant) error {
		ok, err := s.openHead(g, f.vault, kind, ref, f.recs[0], head)
		if err != nil {
			return err
		}
		if ok && head.base().Managed && head.base().State == stateLive {
			return managed(kind, op.Permission.Verb)
		}
		return &Error{Code: CodeNotImplemented, Message: "This version of Coffer does not have " + op.Name + " yet."}
	}))
}

// managed is the service's answer to a write to what belongs to a certificate
// (reported for secrets).
func managed(kind, verb string) *Error {
	inner := map[string]string{kindSecret: InnerSecretManaged, kindKey: InnerKeyManaged}[kind]
	return &Error{Code: CodeForbidden, Inner: inner, Message: fmt.Sprintf("Operation %q is not allowed as this object's lifetime is managed by Key Vault.", verb)}
}
