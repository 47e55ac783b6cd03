package dataplane_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"coffer/internal/dataplane"
)

// A badBody is a request by hand. Without a code it is BadParameter.
type badBody struct{ name, body, code string }

// refuseAll sends bodies to a route of the quiet vault, each within its bound of
// processor time, and checks that none was taken and nothing has changed.
func (w *mutationWorld) refuseAll(method, path string, bodies []badBody) {
	w.t.Helper()
	before := w.quiet.state()
	for _, b := range bodies {
		status, code := 400, "BadParameter"
		if b.code != "" {
			code = b.code
		}
		if code == "RequestBodyTooLarge" {
			status = 413
		}
		a := w.clocked(w.quiet, method, path+newestVersion, b.body)
		if a.status < 300 { // what follows would find another state
			w.t.Fatalf("%s was taken: %d %.300s", b.name, a.status, a.text)
		}
		if a.status != status || a.code() != code {
			w.t.Errorf("%s: want %d %s, got %d %.300s", b.name, status, code, a.status, a.text)
		}
		w.errorForm(a)
	}
	if after := w.quiet.state(); after != before {
		w.t.Errorf("%s %s: a refused request changed something:\n%s\n%s", method, path, before, after)
	}
	w.noSecretIn(w.server.AuditLog())
}

// Bodies that are bad as a whole, on every route that has one.
func TestBadBodies(t *testing.T) {
	w := newMutationWorld(t)
	const size = 1_000_000 // just below the limit
	whole := []badBody{
		{"null", `null`, ""}, {"a text", `"` + secretWord + `"`, ""}, {"a number", `7`, ""}, {"a list", `[{}]`, ""}, {"spaces", "   ", ""},
		{"cut", `{"policy":{`, ""}, {"two objects", `{} {}`, ""}, {"a trailing comma", `{"a":1,}`, ""}, {"a comment", `{/**/}`, ""},
		{"single quotes", `{'a':1}`, ""}, {"a byte order mark", "\ufeff{}", ""}, {"UTF-16", "{\x00}\x00", ""}, {"a control character", "{\"a\":\"\x01\"}", ""},
		{"brackets", strings.Repeat("[", size), ""}, {"deep lists", `{"a":` + strings.Repeat("[", size/2) + strings.Repeat("]", size/2-10) + "}", ""},
		{"deep objects", strings.Repeat(`{"policy":`, 100_000) + "7" + strings.Repeat("}", 100_000)[:1], ""},
	}
	for _, route := range dataplane.BodyRoutes() {
		method, pattern, _ := strings.Cut(route, " ")
		path := "/" + strings.NewReplacer("{name}/pending", "waiting/pending", "{name}/create", "fresh/create", "{name}/import", "fresh/import",
			"{name}", "web", "/{version}", w.versions[w.quiet.base], "{issuer}", "ca").Replace(pattern)
		all := slices.Clone(whole)
		if pattern != "certificates/restore" { // which takes more, and has its own test
			all = append(all, badBody{"too large", `{"a":"` + strings.Repeat("a", 1<<20) + `"}`, "RequestBodyTooLarge"})
		}
		w.refuseAll(method, path, all)
	}
}

// Policies that are dear to look at.
func TestBadPolicyValues(t *testing.T) {
	w := newMutationWorld(t)
	var bodies []badBody
	add := func(name, x509Props string) {
		bodies = append(bodies, badBody{name, `{"policy":{"issuer":{"name":"Self"},"key_props":{"kty":"EC"},"x509_props":` + x509Props + `}}`, ""})
	}
	const many = 180_000
	add("a long number", `{"subject":"CN=a","validity_months":`+strings.Repeat("1", 900_000)+`}`)
	add("a long exponent", `{"subject":"CN=a","validity_months":1e`+strings.Repeat("9", 900_000)+`}`)
	add("an exponent", `{"subject":"CN=a","validity_months":1e1}`)
	add("less than none", `{"subject":"CN=a","validity_months":-1}`)
	add("a long OID", `{"subject":"CN=a","ekus":["1.2`+strings.Repeat(".3", 400_000)+`"]}`)
	add("a large arc", `{"subject":"CN=a","ekus":["1.2.`+strings.Repeat("9", 900_000)+`"]}`)
	add("many RDNs", `{"subject":"CN=a`+strings.Repeat(",CN=a", many)+`"}`)
	add("quotes", `{"subject":"CN=`+strings.Repeat(`\"`, 400_000)+`"}`)
	add("a half surrogate", `{"subject":"CN\ud800"}`)
	add("no UTF-8", "{\"subject\":\"CN\xff\"}")
	add("NUL", `{"subject":"CN=a","sans":{"dns_names":["a\u0000.test"]}}`)
	add("many names", `{"subject":"CN=a","sans":{"dns_names":["a"`+strings.Repeat(`,"a"`, many)+`]}}`)
	add("a long name", `{"subject":"CN=a","sans":{"dns_names":["`+strings.Repeat("a.", 400_000)+`a"]}}`)
	add("a long URI", `{"subject":"CN=a","sans":{"uris":["https://a/`+strings.Repeat("%20", 300_000)+`"]}}`)
	add("a long address", `{"subject":"CN=a","sans":{"ipAddresses":["`+strings.Repeat("1:", 400_000)+`"]}}`)
	add("a zone", `{"subject":"CN=a","sans":{"ipAddresses":["fe80::1%eth0"]}}`)
	add("a control character in a name", `{"subject":"CN=a","sans":{"upns":["a\n@b.test"]}}`)
	add("many words", `{"subject":"CN=a","key_usage":["x"`+strings.Repeat(`,"digitalSignature"`, 45_000)+`]}`)
	bodies = append(bodies, badBody{"a long tag", `{"tags":{"` + strings.Repeat("t", 513) + `":"v"},` + selfEC[1:], ""},
		badBody{"many tags", `{"tags":{` + strings.TrimSuffix(numbered(`"v"`), ",") + `},` + selfEC[1:], ""})
	w.refuseAll("POST", "/certificates/fresh/create", bodies)
}

// imports are bodies of an import: a file with its password.
func imports(name, value, password string) badBody {
	return badBody{name, `{"value":` + quote(value) + `,"pwd":` + quote(password) + `}`, ""}
}

func TestBadPFX(t *testing.T) {
	w := newMutationWorld(t)
	billion := big.NewInt(1_000_000_000)
	cut := w.file.raw[:len(w.file.raw)-1]
	bodies := []badBody{
		imports("a wrong alphabet", base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xfb, 0xff}, 300)), filePassword),
		imports("the URL alphabet", strings.NewReplacer("+", "-", "/", "_").Replace(w.file.pfx)+"-_", filePassword),
		imports("no padding", base64.RawStdEncoding.EncodeToString(append(slices.Clone(w.file.raw), make([]byte, 1+(4-len(w.file.raw)%3)%3)...)), filePassword),
		imports("not base64", "!"+w.file.pfx, filePassword), imports("base64 twice", base64Of([]byte(w.file.pfx)), filePassword),
		imports("something after it", base64Of(append(slices.Clone(w.file.raw), 0)), filePassword),
		imports("another password", w.file.pfx, filePassword+"x"), imports("no password", w.file.pfx, ""), imports("a password in capitals", w.file.pfx, strings.ToUpper(filePassword)),
		imports("a password that ends early", w.file.pfx, filePassword+"\x00"), imports("a certificate", base64Of(w.file.der), filePassword),
		imports("nothing", base64Of(nil), ""), imports("NULL", base64Of([]byte{5, 0}), ""), imports("a long password", w.file.pfx, strings.Repeat("p", 201)),
		imports("a very long password", w.file.pfx, strings.Repeat("p", 500_000)),
		imports("nested sequences", base64Of(bytes.Repeat([]byte{0x30, 0x80}, 350_000)), ""), imports("nested octet strings", base64Of(bytes.Repeat([]byte{0x24, 0x80}, 350_000)), ""),
		imports("many elements", base64Of(append([]byte{0x30, 0x80}, bytes.Repeat([]byte{4, 0}, 350_000)...)), ""),
		imports("a length beyond the end", base64Of([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 2, 1, 3}), ""),
	}
	for at := 0; at < len(cut); at += 64 {
		bodies = append(bodies, imports(fmt.Sprintf("cut after %d octets", at), base64Of(cut[:at]), filePassword))
	}
	bodies = append(bodies, imports("cut before the last octet", base64Of(cut), filePassword))
	for name, encoder := range map[string]*pkcs12.Encoder{"RC2": pkcs12.LegacyRC2, "DES": pkcs12.LegacyDES, "SHA-256": pkcs12.Modern2023, "PBMAC1": pkcs12.Modern2026} {
		for _, iterations := range []*big.Int{billion, big.NewInt(-1), new(big.Int), new(big.Int).Lsh(big.NewInt(1), 31), new(big.Int).Lsh(big.NewInt(1), 64), new(big.Int).Lsh(big.NewInt(1), 4000)} {
			bodies = append(bodies, imports(fmt.Sprintf("%s, %.12v… iterations everywhere", name, iterations), base64Of(w.file.forge(encoder, iterations)), filePassword))
			if name != "PBMAC1" {
				bodies = append(bodies, imports(fmt.Sprintf("%s, %.12v… iterations of the MAC", name, iterations), base64Of(w.file.forgeMAC(encoder, iterations)), filePassword))
			}
		}
	}
	w.refuseAll("POST", "/certificates/fresh/import", bodies)
}

// The dearest files that may be asked for: as many iterations as are taken, and a
// password that does not fit, so that all of them are done.
func TestDearestPFX(t *testing.T) {
	w := newMutationWorld(t)
	var bodies []badBody
	for name, encoder := range map[string]*pkcs12.Encoder{"SHA-1": pkcs12.LegacyDES, "SHA-256": pkcs12.Modern2023} {
		file := w.file.forgeMAC(encoder, big.NewInt(manyRounds))
		for _, password := range []string{"", strings.Repeat("p", 200)} {
			bodies = append(bodies, imports(fmt.Sprintf("%s, a password of %d", name, len(password)), base64Of(file), password))
			if sha256 := []byte{0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1}; name == "SHA-256" {
				at := bytes.LastIndex(file, sha256)
				sha512 := append(append(slices.Clone(file[:at+8]), 3), file[at+9:]...)
				bodies = append(bodies, imports(fmt.Sprintf("SHA-512, a password of %d", len(password)), base64Of(sha512), password))
			}
		}
	}
	third := w.file.forge(pkcs12.Modern2026, big.NewInt(someRounds))
	bodies = append(bodies, imports("thirds", base64Of(third), ""), imports("PBES2", w.file.encryptedPEM(big.NewInt(severalRounds)), strings.Repeat("p", 200)))
	w.refuseAll("POST", "/certificates/fresh/import", bodies)
}

func TestBadPEM(t *testing.T) {
	w := newMutationWorld(t)
	key, leaf := pkcs8(t, w.file.key), pemOf(nil, w.file.der)
	leaf = leaf[strings.Index(leaf, "-----BEGIN CERT"):]
	good := pemOf(key, w.file.der)
	block := func(kind, inside string) string {
		return "-----BEGIN " + kind + "-----\n" + inside + "-----END " + kind + "-----\n"
	}
	bodies := []badBody{
		imports("a wrong alphabet", strings.NewReplacer("A", "-", "B", "_").Replace(good), ""), imports("carriage returns", strings.ReplaceAll(good, "\n", "\r\n"), ""),
		imports("one line", strings.ReplaceAll(good, "\n", ""), ""), imports("the escapes of JSON", strings.ReplaceAll(good, "\n", `\n`), ""),
		imports("no key", leaf, ""), imports("no certificate", pemOf(key), ""), imports("two keys", pemOf(key, w.file.der)+pemOf(key), ""),
		imports("cut", good[:len(good)/2], ""), imports("no end", strings.TrimSuffix(good, "-----END CERTIFICATE-----\n"), ""),
		imports("a request", pemOf(key)+block("CERTIFICATE REQUEST", "AAAA\n"), ""), imports("an empty certificate", pemOf(key)+block("CERTIFICATE", ""), ""),
		imports("a huge certificate", pemOf(key)+block("CERTIFICATE", strings.Repeat(strings.Repeat("A", 64)+"\n", 13_000)), ""),
		imports("a huge key", block("PRIVATE KEY", strings.Repeat(strings.Repeat("A", 64)+"\n", 13_000))+leaf, ""),
		imports("17,000 tiny blocks", pemOf(key)+strings.Repeat(block("CERTIFICATE", ""), 17_000), ""),
		imports("102 blocks", pemOf(key)+strings.Repeat(leaf, 101), ""), imports("90,000 begins", strings.Repeat("-----BEGIN ", 90_000), ""),
		imports("nested begins", strings.Repeat("-----BEGIN CERTIFICATE-----\n", 30_000)+strings.Repeat("-----END CERTIFICATE-----\n", 5_000), ""),
		imports("100 nested begins", strings.Repeat("-----BEGIN CERTIFICATE-----\n"+strings.Repeat("A", 9_000)+"\n", 100), ""),
		imports("hyphens", "-----BEGIN CERTIFICATE-----\n"+strings.Repeat("-", 900_000), ""),
		imports("headers", "-----BEGIN PRIVATE KEY-----\n"+strings.Repeat("A: b\n", 100_000)+"\n"+strings.TrimPrefix(good, "-----BEGIN PRIVATE KEY-----\n"), ""),
		imports("an old cipher", strings.Replace(good, "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,00\n\n", 1), filePassword),
		imports("PKCS#1", block("RSA PRIVATE KEY", "AAAA\n")+leaf, ""), imports("SEC1", block("EC PRIVATE KEY", "AAAA\n")+leaf, ""),
		imports("a billion iterations", w.file.encryptedPEM(big.NewInt(1_000_000_000)), filePassword), imports("negative iterations", w.file.encryptedPEM(big.NewInt(-1)), filePassword),
		imports("another password", w.file.encryptedPEM(big.NewInt(1000)), filePassword),
		{"100,000 tiny blocks", `{"value":` + quote(strings.Repeat(block("CERTIFICATE", ""), 100_000)) + `}`, "RequestBodyTooLarge"},
	}
	w.refuseAll("POST", "/certificates/fresh/import", bodies)
}

// manyNames are more names than a certificate may have; they are short, so that it is
// small.
func manyNames(count int) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.DNSNames = nil
		for i := range count {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("a%d", i))
		}
	}
}

// validity changes the times of a certificate.
func validity(from, to time.Time) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

// badCertificates are certificates for a public key that nothing takes.
func (f *keyFile) badCertificates(public crypto.PublicKey) map[string][]byte {
	good := f.certificate(public, nil)
	now := time.Now()
	marked := f.certificate(public, validity(now, time.Date(2031, 10, 11, 12, 13, 14, 0, time.UTC)))
	return map[string][]byte{
		"a negative serial number": negativeSerial(f.t, good),
		"from 1950":                f.certificate(public, validity(time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC), now.AddDate(1, 0, 0))),
		"from the year 1":          f.certificate(public, validity(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), now.AddDate(1, 0, 0))),
		"ends before it begins":    f.certificate(public, validity(now.AddDate(2, 0, 0), now.AddDate(1, 0, 0))),
		"the month 13":             replaceTime(f.t, marked, "311011121314Z", "311311121314Z"),
		"no zone":                  replaceTime(f.t, marked, "311011121314Z", "31101112131400"[:13]),
		"an offset":                replaceTime(f.t, marked, "311011121314Z", "3110111213+01"),
		"10,000 names":             f.certificate(public, manyNames(10_000)),
		"10,000 long names": f.certificate(public, func(c *x509.Certificate) {
			manyNames(10_000)(c)
			c.DNSNames[0] = strings.Repeat("a", 200)
			c.EmailAddresses = slices.Repeat([]string{"a@b.test"}, 10_000)
		}),
		"cut":                good[:len(good)-1],
		"something after it": append(slices.Clone(good), 0),
		"a long subject":     f.certificate(public, func(c *x509.Certificate) { c.Subject.CommonName = strings.Repeat("a", 200_000) }),
	}
}

// badPairs are a certificate and its private key of kinds that nothing takes.
func (f *keyFile) badPairs() map[string]string {
	pairs := map[string]string{"e = 1": f.oneExponent(), "RSA of 16,000 bits": f.giantRSA(16_000), "RSA of 400,000 bits": f.giantRSA(400_000)}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		f.t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"RSA of 1024 bits": small, "P-224": p224, "Ed25519": edwards} {
		pairs[name] = pemOf(pkcs8(f.t, key), f.certificate(key.Public(), nil))
	}
	return pairs
}

func TestBadCertificates(t *testing.T) {
	w := newMutationWorld(t)
	var bodies []badBody
	key := pkcs8(t, w.file.key)
	for name, der := range w.file.badCertificates(&w.file.key.PublicKey) {
		bodies = append(bodies, imports(name, pemOf(key, der), ""))
	}
	for name, text := range w.file.badPairs() {
		bodies = append(bodies, imports(name, text, ""))
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	expired := w.file.certificate(&w.file.key.PublicKey, validity(time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0)))
	bodies = append(bodies, imports("another key", pemOf(pkcs8(t, other), w.file.der), ""), imports("expired", pemOf(key, expired), ""),
		imports("a bad certificate in the chain", pemOf(key, w.file.der, negativeSerial(t, w.file.der)), ""))
	w.refuseAll("POST", "/certificates/fresh/import", bodies)
	w.mismatchedPFX(other)
}

// mismatchedPFX is another key in a PKCS#12 file.
func (w *mutationWorld) mismatchedPFX(other *ecdsa.PrivateKey) {
	w.t.Helper()
	c, err := x509.ParseCertificate(w.file.der)
	if err != nil {
		w.t.Fatal(err)
	}
	file, err := pkcs12.Modern2023.WithIterations(1).Encode(other, c, nil, filePassword)
	if err != nil {
		w.t.Fatal(err)
	}
	w.refuseAll("POST", "/certificates/fresh/import", []badBody{imports("another key in PKCS#12", base64Of(file), filePassword)})
}

// merge is the body of a merge: certificates in base64.
func merge(name string, x5c ...string) badBody {
	var quoted []string
	for _, text := range x5c {
		quoted = append(quoted, quote(text))
	}
	return badBody{name, `{"x5c":[` + strings.Join(quoted, ",") + `]}`, ""}
}

func TestBadChains(t *testing.T) {
	w := newMutationWorld(t)
	good, err := base64.StdEncoding.DecodeString(w.x5c)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(good)
	if err != nil {
		t.Fatal(err)
	}
	negative := negativeSerial(t, w.file.der)
	bodies := []badBody{
		merge("a wrong alphabet", strings.NewReplacer("M", "-", "I", "_").Replace(w.x5c)), merge("no base64", "!!!!"), merge("DER as it is", "0\x82"), merge("PEM", pemOf(nil, good)),
		merge("another key", base64Of(w.file.der)), merge("a key", base64Of(pkcs8(t, w.file.key))), merge("a bad one after it", w.x5c, base64Of(negative)), merge("a bad one before it", base64Of(negative), w.x5c),
		merge("an empty one after it", w.x5c, ""), merge("101", slices.Repeat([]string{w.x5c}, 101)...), merge("nested sequences", base64Of(bytes.Repeat([]byte{0x30, 0x80}, 300_000))),
	}
	for at := 0; at < len(good); at += 64 {
		bodies = append(bodies, merge(fmt.Sprintf("cut after %d octets", at), base64Of(good[:at])))
	}
	for name, der := range w.file.badCertificates(leaf.PublicKey) {
		if name != "10,000 names" { // is TestMergeOfManyNames
			bodies = append(bodies, merge(name, base64Of(der)))
		}
	}
	for name, text := range w.file.badPairs() {
		_, rest := pem.Decode([]byte(text))
		block, _ := pem.Decode(rest)
		bodies = append(bodies, merge(name, base64Of(block.Bytes)))
	}
	w.refuseAll("POST", "/certificates/waiting/pending/merge", bodies)
	w.want(w.quiet.do("POST", "/certificates/waiting/pending/merge"+newestVersion, merge("the right one", w.x5c).body), 201, "")
}

// An import refuses a certificate of more than 100 names, and so must a merge: what it
// takes is read with every page of a list.
func TestMergeOfManyNames(t *testing.T) {
	w := newMutationWorld(t)
	w.refuseAll("POST", "/certificates/waiting/pending/merge", []badBody{
		merge("101 names", w.quiet.leafFor("waiting", manyNames(101))),
		merge("10,000 names", w.quiet.leafFor("waiting", manyNames(10_000))),
	})
}

// Certificates that a vault may take or not. What it takes gets an answer whatever is
// done with it afterwards, and the operation of a renewal comes to its end.
func TestOddCertificates(t *testing.T) {
	end := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) // RFC 5280 §4.1.2.5: no end
	for name, change := range map[string]func(*x509.Certificate){
		"nothing odd":       nil,
		"no end":            validity(time.Now().Add(-time.Hour), end),
		"2,000 years":       validity(time.Now().Add(-time.Hour), time.Now().AddDate(2000, 0, 0)),
		"an underscore":     func(c *x509.Certificate) { c.DNSNames = []string{"_a.b.test"} },
		"a space":           func(c *x509.Certificate) { c.DNSNames = []string{"a b"} },
		"a dot at the end":  func(c *x509.Certificate) { c.DNSNames = []string{"a.test."} },
		"an empty name":     func(c *x509.Certificate) { c.DNSNames = []string{""} },
		"no e-mail address": func(c *x509.Certificate) { c.EmailAddresses = []string{"nobody"} },
		"an odd URI":        func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "urn", Opaque: "a:b"}} },
		"a relative URI":    func(c *x509.Certificate) { c.URIs = []*url.URL{{Path: "a"}} },
		"a long URI": func(c *x509.Certificate) {
			c.URIs = []*url.URL{{Scheme: "https", Host: "a.test", Path: "/" + strings.Repeat("a", 3000)}}
		},
		"no subject":          func(c *x509.Certificate) { c.Subject = pkix.Name{} },
		"nothing to name it":  func(c *x509.Certificate) { c.Subject, c.DNSNames = pkix.Name{}, nil },
		"a subject of 4,000":  func(c *x509.Certificate) { c.Subject.CommonName = strings.Repeat("a", 4000) },
		"a line in a subject": func(c *x509.Certificate) { c.Subject.CommonName = "a\nb\x00" },
		"quotes in a subject": func(c *x509.Certificate) { c.Subject.CommonName = `",=+<>#;\ ` },
		"an unknown RDN": func(c *x509.Certificate) {
			c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: "x"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: ""}}
		},
		"60 usages": func(c *x509.Certificate) {
			for i := range 60 {
				c.UnknownExtKeyUsage = append(c.UnknownExtKeyUsage, asn1.ObjectIdentifier{1, 2, 3, i})
			}
		},
	} {
		t.Run(name, func(t *testing.T) { oddCertificate(t, change) })
	}
}

func oddCertificate(t *testing.T, change func(*x509.Certificate)) {
	d, f := newDoor(t), newKeyFile(t)
	der := f.certificate(&f.key.PublicKey, change)
	if a := d.do("POST", "/certificates/odd/import"+newestVersion, imports("", pemOf(pkcs8(t, f.key), der), "").body); a.status == 400 {
		if change == nil {
			t.Errorf("%s", a.text)
		}
		return
	}
	read := d.want(d.do("GET", "/certificates/odd"+newestVersion, ""), 200, "")
	if cer, _ := read.body["cer"].(string); cer != base64Of(der) {
		t.Errorf("another certificate is read: %s", read.text)
	}
	if a := d.do("PATCH", "/certificates/odd/policy"+newestVersion, `{"issuer":{"name":"Self"}}`); a.status != 200 {
		t.Errorf("a change of the policy: %d %s", a.status, a.text)
	}
	again := d.do("POST", "/certificates/odd/create"+newestVersion, `{}`)
	switch again.status {
	case 400:
		return
	case 202:
	default:
		t.Fatalf("a renewal: %d %s", again.status, again.text)
	}
	for range 30 {
		if op := d.do("GET", "/certificates/odd/pending", ""); op.body["status"] != "inProgress" {
			return
		}
		d.server.Turn(24 * time.Hour)
	}
	t.Errorf("the operation goes on for a month: %s", d.do("GET", "/certificates/odd/pending", "").text)
}

// What a refused file costs does not depend on where in it the bad part stands.
func TestDearChains(t *testing.T) {
	w := newMutationWorld(t)
	key := pkcs8(t, w.file.key)
	many := w.file.certificate(&w.file.key.PublicKey, manyNames(9_000))
	w.refuseAll("POST", "/certificates/fresh/import", []badBody{
		imports("ten of 9,000 names", pemOf(key, slices.Repeat([][]byte{many}, 10)...), ""),
		imports("a leaf behind ten of 9,000 names", pemOf(key, append(slices.Repeat([][]byte{many}, 9), negativeSerial(t, w.file.der))...), ""),
	})
}
