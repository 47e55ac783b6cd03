package httpd_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/httpd"
)

func TestBarrier(t *testing.T) {
	var log strings.Builder
	var seen []httpd.Access
	b := &httpd.Barrier{Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil)), Access: func(a httpd.Access) { seen = append(seen, a) },
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/panic" {
				panic("boom")
			}
			httpd.WriteJSON(w, http.StatusTeapot, map[string]string{"id": httpd.RequestID(r.Context()), "url": "a&b<c>"})
		})}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest("GET", "https://demo.test/x%0Ay?api%2Dversion=7.4&secret=canary&canary", nil))
	if w.Code != http.StatusTeapot || !strings.Contains(w.Body.String(), "a&b<c>") || w.Header().Get("Content-Length") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if a := seen[0]; a.Status != http.StatusTeapot || a.Query != "api-version&…&…" || a.Path != "/x%0Ay" || a.RequestID == "" || a.Bytes != int64(w.Body.Len()) {
		t.Errorf("%+v", a)
	}
	w = httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest("GET", "/panic", nil))
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 500 || body.Error.Code == "" || strings.Contains(w.Body.String(), "boom") || !strings.Contains(log.String(), "boom") {
		t.Errorf("%d %s, log %s", w.Code, w.Body, log.String())
	}
	if strings.Contains(log.String(), "canary") {
		t.Error("a value of a query was logged")
	}
}

func TestOrigin(t *testing.T) {
	r := httptest.NewRequest("GET", "/p?$skiptoken=canary&b", nil)
	r.RemoteAddr = "[::ffff:10.0.0.1]:99"
	r.Header.Set("X-Forwarded-For", "1.2.3.4")
	r.Header.Set("User-Agent", strings.Repeat("u", 1000))
	r.Header.Set("client-request-id", "login")
	o := httpd.Origin(r)
	if o.Address.String() != "10.0.0.1" || o.URI != "/p?$skiptoken&…" || len(o.ClientInfo) != 256 || o.CorrelationID != "login" {
		t.Errorf("%+v", o)
	}
}

func TestReadBody(t *testing.T) {
	for name, test := range map[string]struct {
		body   string
		length int64
		want   error
	}{"fits": {"12345678", 8, nil}, "declared": {"", 9, httpd.ErrBodyTooLarge}, "undeclared": {"123456789", -1, httpd.ErrBodyTooLarge}} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(test.body))
		r.ContentLength = test.length
		if body, err := httpd.ReadBody(httptest.NewRecorder(), r, 8); !errors.Is(err, test.want) || err == nil && string(body) != test.body {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
	cut := httptest.NewRequest("POST", "/", &failing{})
	if _, err := httpd.ReadBody(httptest.NewRecorder(), cut, 8); !errors.Is(err, httpd.ErrBodyTruncated) {
		t.Errorf("%v", err)
	}
}

// A failing body ends before it should.
type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errors.New("unexpected EOF") }

type authenticator struct{}

func (authenticator) Authenticate(_ context.Context, raw string, _ []string) (access.Caller, error) {
	if raw != "good" {
		return access.Caller{}, errors.New("bad")
	}
	return access.Caller{ObjectID: "o"}, nil
}

func TestAuthenticate(t *testing.T) {
	for header, want := range map[string]string{"Bearer good": "", "bearer good": "", "Bearer  good": "", "": "none", "Bearer": "none", "Bearer ": "none", "Basic good": "none", "Bearer bad": "bad"} {
		r := httptest.NewRequest("GET", "/", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		caller, err := httpd.Authenticate(r, authenticator{}, nil)
		got := ""
		switch {
		case errors.Is(err, httpd.ErrNoToken):
			got = "none"
		case err != nil:
			got = "bad"
		}
		if got != want || want == "" && caller.ObjectID != "o" {
			t.Errorf("%q: %v", header, err)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Authorization"] = []string{"Bearer good", "Bearer good"}
	if _, err := httpd.Authenticate(r, authenticator{}, nil); !errors.Is(err, httpd.ErrNoToken) {
		t.Errorf("two headers: %v", err)
	}
}

func TestFoldHost(t *testing.T) {
	for host, want := range map[string]string{"Demo.Vault.Azure.NET.:443": "demo.vault.azure.net", "A.b": "a.b", "a.b.": "a.b", "[::1]:80": "::1"} {
		if got := httpd.FoldHost(host); got != want {
			t.Errorf("%q: %q", host, got)
		}
	}
}

// FuzzDecodeJSON checks that what is taken is one JSON object.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1}`, `[]`, `{} {}`, `{"a":{"b":"x"}}`, "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var into struct {
			A struct{ B string } `json:"a"`
		}
		if httpd.DecodeJSON(body, &into) != nil {
			return
		}
		var object map[string]any
		if err := json.Unmarshal(body, &object); err != nil || object == nil {
			t.Fatalf("%q was taken: %v", body, err)
		}
	})
}
