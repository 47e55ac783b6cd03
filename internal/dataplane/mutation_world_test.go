package dataplane_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// newestVersion asks for the api-version that has all members.
const newestVersion = "?api-version=2026-04-01"

// What no answer and no log may repeat.
const (
	secretWord   = "secret-word-of-a-request" // in the place of something else
	filePassword = "password-of-a-file"
	issuerSecret = "password-of-an-issuer"
)

// A mutationWorld is two vaults of one server. Nothing may change in the quiet one.
type mutationWorld struct {
	*door
	quiet, busy *door
	made        *int // names that were taken
	blob        string
	file        *keyFile
	x5c         string // a certificate that the quiet vault could merge
	versions    map[string]string
}

func newMutationWorld(t *testing.T) *mutationWorld {
	t.Helper()
	d := newDoor(t)
	w := &mutationWorld{door: d, quiet: d.at("quiet"), busy: d.at("busy"), file: newKeyFile(t), versions: map[string]string{}, made: new(int)}
	for _, v := range []*door{w.quiet, w.busy} {
		v.want(v.do("PUT", "/certificates/issuers/ca"+newestVersion, `{"provider":"DigiCert","credentials":{"account_id":"a","pwd":"`+issuerSecret+`"}}`), 200, "")
		v.want(v.do("PUT", "/certificates/contacts"+newestVersion, `{"contacts":[{"email":"admin@a.test"}]}`), 200, "")
		web := v.make("web", `{"tags":{"a":"b"},`+selfEC[1:])
		w.versions[v.base] = web.body["id"].(string)[strings.LastIndex(web.body["id"].(string), "/"):]
		v.wait("waiting")
	}
	w.busy.make("kept", selfEC)
	w.blob = w.busy.want(w.busy.do("POST", "/certificates/kept/backup", ""), 200, "").body["value"].(string)
	w.x5c = w.quiet.leafFor("waiting", nil)
	return w
}

// at is the same door of another vault.
func (d *door) at(vault string) *door {
	other := *d
	other.base = d.server.VaultURL(vault)
	return &other
}

// on is the same world for a part of the test.
func (w *mutationWorld) on(t *testing.T) *mutationWorld {
	other := *w
	other.door, other.quiet, other.busy = w.door.on(t), w.quiet.on(t), w.busy.on(t)
	return &other
}

func (d *door) on(t *testing.T) *door {
	other := *d
	other.t = t
	return &other
}

// wait makes a certificate that waits for a merge.
func (d *door) wait(name string) {
	d.t.Helper()
	d.want(d.do("POST", "/certificates/"+name+"/create", strings.Replace(selfEC, "Self", "Unknown", 1)), 202, "")
}

// fresh is a name that no vault has yet.
func (w *mutationWorld) fresh() string {
	*w.made++
	return fmt.Sprintf("n%d", *w.made)
}

// state is all that a request could change, as clients see it.
func (d *door) state() string {
	d.t.Helper()
	var b strings.Builder
	for _, path := range []string{
		"/certificates" + newestVersion + "&includePending=true", "/deletedcertificates", "/certificates/web" + newestVersion, "/certificates/web/versions",
		"/certificates/web/pending", "/certificates/waiting" + newestVersion, "/certificates/waiting/pending",
		"/certificates/contacts", "/certificates/issuers", "/certificates/issuers/ca", "/secrets/web", "/keys/web",
	} {
		a := d.do("GET", path, "")
		if a.status != 200 {
			d.t.Fatalf("GET %s: %d %s", path, a.status, a.text)
		}
		b.WriteString(a.text + "\n")
	}
	return b.String()
}

// errorForm checks that a refusal has the protocol's form, and that it is short and
// keeps the secrets.
func (w *mutationWorld) errorForm(a answer) {
	w.t.Helper()
	detail, _ := a.body["error"].(map[string]any)
	inner, hasInner := detail["innererror"]
	switch {
	case len(a.body) != 1 || a.code() == "" || a.message() == "", len(detail) != 2 && !hasInner, len(detail) != 3 && hasInner, hasInner && inner == nil:
		w.t.Errorf("the form of an error: %s", a.text)
	case len(a.text) > 2000:
		w.t.Errorf("an error of %d characters: %.200s", len(a.text), a.text)
	case a.header.Get("Content-Type") != "application/json; charset=utf-8" || a.header.Get("X-Ms-Request-Id") == "":
		w.t.Errorf("the headers of an error: %v", a.header)
	}
	w.noSecretIn(a.text)
}

// noSecretIn checks that a text repeats no password and no private key.
func (w *mutationWorld) noSecretIn(text string) {
	w.t.Helper()
	for _, secret := range append([]string{secretWord, filePassword, issuerSecret, "PRIVATE KEY"}, w.file.secrets...) {
		if at := strings.Index(text, secret); at >= 0 {
			w.t.Errorf("a secret shows: %.300s", text[max(0, at-100):])
		}
	}
}

// clocked is do with a bound on the time of processors, of client and server together.
func (w *mutationWorld) clocked(d *door, method, path, body string) answer {
	w.t.Helper()
	start := cpuTime(w.t)
	a := d.do(method, path, body)
	if took := cpuTime(w.t) - start; took > requestBound {
		w.t.Errorf("%s %s took %v of a processor, more than %v", method, path, took, requestBound)
	}
	return a
}

// quote is a text in JSON.
func quote(text string) string {
	out, _ := json.Marshal(text)
	return string(out)
}
