package entra_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"coffer/internal/entra"
)

const metadataURL = "http://169.254.169.254/metadata/identity/oauth2/token"

func (w *world) metadata(identity bool) http.Handler {
	m := &entra.Metadata{Tenant: w.tenant, Log: slog.New(slog.NewTextHandler(w.log, nil))}
	if identity {
		m.Identity = &w.app
	}
	return m
}

func TestMetadata(t *testing.T) {
	claims(t, "id-7.1-1", "id-7.1-2", "id-7.1-3", "id-7.1-4", "id-7.1-5", "id-7.1-6", "id-7.1-7", "id-10-4")
	w := newWorld(t)
	full := metadataURL + "?api-version=2018-02-01&resource=" + vaults
	for _, test := range []struct {
		name, method, address, header string
		identity                      bool
		status                        int
		text                          string
	}{
		{"probe of Go and Node", "GET", metadataURL, "", true, 400, "Required metadata header not specified"},
		{"probe of Python", "GET", full, "", true, 400, "Required metadata header not specified"},
		{"header says no", "GET", full, "false", true, 400, "Required metadata header not specified"},
		{"no resource", "GET", metadataURL + "?api-version=2018-02-01", "true", true, 400, "'resource' is missing"},
		{"post", "POST", full, "true", true, 405, "Use GET"},
		{"another path", "GET", "http://169.254.169.254/metadata/instance", "true", true, 404, "/metadata/identity/oauth2/token"},
		{"unknown resource", "GET", metadataURL + "?resource=https://evil.example", "true", true, 400, "AADSTS500011"},
		{"another client", "GET", full + "&client_id=0a1b2c3d-0000-4000-8000-000000000001", "true", true, 400, "Identity not found"},
		{"another object", "GET", full + "&object_id=0a1b2c3d-0000-4000-8000-000000000001", "true", true, 400, "Identity not found"},
		{"another ARM id", "GET", full + "&msi_res_id=/subscriptions/x", "true", true, 400, "Identity not found"},
		{"another ARM id, newer", "GET", full + "&mi_res_id=/subscriptions/x", "true", true, 400, "Identity not found"},
		{"one right, one wrong", "GET", full + "&client_id=" + w.app.AppID + "&object_id=x", "true", true, 400, "Identity not found"},

		{"no identity", "GET", full, "true", false, 400, "Identity not found"},
		{"no identity, probe", "GET", metadataURL, "", false, 400, "Required metadata header not specified"},

		{"plain", "GET", full, "true", true, 200, vaults},
		{"header in another case", "GET", full, "True", true, 200, vaults},
		{"trailing slash", "GET", metadataURL + "/?api-version=2018-02-01&resource=" + vaults, "true", true, 200, vaults},
		{"escaped", "GET", metadataURL + "?api%2Dversion=2018-02-01&resource=" + url.QueryEscape(vaults+"/"), "true", true, 200, vaults + "/"},
		{"by client", "GET", full + "&client_id=" + strings.ToUpper(w.app.AppID), "true", true, 200, vaults},
		{"by object", "GET", full + "&object_id=" + w.app.ObjectID, "true", true, 200, vaults},
		{"by ARM id", "GET", full + "&msi_res_id=" + url.QueryEscape(w.tenant.ManagedIdentityID()), "true", true, 200, vaults},
	} {
		r := httptest.NewRequest(test.method, test.address, nil)
		if test.header != "" {
			r.Header.Set("Metadata", test.header)
		}
		a := w.send(t, w.metadata(test.identity), r)
		if a.StatusCode != test.status {
			t.Errorf("%s: %d %s", test.name, a.StatusCode, a.text)
			continue
		}
		if test.status == 200 {
			w.checkIdentityToken(t, test.name, a, test.text)
		} else if description, _ := a.json["error_description"].(string); !strings.Contains(description, test.text) || a.json["error"] == nil || a.json["access_token"] != nil {
			t.Errorf("%s: %s", test.name, a.text)
		}
	}
}

// checkIdentityToken checks that every member is a string and that the token is good.
func (w *world) checkIdentityToken(t *testing.T, name string, a answer, resource string) {
	t.Helper()
	raw, _ := a.json["access_token"].(string)
	caller, err := w.tenant.Authenticate(context.Background(), raw, []string{resource})
	if err != nil || caller.ObjectID != w.app.ObjectID {
		t.Errorf("%s: %v", name, err)
	}
	delete(a.json, "access_token")
	want := map[string]any{
		"client_id": w.app.AppID, "expires_in": "86399", "ext_expires_in": "86399", "expires_on": "1772687166", "not_before": "1772600767",
		"resource": resource, "token_type": "Bearer",
	}
	if !reflect.DeepEqual(a.json, want) || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %s", name, a.text)
	}
}

func TestMetadataWithoutAudit(t *testing.T) {
	w := newWorld(t)
	w.sink.fill(true)
	r := httptest.NewRequest(http.MethodGet, metadataURL+"?resource="+vaults, nil)
	r.Header.Set("Metadata", "true")
	if a := w.send(t, w.metadata(true), r); a.StatusCode != http.StatusServiceUnavailable || a.json["access_token"] != nil || strings.Contains(a.text, "audit") || !strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	w.sink.fill(false)
}
