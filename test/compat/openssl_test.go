package compat_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// exported is what exports.py leaves in a directory, one folder for each certificate.
type exported struct {
	Name   string
	Secret string // file with the exported form
	PFX    bool
	Key    bool // the private key is in it
	Chain  int  // certificates in it
	DNS    string
	Self   bool
}

// OpenSSL reads every exported file, its key is that of its certificate, and it accepts
// every self-signed certificate for its names.
func TestOpenSSL(t *testing.T) {
	need(t, "openssl")
	dir := t.TempDir()
	command(t, dir, "", 0, demo, binary, "run", "--", python(t), script(t, "python/exports.py"))
	text, err := os.ReadFile(filepath.Join(dir, "exports.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []exported
	if err := json.Unmarshal(text, &all); err != nil || len(all) < 12 {
		t.Fatalf("%d exports, %v", len(all), err)
	}
	for _, e := range all {
		t.Run(e.Name, func(t *testing.T) { e.check(t, dir) })
	}
}

func (e exported) check(t *testing.T, dir string) {
	pem := filepath.Join(dir, e.Secret)
	if e.PFX {
		out := filepath.Join(dir, e.Name+".out")
		command(t, dir, "", 0, nil, "openssl", "pkcs12", "-legacy", "-in", e.Secret, "-passin", "pass:", "-nodes", "-out", out)
		pem = out
	}
	text, err := os.ReadFile(pem)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "BEGIN CERTIFICATE"); n != e.Chain {
		t.Errorf("%d certificates, want %d", n, e.Chain)
	}
	if has := strings.Contains(string(text), "PRIVATE KEY"); has != e.Key {
		t.Errorf("the private key is in it: %v, want %v", has, e.Key)
	}
	// In a PFX the root comes first, so the leaf is taken from the vault's own answer.
	leaf := filepath.Join(dir, e.Name+".pem")
	public := command(t, dir, "", 0, nil, "openssl", "x509", "-in", leaf, "-noout", "-pubkey")
	if e.Key {
		if private := command(t, dir, "", 0, nil, "openssl", "pkey", "-in", pem, "-pubout"); private != public {
			t.Errorf("the key is not that of the certificate:\n%s%s", private, public)
		}
	}
	if e.Self {
		out := command(t, dir, "", 0, nil, "openssl", "verify", "-CAfile", leaf, "-verify_hostname", e.DNS, "-verify_ip", "10.1.2.3", leaf)
		if !strings.Contains(out, ": OK") {
			t.Error(out)
		}
		command(t, dir, "", 2, nil, "openssl", "verify", "-CAfile", leaf, "-verify_hostname", "another.example", leaf)
	}
}
