package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"coffer/internal/oidc"
)

// While an issuer hangs, whoever has a key to go on with does not wait for who fetches:
// neither when the keys are old, nor when somebody makes up a key id.
func TestHangingIssuerDelaysNobody(t *testing.T) {
	for name, first := range map[string]string{"old keys": "k1", "a key id that is made up": "new"} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			v, ctx := i.verifier(), context.Background()
			if _, err := v.Verify(ctx, i.URL, sign(t, jose.RS256, i.key, "k1", i.claims(nil))); err != nil {
				t.Fatal(err)
			}
			i.now.Add(3601)
			asked, release := make(chan struct{}), make(chan struct{})
			i.handler["/keys"] = func(w http.ResponseWriter, _ *http.Request) {
				close(asked)
				<-release
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			fetching := make(chan error, 1)
			go func() {
				_, err := v.Verify(ctx, i.URL, sign(t, jose.RS256, i.key, first, i.claims(nil)))
				fetching <- err
			}()
			<-asked
			if _, err := v.Verify(ctx, i.URL, sign(t, jose.RS256, i.key, "k1", i.claims(nil))); err != nil {
				t.Error(err)
			}
			select {
			case <-fetching:
				t.Error("the fetch ended first, so it was waited for")
			default:
			}
			close(release)
			<-fetching
			before := i.asked.Load()
			i.handler["/keys"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
			i.now.Add(30)
			if _, err := v.Verify(ctx, i.URL, sign(t, jose.RS256, i.key, "k1", i.claims(nil))); err != nil || i.asked.Load() != before {
				t.Errorf("%v; a failing issuer was asked again %d times for a key that is known", err, i.asked.Load()-before)
			}
		})
	}
}

// A claim is its name to the letter, once. A token without a key id is not tried against a
// long list of keys.
func TestClaimsToTheLetter(t *testing.T) {
	i := newIssuer(t)
	v, ctx := i.verifier(), context.Background()
	body := func(more string) json.RawMessage {
		return json.RawMessage(fmt.Sprintf(`{"iss":%q,"sub":"s","aud":"a","exp":%d%s}`, i.URL, i.now.Load()+60, more))
	}
	claims, err := v.Verify(ctx, i.URL, sign(t, jose.RS256, i.key, "k1", body(`,"Sub":"admin","AUD":["b"],"Iss":"x","EXP":1,"tid":"t","Tid":"u","oid":7`)))
	if err != nil || claims.Subject != "s" || len(claims.Audience) != 1 || claims.Audience[0] != "a" || claims.Text("tid") != "t" || claims.Text("oid") != "" || claims.Text("none") != "" {
		t.Errorf("%+v %v", claims, err)
	}
	for more, want := range map[string]error{
		`,"sub":"admin"`: oidc.ErrMalformed, `,"aud":"b"`: oidc.ErrMalformed, `,"x":{},"x":1`: oidc.ErrMalformed, `,"sub\u0000":1`: nil,
		`,"iat":` + fmt.Sprint(i.now.Load()+120): oidc.ErrTimes,
	} {
		if _, err := v.Verify(ctx, i.URL, sign(t, jose.RS256, i.key, "k1", body(more))); !errors.Is(err, want) {
			t.Errorf("%s: %v", more, err)
		}
	}
	many := newIssuer(t)
	many.handler["/keys"] = func(w http.ResponseWriter, _ *http.Request) {
		var keys []any
		for n := range 9 {
			keys = append(keys, jose.JSONWebKey{Key: many.key.Public(), KeyID: fmt.Sprint(n)})
		}
		many.write(w, keys...)
	}
	if _, err := many.verifier().Verify(ctx, many.URL, sign(t, jose.RS256, many.key, "", many.claims(nil))); !errors.Is(err, oidc.ErrUnknownKey) {
		t.Error(err)
	}
}
