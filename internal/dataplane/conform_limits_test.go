package dataplane_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffer/internal/audit"
	"coffer/internal/seal"
	"coffer/internal/server"
	"coffer/internal/tenant"
	"coffer/internal/vault"
)

// A still server does what it is asked, and no due work: what is left to a job stays
// as it is until the test says.
type still struct {
	t     *testing.T
	core  *server.Core
	token string
}

func newStill(t *testing.T) *still {
	t.Helper()
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &still{t: t}
	s.core, err = server.Open(context.Background(), server.Options{
		StorePath: filepath.Join(t.TempDir(), "store"), Ephemeral: true, Create: true, Root: root, Sink: audit.Discard{}, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Names: server.PublicNames(), FirstTouch: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.core.Close(); err != nil {
			t.Error(err)
		}
	})
	app, secret, err := s.core.Tenant.CreateApplication(context.Background(), "owner")
	if err != nil {
		t.Fatal(err)
	}
	s.core.Own(tenant.Application{AppID: app.AppID, ObjectID: app.ObjectID})
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {app.AppID}, "client_secret": {secret}, "scope": {"https://vault.azure.net/.default"}}
	a := s.send("POST", "https://login.microsoftonline.com/"+s.core.Tenant.TenantID()+"/oauth2/v2.0/token", "application/x-www-form-urlencoded", form.Encode())
	token, ok := a.body["access_token"].(string)
	if !ok {
		t.Fatal(a.text)
	}
	s.token = token
	return s
}

func (s *still) send(method, address, kind, body string) answer {
	s.t.Helper()
	r := httptest.NewRequest(method, address, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Content-Type", kind)
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	w := httptest.NewRecorder()
	s.core.Handler().ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), text: w.Body.String()}
	if a.text != "" {
		if err := json.Unmarshal([]byte(a.text), &a.body); err != nil {
			s.t.Fatalf("%s %s answers %q", method, address, a.text)
		}
	}
	return a
}

func (s *still) want(method, path, body string, status int, code string) answer {
	s.t.Helper()
	a := s.send(method, "https://demo.vault.azure.net"+path+"?api-version=7.6", "application/json", body)
	if a.status != status || a.code() != code {
		s.t.Errorf("%s %s: want %d %s, got %d %s", method, path, status, code, a.status, a.text)
	}
	return a
}

// A long history is removed piece by piece, and until it is gone the name is taken.
func TestConformLongPurge(t *testing.T) {
	claims(t, "cert-5.5-2")
	s := newStill(t)
	chain := newChain(t, newECKey(t))
	file := `{"value":` + quote(chain.keyPEM(t)+certificatePEM(chain.leaf)) + `}`
	for range 70 { // of three records each, and 200 are removed at a time
		s.want("POST", "/certificates/web/import", file, 200, "")
	}
	s.want("DELETE", "/certificates/web", "", 200, "")
	s.want("DELETE", "/deletedcertificates/web", "", 204, "")
	for path, body := range map[string]string{"/certificates/web/create": selfEC, "/certificates/web/import": file} {
		a := s.want("POST", path, body, 409, "Conflict/ObjectIsBeingDeleted")
		if a.message() != "Certificate web is currently being deleted and cannot be re-created; retry later." {
			t.Error(a.message())
		}
	}
	s.want("GET", "/certificates/web", "", 404, "CertificateNotFound")
	s.want("GET", "/deletedcertificates/web", "", 404, "CertificateNotFound")
	s.want("POST", "/deletedcertificates/web/recover", "", 404, "CertificateNotFound")
	if a := s.want("GET", "/deletedcertificates", "", 200, ""); a.text != `{"value":[],"nextLink":null}` {
		t.Error(a.text)
	}
	if err := s.core.Vaults.Settle(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.want("POST", "/certificates/web/import", file, 200, "")
}

func TestConformRetention(t *testing.T) {
	claims(t, "cert-17-5")
	s := newStill(t)
	for _, days := range []int{-1, 1, 6, 91, 365} {
		err := s.core.Vaults.CreateVault(context.Background(), vault.Vault{Name: "refused", TenantID: s.core.Tenant.TenantID(), RetentionDays: days})
		var refused *vault.Error
		if !errors.As(err, &refused) || refused.Code != vault.CodeBadParameter {
			t.Errorf("%d days: %v", days, err)
		}
	}
	if _, err := s.core.Vaults.GetVault(context.Background(), "refused"); err == nil {
		t.Error("a refused vault is there")
	}
}

func TestConformSizes(t *testing.T) {
	claims(t, "cert-17-6", "cert-17-7", "cert-17-8", "cert-17-9")
	d := newDoor(t)
	long := strings.Repeat("x", 512)
	for _, test := range []struct {
		name, value string
		status      int
	}{{long, long, 202}, {long + "x", "v", 400}, {"n", long + "x", 400}, {strings.Repeat("é", 512), "v", 202}} {
		body := `{"tags":{` + quote(test.name) + `:` + quote(test.value) + `},` + unknownEC[1:]
		a := d.do("POST", fmt.Sprintf("/certificates/t%d-%d/create", len(test.name), len(test.value)), body)
		if a.status != test.status || a.status == 400 && a.code() != "BadParameter" {
			t.Errorf("tag of %d and %d: %d %s", len(test.name), len(test.value), a.status, a.text)
		}
	}
	for count, status := range map[int]int{100: 202, 101: 400} {
		var names []string
		for i := range count {
			names = append(names, fmt.Sprintf(`"n%d.test"`, i))
		}
		body := `{"policy":{"issuer":{"name":"Unknown"},"key_props":{"kty":"EC"},"x509_props":{"sans":{"dns_names":[` + strings.Join(names, ",") + `]}}}}`
		if a := d.do("POST", fmt.Sprintf("/certificates/s%d/create", count), body); a.status != status || status == 400 && a.code() != "BadParameter" {
			t.Errorf("%d names: %d %s", count, a.status, a.text)
		}
	}
	big := `{"x":"` + strings.Repeat("x", 1<<20) + `"}`
	d.want(d.do("POST", "/certificates/big/create", big), http.StatusRequestEntityTooLarge, "RequestBodyTooLarge")
	d.want(d.do("POST", "/certificates/restore", big), 400, "Malformed backup blob") // which may be longer
	if list := d.do("GET", "/certificates?api-version=7.4&includePending=true", ""); strings.Count(list.text, `"id"`) != 3 {
		t.Error(list.text)
	}
	// A history has no end; here it is longer than a page.
	var last answer
	for range 30 {
		last = d.make("web", selfEC)
	}
	ids, sizes := d.pages("/certificates/web/versions?api-version=7.4", nil)
	if len(ids) != 30 || len(sizes) != 2 || sizes[0] != 25 || d.do("GET", "/certificates/web", "").body["id"] != last.body["id"] {
		t.Errorf("%v: %v", sizes, ids)
	}
}
