package compat_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// exported is what exports.py says of the exported form of a certificate, which it leaves
// beside the certificate itself, NAME.pem, as the vault answers with it.
type exported struct {
	Name   string
	Secret string // file with the exported form
	PFX    bool
	Key    bool // the private key is in it
	Chain  int  // certificates in it
	Self   bool
	Names  []string // what the certificate is for: host names, addresses, e-mail
	Others []string // and is not for
}

// Two content types by two of exportable for each of five kinds of key, two with names of
// other sorts, two with a chain.
const exports = 2*2*5 + 2 + 2

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
	if err := json.Unmarshal(text, &all); err != nil || len(all) != exports {
		t.Fatalf("%d exports, want %d, %v", len(all), exports, err)
	}
	for _, e := range all {
		t.Run(e.Name, func(t *testing.T) {
			e.read(t, dir)
			e.verify(t, filepath.Join(dir, e.Name+".pem"))
		})
	}
}

// read has OpenSSL read the exported form, and looks at what is in it.
func (e exported) read(t *testing.T, dir string) {
	file := filepath.Join(dir, e.Secret)
	if e.PFX {
		file = filepath.Join(dir, e.Name+".out")
		command(t, dir, "", 0, nil, "openssl", "pkcs12", "-legacy", "-in", e.Secret, "-passin", "pass:", "-nodes", "-out", file)
	}
	leaf := filepath.Join(dir, e.Name+".pem")
	chain := certificatesIn(t, file)
	if len(chain) != e.Chain {
		t.Fatalf("%d certificates, want %d", len(chain), e.Chain)
	}
	place := 0 // recorded: leaf to root in PEM, root to leaf in PKCS#12
	if e.PFX {
		place = len(chain) - 1
	}
	if !bytes.Equal(chain[place], certificatesIn(t, leaf)[0]) {
		t.Errorf("certificate %d of %d is not the vault's", place+1, len(chain))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if has := strings.Contains(string(text), "PRIVATE KEY"); has != e.Key {
		t.Fatalf("the private key is in it: %v, want %v", has, e.Key)
	}
	if !e.Key {
		return
	}
	public := command(t, dir, "", 0, nil, "openssl", "x509", "-in", leaf, "-noout", "-pubkey")
	if private := command(t, dir, "", 0, nil, "openssl", "pkey", "-in", file, "-pubout"); private != public {
		t.Errorf("the key is not that of the certificate:\n%s%s", private, public)
	}
}

// certificatesIn are those in a PEM file, in order.
func certificatesIn(t *testing.T, file string) [][]byte {
	t.Helper()
	rest, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			out = append(out, block.Bytes)
		}
	}
	return out
}

// verify has OpenSSL accept a self-signed certificate for its names, and no others.
func (e exported) verify(t *testing.T, leaf string) {
	if e.Self != (len(e.Names) > 0) || e.Self != (len(e.Others) > 0) {
		t.Fatalf("names to try: %q and %q", e.Names, e.Others)
	}
	for _, name := range e.Names {
		if out := command(t, ".", "", 0, nil, "openssl", "verify", "-CAfile", leaf, verifies(name), name, leaf); !strings.Contains(out, ": OK") {
			t.Errorf("%s: %s", name, out)
		}
	}
	for _, name := range e.Others {
		if out := command(t, ".", "", 2, nil, "openssl", "verify", "-CAfile", leaf, verifies(name), name, leaf); !strings.Contains(out, "mismatch") {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func verifies(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return "-verify_ip"
	}
	if strings.Contains(name, "@") {
		return "-verify_email"
	}
	return "-verify_hostname"
}
