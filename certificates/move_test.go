package certificates_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"coffer/certificates"
)

// moved is what the tests compare of a result of either kind.
type moved struct {
	id, mark string
}

// way is one of the two methods that move a certificate, in a form that one table of tests can use.
type way struct {
	name        string
	begin, poll string // routes
	first, last string // bodies; they differ in a tag, so that a test sees which of them became the result
	run         func(t *testing.T, c *certificates.Client, token string, options *runtime.PollUntilDoneOptions) (moved, error)
	token       func(t *testing.T, c *certificates.Client) (string, error)
}

func ways() []way {
	mark := func(body, value string) string {
		return strings.Replace(body, `"attributes"`, `"tags":{"mark":"`+value+`"},"attributes"`, 1)
	}
	untagged := strings.Replace(bundleJSON, `,"tags":{"a":"b"}`, "", 1)
	return []way{
		{"delete", remove, removed, mark(deletedJSON, "first"), mark(deletedJSON, "last"), runDelete, tokenOfDelete},
		{"recover", undelete, get, mark(untagged, "first"), mark(untagged, "last"), runRecover, tokenOfRecover},
	}
}

func runDelete(t *testing.T, c *certificates.Client, token string, options *runtime.PollUntilDoneOptions) (moved, error) {
	poller, err := c.BeginDeleteCertificate(t.Context(), "web", &certificates.BeginDeleteCertificateOptions{ResumeToken: token})
	if err != nil {
		return moved{}, err
	}
	got, err := poller.PollUntilDone(t.Context(), options)
	if err != nil {
		return moved{}, err
	}
	if got.RecoveryID == nil || !got.DeletedDate.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("result %+v", got)
	}
	return moved{string(*got.ID), *got.Tags["mark"]}, nil
}

func runRecover(t *testing.T, c *certificates.Client, token string, options *runtime.PollUntilDoneOptions) (moved, error) {
	poller, err := c.BeginRecoverDeletedCertificate(t.Context(), "web", &certificates.BeginRecoverDeletedCertificateOptions{ResumeToken: token})
	if err != nil {
		return moved{}, err
	}
	got, err := poller.PollUntilDone(t.Context(), options)
	if err != nil {
		return moved{}, err
	}
	if len(got.X509Thumbprint) != 20 || !*got.Attributes.Enabled {
		t.Errorf("result %+v", got)
	}
	return moved{string(*got.ID), *got.Tags["mark"]}, nil
}

func tokenOfDelete(t *testing.T, c *certificates.Client) (string, error) {
	poller, err := c.BeginDeleteCertificate(t.Context(), "web", nil)
	if err != nil {
		return "", err
	}
	return poller.ResumeToken()
}

func tokenOfRecover(t *testing.T, c *certificates.Client) (string, error) {
	poller, err := c.BeginRecoverDeletedCertificate(t.Context(), "web", nil)
	if err != nil {
		return "", err
	}
	return poller.ResumeToken()
}

func TestMove(t *testing.T) {
	late := func(n int) []answer { return slices.Repeat([]answer{notYet()}, n) }
	tests := []struct {
		name    string
		before  []answer // nil: at once
		refused bool     // the last poll is a 403
		options *runtime.PollUntilDoneOptions
		want    time.Duration
	}{
		{"at once", nil, false, nil, 0},
		{"at once, no permission to look", nil, true, nil, 0},
		{"later", late(1), false, nil, 1 * time.Second},
		{"later, no permission to look", late(1), true, nil, 1 * time.Second},
		{"prompt at first", late(4), false, nil, 15 * time.Second},
		{"then at the default frequency", late(5), false, nil, 45 * time.Second},
		{"then at the caller's frequency", late(6), false, every(5 * time.Second), 25 * time.Second},
		{"the service's wait goes first", []answer{{http.StatusNotFound, notYet().body, waiting()}}, false, every(time.Second), 10 * time.Second},
	}
	for _, way := range ways() {
		for _, test := range tests {
			t.Run(way.name+", "+test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					end, want := ok(way.last), moved{versionID, "last"}
					if test.refused {
						end, want = forbidden(), moved{versionID, "first"}
					}
					v := newVault(t, map[string][]answer{way.begin: {ok(way.first)}, way.poll: append(slices.Clone(test.before), end)})
					start := time.Now()
					got, err := way.run(t, v.client(), "", test.options)
					if err != nil || got != want {
						t.Errorf("got %v, %v; want %v", got, err, want)
					}
					if took := time.Since(start); took != test.want {
						t.Errorf("took %v, want %v", took, test.want)
					}
				})
			})
		}
	}
}

func TestMoveRefused(t *testing.T) {
	for _, way := range ways() {
		t.Run(way.name, func(t *testing.T) {
			v := newVault(t, map[string][]answer{way.begin: {notYet()}})
			_, err := way.run(t, v.client(), "", nil)
			if refused, isResponse := err.(*azcore.ResponseError); !isResponse || refused.StatusCode != http.StatusNotFound {
				t.Errorf("error %v", err)
			}
			v.requests(way.begin)
		})
	}
}

// Of the refusals of a poll, 404 and 403 have a meaning. Any other stops it, unchanged.
func TestMovePollRefused(t *testing.T) {
	for _, way := range ways() {
		t.Run(way.name, func(t *testing.T) {
			v := newVault(t, map[string][]answer{way.begin: {ok(way.first)}, way.poll: {failed(http.StatusBadRequest, "BadParameter", "")}})
			_, err := way.run(t, v.client(), "", nil)
			if refused, isResponse := err.(*azcore.ResponseError); !isResponse || refused.StatusCode != http.StatusBadRequest {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestMovePollErrorLeavesThePollerAsItWas(t *testing.T) {
	v := newVault(t, map[string][]answer{remove: {ok(deletedJSON)}, removed: {failed(http.StatusBadRequest, "BadParameter", ""), ok(deletedJSON)}})
	poller, err := v.client().BeginDeleteCertificate(t.Context(), "web", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := poller.Poll(t.Context()); err == nil || poller.Done() {
		t.Fatalf("error %v, done %v", err, poller.Done())
	}
	if _, err := poller.Poll(t.Context()); err != nil || !poller.Done() {
		t.Errorf("error %v, done %v", err, poller.Done())
	}
}

// A vault without soft delete answers a bundle that has no recoveryId, and has nothing to poll.
func TestDeleteWithoutSoftDelete(t *testing.T) {
	v := newVault(t, map[string][]answer{remove: {ok(bundleJSON)}})
	poller, err := v.client().BeginDeleteCertificate(t.Context(), "web", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := poller.PollUntilDone(t.Context(), nil); err != nil || string(*got.ID) != versionID {
		t.Errorf("%+v, %v", got, err)
	}
	v.requests(remove)
}

// What Poll hands to its caller says how long to wait; what the service sent is not changed by that.
func TestPollShowsItsWait(t *testing.T) {
	line := &keeper{vault: newVault(t, map[string][]answer{remove: {ok(deletedJSON)}, removed: slices.Repeat([]answer{notYet()}, 6)})}
	poller, err := newClient(t, line).BeginDeleteCertificate(t.Context(), "web", nil)
	if err != nil {
		t.Fatal(err)
	}
	for poll, want := range []string{"1", "2", "4", "8", "", ""} {
		resp, err := poller.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Retry-After"); got != want || resp.StatusCode != http.StatusNotFound {
			t.Errorf("poll %d: Retry-After %q with %d, want %q", poll, got, resp.StatusCode, want)
		}
		if sent := line.last.Header.Get("Retry-After"); sent != "" {
			t.Errorf("poll %d: what the service sent was changed to Retry-After %q", poll, sent)
		}
		var body azcore.ResponseError
		if err := runtime.UnmarshalAsJSON(resp, &body); err != nil {
			t.Errorf("poll %d: its body cannot be read: %v", poll, err)
		}
	}
}

// keeper is a transport that keeps the last answer, as a caller's own policies may do.
type keeper struct {
	vault *vault
	last  *http.Response
}

func (k *keeper) Do(r *http.Request) (*http.Response, error) {
	resp, err := k.vault.Do(r)
	k.last = resp
	return resp, err
}

func TestMoveResumed(t *testing.T) {
	for _, way := range ways() {
		t.Run(way.name, func(t *testing.T) {
			v := newVault(t, map[string][]answer{way.begin: {ok(way.first)}, way.poll: {ok(way.last), forbidden()}})
			token, err := way.token(t, v.client())
			if err != nil {
				t.Fatal(err)
			}
			token = throughJSON(t, token)
			for _, want := range []moved{{versionID, "last"}, {versionID, "first"}} {
				if got, err := way.run(t, v.client(), token, nil); err != nil || got != want {
					t.Errorf("got %v, %v; want %v", got, err, want)
				}
			}
			v.requests(way.begin, way.poll, way.poll)
		})
	}
}

func TestPollWithoutAnAnswer(t *testing.T) {
	v := newVault(t, map[string][]answer{remove: {ok(deletedJSON)}})
	poller, err := v.client().BeginDeleteCertificate(t.Context(), "web", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := poller.Poll(ended(t)); !errors.Is(err, errEnded) {
		t.Errorf("error %v", err)
	}
}
