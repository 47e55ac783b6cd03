package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"

	"coffer/certificates"
)

func TestCertificateName(t *testing.T) {
	tests := []struct {
		what  string
		args  []string
		stdin string
		want  string
	}{
		{"argument", []string{"web"}, "other\n", "web"},
		{"line", nil, " web \nother\n", "web"},
		{"last line, no newline", nil, "web", "web"},
		{"empty line", nil, "\n", defaultName},
		{"no input", nil, "", defaultName},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			got, err := certificateName(test.args, strings.NewReader(test.stdin), &bytes.Buffer{})
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	tests := []struct {
		what, vault string
		args        []string
		want        string
	}{
		{"no vault", "", []string{"web"}, "KEY_VAULT_NAME is not set"},
		{"two names", "myvault", []string{"web", "api"}, "usage:"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			t.Setenv("KEY_VAULT_NAME", test.vault)
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), test.args, strings.NewReader(""), &stdout, &stderr); code != 1 {
				t.Errorf("exit code %d", code)
			}
			if stdout.Len() > 0 || !strings.Contains(stderr.String(), test.want) {
				t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
			}
		})
	}
}

func TestTour(t *testing.T) {
	var out bytes.Buffer
	if err := newTour(t, &out).take(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"created  web", "version  0a0b", "subject  O=Acme Co", "SHA-1    0001", "deleted  can be", "Done."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}

func TestTourTellsWhatTheServiceSays(t *testing.T) {
	var out bytes.Buffer
	tour := newTour(t, &out)
	tour.name = "taken"
	got := explain(tour.take(t.Context()))
	if want := `creating certificate "taken": 409 Conflict: it is deleted but recoverable`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// newTour is a tour through a stub that knows one certificate, the one of httptest's own server.
func newTour(t *testing.T, out *bytes.Buffer) tour {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(challenged(mux))
	t.Cleanup(server.Close)
	cer := base64.StdEncoding.EncodeToString(server.Certificate().Raw)
	bundle := fmt.Sprintf(`"id":%q,"x5t":"AAECAwQFBgcICQoLDA0ODxAREhM","cer":%q,"attributes":{"created":1700000000}`, server.URL+"/certificates/web/0a0b", cer)
	for route, body := range map[string]string{
		"GET /certificates/web/pending":  `{"status":"completed"}`,
		"GET /certificates/web/{$}":      "{" + bundle + "}",
		"GET /certificates/web/versions": `{"value":[{` + bundle + `}],"nextLink":null}`,
		"DELETE /certificates/web":       `{"recoveryId":"x",` + bundle + `}`,
		"GET /deletedcertificates/web":   `{"recoveryId":"x","scheduledPurgeDate":1707776000,` + bundle + `}`,
	} {
		mux.HandleFunc(route, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
	}
	mux.HandleFunc("POST /certificates/web/create", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"status":"inProgress"}`)
	})
	mux.HandleFunc("POST /certificates/taken/create", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"error":{"code":"Conflict","message":"it is deleted but recoverable"}}`)
	})
	client, err := certificates.NewClient(server.URL, token{}, &azcertificates.ClientOptions{
		ClientOptions:                        azcore.ClientOptions{Transport: server.Client()},
		DisableChallengeResourceVerification: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return tour{client: client, name: "web", out: out}
}

// challenged answers a request without a token as a vault does.
func challenged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.example/t", resource="https://vault.example"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

type token struct{}

func (token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
}
