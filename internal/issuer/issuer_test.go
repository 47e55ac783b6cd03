package issuer_test

import (
	"context"
	"crypto/x509"
	"testing"
	"time"

	"coffer/internal/issuer"
	"coffer/internal/pki"
)

func TestSelf(t *testing.T) {
	key, err := pki.GenerateKey(pki.KeyType{Kty: "EC", Size: 256, Curve: "P-256"})
	if err != nil {
		t.Fatal(err)
	}
	name, err := pki.ParseName("CN=a")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 31, 10, 20, 30, 400, time.UTC)
	result, err := issuer.Self{}.Issue(context.Background(), issuer.Request{ID: "x", Template: pki.Template{Subject: name}, Key: key, ValidityMonths: 13, Now: now}, nil)
	if err != nil || len(result.Chain) != 1 || result.Wait != nil || result.Refused != nil {
		t.Fatalf("%+v, %v", result, err)
	}
	c, err := x509.ParseCertificate(result.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := now.Truncate(time.Second).Add(-600 * time.Second); !c.NotBefore.Equal(want) {
		t.Errorf("from %v", c.NotBefore)
	}
	if want := time.Date(2027, 2, 28, 10, 20, 30, 0, time.UTC); !c.NotAfter.Equal(want) { // the last day of a month that has no 31st
		t.Errorf("to %v", c.NotAfter)
	}
}
