package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// A ReleasePolicy says to whom a key may be released. Data is a document of JSON in the
// service's grammar:
//
//	{"version":"1.0.0","anyOf":[{"authority":"https://attest.example.com",
//	  "allOf":[{"claim":"x-ms-compliance-status","equals":"azure-compliant-cvm"}]}]}
type ReleasePolicy struct {
	ContentType string
	Data        []byte
	Immutable   bool
}

// releaseType is the content type of a release policy, if none was sent.
const releaseType = "application/json; charset=utf-8"

// The bounds of a release policy.
const (
	maxRelease      = 32 << 10 // octets
	maxReleaseDepth = 16       // of conditions within conditions
)

var (
	errNeedsRelease = &Error{Code: CodeBadParameter, Message: "AKV.SKR.1004: Exportable keys must have release policy."}
	errNoRelease    = &Error{Code: CodeBadParameter, Message: "AKV.SKR.1005: Non-exportable keys must not have release policy."}
	errReleaseFixed = &Error{Code: CodeBadParameter, Message: "AKV.SKR.1020: Immutable Key Release Policy cannot be modified."}
)

func badRelease(detail string) error {
	return badProperty("release_policy.data", detail)
}

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
		return badRelease("The document is too long")
	}
	if _, err := parseRelease(p.Data); err != nil {
		return err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, p.Data); err != nil {
		return badRelease("Send a JSON document in base64url")
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

// A releaseRule is one authority of a policy and what its attestation has to claim.
type releaseRule struct {
	authority string
	condition releaseCondition
}

// A releaseCondition is one claim, or a list of conditions.
type releaseCondition struct {
	all, any []releaseCondition
	claim    string
	equals   json.RawMessage
}

// parseRelease reads a policy in the service's grammar (documented: "policy grammar").
func parseRelease(data []byte) ([]releaseRule, error) {
	var document struct {
		Version string                       `json:"version"`
		AnyOf   []map[string]json.RawMessage `json:"anyOf"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, badRelease("Send a JSON document with version 1.0.0 and anyOf, in base64url")
	}
	if document.Version != "1.0.0" && document.Version != "1.0" {
		return nil, badRelease("The document's version has to be 1.0.0")
	}
	if len(document.AnyOf) == 0 {
		return nil, badRelease("The document's anyOf has to name an authority")
	}
	var rules []releaseRule
	for _, entry := range document.AnyOf {
		var rule releaseRule
		if json.Unmarshal(entry["authority"], &rule.authority) != nil || !strings.HasPrefix(strings.ToLower(rule.authority), "https://") {
			return nil, badRelease("Each entry of anyOf needs an authority with an https address")
		}
		delete(entry, "authority")
		if _, ok := entry["claim"]; ok {
			return nil, badRelease("An authority needs anyOf or allOf, and the claims in there")
		}
		var err error
		if rule.condition, err = readCondition(entry, 0); err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// readCondition reads {"anyOf":[…]}, {"allOf":[…]} or {"claim":"…","equals":…}.
func readCondition(members map[string]json.RawMessage, depth int) (c releaseCondition, err error) {
	if depth > maxReleaseDepth {
		return c, badRelease(fmt.Sprintf("Conditions are nested more than %d deep", maxReleaseDepth))
	}
	if raw, ok := members["claim"]; ok {
		value, given := members["equals"]
		if json.Unmarshal(raw, &c.claim) != nil || c.claim == "" || !given || len(members) != 2 {
			return c, badRelease("A condition on a claim has the members claim and equals; other operators are not in force")
		}
		c.equals = value
		if _, ok := scalar(value); !ok {
			return c, badRelease("A claim can equal a string, a number, true or false")
		}
		return c, nil
	}
	for name, list := range map[string]*[]releaseCondition{"anyOf": &c.any, "allOf": &c.all} {
		raw, ok := members[name]
		if !ok {
			continue
		}
		var inner []map[string]json.RawMessage
		if len(members) != 1 || json.Unmarshal(raw, &inner) != nil || len(inner) == 0 {
			return c, badRelease("Each condition has one list, anyOf or allOf, that is not empty")
		}
		for _, one := range inner {
			read, err := readCondition(one, depth+1)
			if err != nil {
				return c, err
			}
			*list = append(*list, read)
		}
		return c, nil
	}
	return c, badRelease("Each condition needs anyOf, allOf or claim")
}

// holds reports whether the claims fulfil the condition. A claim that is missing, or is
// no scalar, fulfils nothing.
func (c releaseCondition) holds(claims map[string]json.RawMessage) bool {
	for _, one := range c.any {
		if one.holds(claims) {
			return true
		}
	}
	if c.any != nil {
		return false
	}
	for _, one := range c.all {
		if !one.holds(claims) {
			return false
		}
	}
	if c.all != nil {
		return true
	}
	got, ok := scalar(claimAt(claims, c.claim))
	want, _ := scalar(c.equals)
	return ok && got == want
}

// claimAt follows a claim's name, in which dots lead into objects. A name that is a claim
// as it stands comes first.
func claimAt(claims map[string]json.RawMessage, name string) json.RawMessage {
	for depth := 0; depth <= maxReleaseDepth; depth++ {
		if value, ok := claims[name]; ok {
			return value
		}
		first, rest, ok := strings.Cut(name, ".")
		var inner map[string]json.RawMessage
		if !ok || json.Unmarshal(claims[first], &inner) != nil {
			return nil
		}
		claims, name = inner, rest
	}
	return nil
}

// scalar is a JSON string, number or boolean as text. Policies write true and numbers as
// strings, too, and mean the same by it (the service's own test policy does).
func scalar(raw json.RawMessage) (string, bool) {
	var text string
	switch {
	case len(raw) == 0:
		return "", false
	case raw[0] == '"':
		err := json.Unmarshal(raw, &text)
		return text, err == nil
	case raw[0] == '{' || raw[0] == '[' || string(raw) == "null":
		return "", false
	}
	return string(raw), true
}
