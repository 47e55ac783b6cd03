package certificates_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"coffer/certificates"
)

var errEnded = context.Canceled

// ended is a context that is over.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// throughJSON stores a token as programs do, and reads it back.
func throughJSON(t *testing.T, token string) string {
	t.Helper()
	stored, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		t.Fatal(err)
	}
	var read map[string]string
	if err := json.Unmarshal(stored, &read); err != nil {
		t.Fatal(err)
	}
	return read["token"]
}

func tokenOfCreate(t *testing.T, v *vault) string {
	t.Helper()
	token, err := beginCreate(t, v).ResumeToken()
	if err != nil {
		t.Fatal(err)
	}
	return throughJSON(t, token)
}

func resumeCreate(c *certificates.Client, ctx context.Context, name, token string) (certificates.CreateCertificateResponse, error) {
	poller, err := c.BeginCreateCertificate(ctx, name, parameters(), &certificates.BeginCreateCertificateOptions{ResumeToken: token})
	if err != nil {
		return certificates.CreateCertificateResponse{}, err
	}
	return poller.PollUntilDone(ctx, nil)
}

func TestCreateResumed(t *testing.T) {
	v := newVault(t, map[string][]answer{
		create: {accepted()}, pending: {completed(), completed(), completed()}, get: {ok(bundleJSON), ok(bundleJSON), ok(bundleJSON)},
	})
	token := tokenOfCreate(t, v)
	for _, name := range []string{"web", "WEB", ""} {
		if created, err := resumeCreate(v.client(), t.Context(), name, token); err != nil || string(*created.ID) != versionID {
			t.Errorf("name %q: %+v, %v", name, created, err)
		}
	}
	v.requests(create, pending, get, pending, get, pending, get)
}

// The token keeps the operation's identity, so that a resumed poller does not take another operation for its own.
func TestCreateResumedAfterReplacement(t *testing.T) {
	other := ok(strings.ReplaceAll(completed().body, requestID, "ffff"))
	v := newVault(t, map[string][]answer{create: {accepted()}, pending: {other}})
	token := tokenOfCreate(t, v)
	var replaced *certificates.OperationReplacedError
	if _, err := resumeCreate(v.client(), t.Context(), "web", token); !errors.As(err, &replaced) || replaced.RequestID != requestID {
		t.Errorf("error %v", err)
	}
}

func TestResumeTokenRefused(t *testing.T) {
	v := newVault(t, map[string][]answer{create: {accepted()}, remove: {ok(deletedJSON)}})
	other, err := tokenOfDelete(t, v.client())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		what, name, token string
	}{
		{"of a deletion", "web", other},
		{"of another certificate", "api", tokenOfCreate(t, v)},
		{"no JSON", "web", "token"},
		{"no token", "web", `{"type":"CreateCertificateResponse"}`},
		{"null", "web", `{"type":"CreateCertificateResponse","token":null}`},
		{"a list", "web", `{"type":"CreateCertificateResponse","token":[]}`},
		{"no name", "web", `{"type":"CreateCertificateResponse","token":{"requestID":"1"}}`},
		{"no name at all", "", `{"type":"CreateCertificateResponse","token":{}}`},
		{"name of a wrong type", "web", `{"type":"CreateCertificateResponse","token":{"name":7}}`},
		{"of a fake server", "web", `{"type":"CreateCertificateResponse","token":{"name":"web","fakeURL":"https://elsewhere.example"}}`},
	}
	before := len(v.seen)
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			poller, err := v.client().BeginCreateCertificate(t.Context(), test.name, parameters(), &certificates.BeginCreateCertificateOptions{ResumeToken: test.token})
			if err == nil || poller != nil {
				t.Errorf("poller %v, error %v", poller, err)
			}
		})
	}
	if len(v.seen) != before {
		t.Errorf("a token that is refused was sent for: %q", v.seen)
	}
}

// Whatever a token says, it never makes a poller that asks for another certificate than the one which the caller named.
func FuzzResumeToken(f *testing.F) {
	f.Add(`{"type":"CreateCertificateResponse","token":{"name":"web","requestID":"` + requestID + `"}}`)
	f.Add(`{"type":"CreateCertificateResponse","token":{"name":"web/../api","requestID":""}}`)
	f.Add(`{"type":"CreateCertificateResponse","token":{"name":"web","Name":"api"}}`)
	f.Add(`{"type":"CreateCertificateResponse","token":null}`)
	f.Add(`{"type":"CreateCertificateResponse","token":{"fakeURL":"https://elsewhere.example","name":"web"}}`)
	f.Add(`{"type":"DeleteCertificateResponse","token":{"name":"web","initial":{"id":"x","cer":"MAA="}}}`)
	f.Add(`{"type":"DeleteCertificateResponse","token":{"name":"web","initial":null}}`)
	f.Fuzz(func(t *testing.T, token string) {
		if token == "" {
			return // begins an operation
		}
		refuse := &refuser{}
		client := newClient(t, refuse)
		if poller, err := client.BeginCreateCertificate(t.Context(), "web", parameters(), &certificates.BeginCreateCertificateOptions{ResumeToken: token}); err == nil {
			if _, err := poller.Poll(t.Context()); err == nil {
				t.Error("the answer was 403")
			}
			refuse.asked(t, pending)
		}
		if poller, err := client.BeginDeleteCertificate(t.Context(), "web", &certificates.BeginDeleteCertificateOptions{ResumeToken: token}); err == nil {
			if _, err := poller.PollUntilDone(t.Context(), nil); err != nil {
				t.Error(err)
			}
			refuse.asked(t, removed)
		}
	})
}

// refuser is a transport to a vault that permits nothing. It keeps the last request.
type refuser struct {
	last string
}

func (r *refuser) Do(req *http.Request) (*http.Response, error) {
	r.last = req.Method + " " + req.URL.EscapedPath()
	w := httptest.NewRecorder()
	if req.Header.Get("Authorization") == "" {
		w.Header().Set("WWW-Authenticate", challenge)
		w.Code = http.StatusUnauthorized
	} else {
		write(w, forbidden())
	}
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

// asked compares without regard to case, as the service does with names.
func (r *refuser) asked(t *testing.T, want string) {
	t.Helper()
	if !strings.EqualFold(r.last, want) {
		t.Errorf("asked %s, want %s", r.last, want)
	}
}
