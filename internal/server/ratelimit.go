package server

import (
	"errors"
	"time"

	"coffer/internal/access"
	"coffer/internal/limit"
)

// A RateConfig limits the requests at the data plane, in spans of ten seconds. Without
// members nothing is limited. Beyond a limit the answer is 429.
type RateConfig struct {
	// PerCaller is how many requests one principal may send in ten seconds; 0: any number.
	PerCaller int `yaml:"per_caller"`
	// PerVault is how many requests one vault takes in ten seconds; 0: any number.
	PerVault int `yaml:"per_vault"`
	// Published applies the transaction limits that the service publishes, for each vault.
	Published bool `yaml:"published"`
}

// rateSpan is the span that the service's limits are published for.
const rateSpan = 10 * time.Second

func (r RateConfig) check() error {
	switch {
	case r.PerCaller < 0 || r.PerVault < 0:
		return errors.New("rate_limits: per_caller and per_vault cannot be negative")
	case r.Published && r.PerVault > 0:
		return errors.New("rate_limits: published and per_vault contradict each other: both limit a vault")
	}
	return nil
}

// The published limits of a vault (documentation of the service's limits), by what an
// operation is counted as. Those of keys are of software keys of RSA 2,048 bits or of an
// elliptic curve.
const (
	publishedKeyCreations    = 20
	publishedKeyOperations   = 4000
	publishedSecretCreations = 300
	publishedOthers          = 4000
)

// limiter is what the door of the vaults asks before each request; nil: nothing is
// limited.
func (r RateConfig) limiter(now func() time.Time) func(caller access.Caller, vault, operation string) time.Duration {
	if r == (RateConfig{}) {
		return nil
	}
	l := limit.New(rateSpan, now)
	return func(caller access.Caller, vault, operation string) time.Duration {
		var counts []limit.Count
		if r.PerCaller > 0 {
			counts = append(counts, limit.Count{Of: "caller " + caller.ObjectID, Max: r.PerCaller})
		}
		if r.PerVault > 0 {
			counts = append(counts, limit.Count{Of: "vault " + vault, Max: r.PerVault})
		}
		if r.Published {
			kind, most := published(operation)
			counts = append(counts, limit.Count{Of: kind + vault, Max: most})
		}
		return l.Take(counts...)
	}
}

func published(operation string) (kind string, most int) {
	switch operation {
	case "KeyCreate", "KeyRotate":
		return "key creation ", publishedKeyCreations
	case "SecretSet", "CertificateImport", "KeyImport": // collectively
		return "secret creation ", publishedSecretCreations
	}
	if len(operation) > 3 && operation[:3] == "Key" {
		return "key ", publishedKeyOperations
	}
	return "other ", publishedOthers
}
