package vault

import (
	"encoding/json"
	"errors"
	"testing"
)

// What is refused is a BadParameter; what is taken has an authority and holds for nobody
// without claims.
func FuzzReleasePolicy(f *testing.F) {
	f.Add([]byte(`{"version":"1.0.0","anyOf":[{"authority":"https://a","allOf":[{"claim":"b.c","equals":"true"},{"anyOf":[{"claim":"d","equals":7}]}]}]}`), []byte(`{"b":{"c":true},"d":7}`))
	f.Fuzz(func(t *testing.T, policy, claims []byte) {
		rules, err := parseRelease(policy)
		var coded *Error
		if err != nil {
			if !errors.As(err, &coded) || coded.Code != CodeBadParameter {
				t.Errorf("%q: %v", policy, err)
			}
			return
		}
		var parsed map[string]json.RawMessage
		_ = json.Unmarshal(claims, &parsed)
		for _, rule := range rules {
			if rule.authority == "" || rule.condition.holds(nil) {
				t.Errorf("%q holds without claims", policy)
			}
			rule.condition.holds(parsed)
		}
	})
}
