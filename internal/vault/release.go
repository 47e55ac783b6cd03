package vault

import (
	"bytes"
	"encoding/json"
	"strings"
)

// A ReleasePolicy says to whom a key may be released. Data is a document of JSON in the
// service's grammar.
type ReleasePolicy struct {
	ContentType string
	Data        []byte
	Immutable   bool
}

// releaseType is the content type of a release policy, if none was sent.
const releaseType = "application/json; charset=utf-8"

// maxRelease bounds a release policy, in octets.
const maxRelease = 32 << 10

var (
	errNeedsRelease  = &Error{Code: CodeBadParameter, Message: "AKV.SKR.1004: Exportable keys must have release policy."}
	errNoRelease     = &Error{Code: CodeBadParameter, Message: "AKV.SKR.1005: Non-exportable keys must not have release policy."}
	errReleaseFixed  = &Error{Code: CodeBadParameter, Message: "AKV.SKR.1020: Immutable Key Release Policy cannot be modified."}
	errReleaseFormat = badProperty("release_policy.data", "Send a JSON document with version 1.0.0 and anyOf, in base64url")
)

// check refuses a policy that does not go with the key.
func (p *ReleasePolicy) check(exportable bool, kty string) error {
	switch {
	case exportable && p == nil:
		return errNeedsRelease
	case !exportable && p != nil:
		return errNoRelease
	case p == nil:
		return nil
	case !strings.HasSuffix(kty, hsmSuffix):
		return badProperty("release_policy", "Only keys of the kinds RSA-HSM, EC-HSM and oct-HSM can be released")
	}
	return p.normalize()
}

// normalize parses the document and writes it anew, as the service does (recorded).
func (p *ReleasePolicy) normalize() error {
	if p.ContentType == "" {
		p.ContentType = releaseType
	}
	if len(p.Data) > maxRelease {
		return badProperty("release_policy.data", "The document is too long")
	}
	var document struct {
		Version string            `json:"version"`
		AnyOf   []json.RawMessage `json:"anyOf"`
	}
	var compact bytes.Buffer
	if json.Unmarshal(p.Data, &document) != nil || document.Version == "" || len(document.AnyOf) == 0 || json.Compact(&compact, p.Data) != nil {
		return errReleaseFormat
	}
	p.Data = compact.Bytes()
	return nil
}

func (p *ReleasePolicy) record() *releaseRecord {
	if p == nil {
		return nil
	}
	r := releaseRecord(*p)
	return &r
}

// changeRelease replaces the policy of a version that can be released.
func (v *keyVersion) changeRelease(p *ReleasePolicy) error {
	switch {
	case p == nil:
		return nil
	case !v.Exportable:
		return errNoRelease
	case v.Release != nil && v.Release.Immutable:
		return errReleaseFixed
	}
	if err := p.normalize(); err != nil {
		return err
	}
	v.Release = p.record()
	return nil
}
