package dataplane

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"coffer/internal/access"
	"coffer/internal/httpd"
	"coffer/internal/vault"
	"coffer/internal/wire"
)

// An operation of vault.Service with a key.
type keyOperation = func(*vault.Service, context.Context, access.Caller, vault.Ref, vault.KeyOperation) (vault.KeyResult, error)

// operate returns the handler of an operation.
func operate(run keyOperation) func(*Door, request) (answer, error) {
	return func(d *Door, r request) (answer, error) {
		in, err := r.keyOperation()
		if err != nil {
			return answer{}, err
		}
		out, err := run(d.Vaults, r.ctx, r.caller, r.ref, in)
		return answer{status: http.StatusOK, body: r.keyResult(out)}, err
	}
}

func (d *Door) verify(r request) (answer, error) {
	in, err := r.keyOperation()
	if err != nil {
		return answer{}, err
	}
	ok, _, err := d.Vaults.Verify(r.ctx, r.caller, r.ref, in)
	return answer{status: http.StatusOK, body: wire.VerifyResult{Value: ok}}, err
}

// keyOperation reads the body. What was not sent stays nil; the vault says what is
// needed, once it has decided.
func (r request) keyOperation() (in vault.KeyOperation, err error) {
	var body wire.KeyOperation
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return in, err
	}
	if body.Algorithm != nil {
		in.Algorithm = *body.Algorithm
	}
	for _, member := range []struct {
		name string
		text *string
		to   *[]byte
	}{{"value", body.Value, &in.Value}, {"digest", body.Digest, &in.Digest}, {"iv", body.IV, &in.IV}, {"aad", body.AAD, &in.AAD}, {"tag", body.Tag, &in.Tag}} {
		if member.text == nil {
			continue
		}
		if *member.to, err = base64url(member.name, *member.text); err != nil {
			return in, err
		}
	}
	return in, nil
}

// base64url reads octets as clients send them: padding is accepted, and bits that stand
// for nothing (reported of the service).
func base64url(member, text string) ([]byte, error) {
	octets, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, &vault.Error{Code: vault.CodeBadParameter, Message: fmt.Sprintf("Content of '%s' is not base64url.\r\nProperty '%s' is required.\r\n", member, member)}
	}
	return octets, nil
}

func (r request) keyResult(out vault.KeyResult) wire.KeyOperationResult {
	encode := base64.RawURLEncoding.EncodeToString
	result := wire.KeyOperationResult{KeyID: r.id("keys", out.Name, out.Version), Value: encode(out.Value)}
	if out.Symmetric {
		result.Algorithm, result.IV, result.Tag, result.AAD = out.Algorithm, encode(out.IV), encode(out.Tag), encode(out.AAD)
	}
	return result
}
