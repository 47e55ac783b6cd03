package dataplane_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"coffer/coffertest"
)

// fuzzDoor is a vault for all inputs of a fuzz target; each input gets the door with
// its own test.
func fuzzDoor(f *testing.F) func(*testing.T) *door {
	f.Helper()
	s := coffertest.New(f)
	token, err := s.Credential().GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	if err != nil {
		f.Fatal(err)
	}
	return func(t *testing.T) *door { return &door{t: t, server: s, base: s.VaultURL("demo"), token: token.Token} }
}

// get is the text of a resource that is there.
func (d *door) get(path string) string {
	d.t.Helper()
	return d.want(d.do("GET", path, ""), 200, "").text
}

// withoutTimes is an answer without the times that every change moves.
func withoutTimes(t *testing.T, text string) string {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatal(err)
	}
	delete(body["attributes"].(map[string]any), "updated")
	out, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// plainPolicy is a policy with every part that a change can leave out.
const plainPolicy = `{"key_props":{"kty":"EC"},"secret_props":{"contentType":"application/x-pkcs12"},"x509_props":{"subject":"CN=web"},"issuer":{"name":"Self"},"attributes":{"enabled":true},"lifetime_actions":[{"trigger":{"lifetime_percentage":80},"action":{"action_type":"AutoRenew"}}]}`

// FuzzPolicy checks that a policy that is taken reads back as it was answered, and may
// be sent back as it is read; and that one that is refused is 400 and changes nothing.
func FuzzPolicy(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"key_props":{"kty":"EC","crv":"P-384"}}`, `{"key_props":{"kty":"RSA-HSM","exportable":false,"key_size":3072,"reuse_key":true}}`,
		`{"secret_props":{"contentType":"application/x-pem-file"}}`, `{"issuer":{"name":"Unknown","cty":"OV","cert_transparency":false}}`,
		`{"x509_props":{"subject":"C=US, O=\"A, B\", CN=a.test","sans":{"dns_names":["*.a.test"],"emails":["a@b.test"],"upns":["a@b"],"uris":["urn:a"],"ipAddresses":["::1"]},"ekus":["2.999.1"],"key_usage":["crlsign","keyAgreement"],"validity_months":1200}}`,
		`{"x509_props":{"subject":"E=a@b.test,S=x,DC=y,OID.1.2.3=z"}}`, `{"x509_props":{"sans":{"dns_names":[]}}}`, `{"lifetime_actions":[{"trigger":{"days_before_expiry":324},"action":{"action_type":"autorenew"}}]}`,
		`{"attributes":{"enabled":false,"exp":1}}`, `{"KEY_PROPS":{"kty":"ec"},"key_props":null}`, `{"x509_props":{"subject":"CN=\u0000"}}`, `{"x509_props":{"subject":"CN=\ud800"}}`, `[`, `null`, "{\"issuer\":{\"name\":\"\xff\"}}",
	} {
		f.Add([]byte(seed))
	}
	open := fuzzDoor(f)
	made := false
	const path = "/certificates/web/policy" + newestVersion
	f.Fuzz(func(t *testing.T, body []byte) {
		d := open(t)
		if !made {
			d.make("web", selfEC)
			made = true
		}
		// Every input finds the same policy.
		d.want(d.do("PATCH", path, plainPolicy), 200, "")
		before := d.get(path)
		// An empty body would be sent as none at all.
		a := d.do("PATCH", path, string(append(bytes.Clone(body), ' ')))
		after := d.get(path)
		switch {
		case a.status == 400 && a.code() == "BadParameter":
			if after != before {
				t.Errorf("%q is refused and changes\n%s\nto\n%s", body, before, after)
			}
			return
		case a.status != 200 || a.text != after:
			t.Fatalf("%q: %d %s\nand then %s", body, a.status, a.text, after)
		}
		again := d.do("PATCH", path, after)
		if again.status == 400 && strings.HasPrefix(again.message(), "Property policy.lifetime_actions[0]") {
			return // issuer and validity were sent without the actions, which are checked against them only when they are
		}
		d.want(again, 200, "")
		if again.status == 200 && withoutTimes(t, again.text) != withoutTimes(t, after) {
			t.Errorf("%q is read as\n%s\nwhich becomes\n%s", body, after, again.text)
		}
	})
}

// FuzzSkipToken checks that no list takes a token but the ones that it gave.
func FuzzSkipToken(f *testing.F) {
	open := fuzzDoor(f)
	var given string
	next := func(d *door, path string) string {
		link, _ := d.want(d.do("GET", path, ""), 200, "").body["nextLink"].(string)
		_, token, _ := strings.Cut(link, "$skiptoken=")
		token, _, _ = strings.Cut(token, "&")
		return token
	}
	f.Add("", 0)
	f.Add("AAAA", 1)
	f.Add("=", 2)
	f.Add(strings.Repeat("A", 1025), 3)
	f.Add("\x00&$skiptoken=", 5)
	f.Add("\r", 7)
	f.Fuzz(func(t *testing.T, token string, change int) {
		d := open(t)
		if given == "" {
			d.make("a", selfEC)
			d.make("b", selfEC)
			given = next(d, "/certificates?api-version=7.6&maxresults=1")
		}
		// A change of the genuine token: one character of it is another one, or gone.
		at := abs(change) % len(given)
		for _, forged := range []string{token, given + token, given[:at] + token + given[at+1:], given[:at]} {
			a := d.do("GET", "/certificates?api-version=7.6&$skiptoken="+url.QueryEscape(forged), "")
			if taken := forged == given || forged == ""; taken != (a.status == 200) || !taken && (a.status != 400 || a.code() != "BadParameter") {
				t.Errorf("%q: %d %s", forged, a.status, a.text)
			}
		}
		for _, other := range []string{"/deletedcertificates", "/certificates/issuers", "/certificates/a/versions"} {
			d.want(d.do("GET", other+"?api-version=7.6&$skiptoken="+given, ""), 400, "BadParameter")
		}
	})
}

func abs(n int) int { return max(n, -(n + 1)) }

// FuzzBackup checks that nothing is restored but a blob as it was given; everything
// else is refused, and leaves nothing behind.
func FuzzBackup(f *testing.F) {
	open := fuzzDoor(f)
	blob := ""
	f.Add("", 0)
	f.Add("AAAA", 3)
	f.Add("JkF6dXJlS2V5VmF1bHRLZXlCYWNrdXBWMS5taWNyb3NvZnQuY29t", 7)
	f.Add("=", 100)
	f.Add("\n", -1)
	f.Add("-_", 1<<40)
	f.Fuzz(func(t *testing.T, text string, change int) {
		d := open(t)
		if blob == "" {
			origin := d.at("origin")
			origin.make("web", selfEC)
			blob, _ = d.want(origin.do("POST", "/certificates/web/backup", ""), 200, "").body["value"].(string)
			d.want(d.at("other").do("POST", "/certificates/restore", `{"value":"`+blob+`"}`), 200, "") // so that it is known to be whole
		}
		text = strings.ToValidUTF8(text, "") // JSON has no other
		at := abs(change) % len(blob)
		for _, forged := range []string{text, blob + text, text + blob, blob[:at] + text + blob[at+1:], blob[:at], blob[at:] + blob[:at]} {
			if forged == blob {
				continue
			}
			d.want(d.do("POST", "/certificates/restore", `{"value":`+quote(forged)+`}`), 400, "Malformed backup blob")
		}
		if live, deleted := d.get("/certificates?api-version=7.6&includePending=true"), d.get("/deletedcertificates"); live+deleted != strings.Repeat(`{"value":[],"nextLink":null}`, 2) {
			t.Errorf("%q left something behind: %s %s", text, live, deleted)
		}
	})
}

// FuzzX5C checks that a merge that is taken reads back as the certificate that was
// sent, and that one that is refused leaves the operation as it was. Most inputs are
// changes of a certificate that fits the operation.
func FuzzX5C(f *testing.F) {
	open := fuzzDoor(f)
	leaf := ""
	f.Add([]byte{}, 0)
	f.Add([]byte{0x30, 0x82}, 0)
	f.Add([]byte{0xff}, 14)                        // the serial number
	f.Add([]byte("99991231235959Z"), 60)           // a time
	f.Add([]byte{0x01, 0x00}, 100)                 //
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 9), 30) // nested
	f.Add([]byte("\x55\x1d\x11"), 200)             // an extension
	f.Fuzz(func(t *testing.T, patch []byte, change int) {
		d := open(t)
		if leaf == "" {
			d.wait("web")
			leaf = d.leafFor("web", nil)
		}
		good, err := base64.StdEncoding.DecodeString(leaf)
		if err != nil {
			t.Fatal(err)
		}
		at := abs(change) % len(good)
		over := append(append(bytes.Clone(good[:at]), patch...), good[min(len(good), at+len(patch)):]...)
		into := append(append(bytes.Clone(good[:at]), patch...), good[at:]...)
		for _, der := range [][]byte{patch, over, into, good[:at]} {
			before := d.get("/certificates/web/pending") + d.get("/certificates/web")
			a := d.do("POST", "/certificates/web/pending/merge", `{"x5c":["`+base64Of(der)+`"]}`)
			switch {
			case a.status == 400 && a.code() == "BadParameter":
				if after := d.get("/certificates/web/pending") + d.get("/certificates/web"); after != before {
					t.Errorf("%x is refused and changes\n%s\nto\n%s", der, before, after)
				}
			case a.status == 201:
				read := d.want(d.do("GET", "/certificates/web", ""), 200, "")
				if read.body["cer"] != base64Of(der) || read.body["id"] != a.body["id"] {
					t.Errorf("%x is read as %s", der, read.text)
				}
				d.want(d.do("GET", "/secrets/web", ""), 200, "")
				d.get("/certificates")
				d.wait("web")
				leaf = d.leafFor("web", nil)
				return
			default:
				t.Fatalf("%x: %d %s", der, a.status, a.text)
			}
		}
	})
}
