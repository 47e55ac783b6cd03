package certificates_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"

	"coffer/certificates"
)

func parameters() azcertificates.CreateCertificateParameters {
	return azcertificates.CreateCertificateParameters{CertificatePolicy: to.Ptr(certificates.DefaultPolicy())}
}

func beginCreate(t *testing.T, v *vault) *runtime.Poller[certificates.CreateCertificateResponse] {
	t.Helper()
	poller, err := v.client().BeginCreateCertificate(t.Context(), "web", parameters(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return poller
}

func every(frequency time.Duration) *runtime.PollUntilDoneOptions {
	return &runtime.PollUntilDoneOptions{Frequency: frequency}
}

func TestDefaultPolicy(t *testing.T) {
	got, err := json.Marshal(certificates.DefaultPolicy())
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"issuer":{"name":"Self"},"x509_props":{"subject":"CN=DefaultPolicy"}}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	certificates.DefaultPolicy().X509CertificateProperties.Subject = to.Ptr("CN=changed")
	if again := *certificates.DefaultPolicy().X509CertificateProperties.Subject; again != "CN=DefaultPolicy" {
		t.Errorf("a change to one policy is seen in the next: %s", again)
	}
}

func TestCreate(t *testing.T) {
	tests := []struct {
		name    string
		polls   []answer
		options *runtime.PollUntilDoneOptions
		want    time.Duration
	}{
		{"issued at the first poll", []answer{completed()}, nil, 0},
		{"the service's wait is kept", []answer{inProgress(), inProgress(), completed()}, nil, 20 * time.Second},
		{"the service's wait goes before the caller's", []answer{inProgress(), completed()}, every(time.Minute), 10 * time.Second},
		{"a wait in milliseconds is the service's too", []answer{
			{http.StatusOK, operation("Self", "inProgress", ""), http.Header{"Retry-After-Ms": {"1500"}}}, completed(),
		}, nil, 1500 * time.Millisecond},
		{"and so is one of the older name", []answer{
			{http.StatusOK, operation("Self", "inProgress", ""), http.Header{"X-Ms-Retry-After-Ms": {"2500"}}}, completed(),
		}, nil, 2500 * time.Millisecond},
		{"no wait named", []answer{ok(operation("Self", "inProgress", "")), completed()}, nil, time.Second},
		{"status in other case", []answer{ok(operation("Self", "InProgress", "")), ok(operation("Self", "Completed", ""))}, nil, time.Second},
		{"a merge was faster", []answer{ok(operation("Unknown", "completed", ""))}, nil, 0},
		{"no request_id", []answer{ok(`{"status":"completed"}`)}, nil, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault(t, map[string][]answer{create: {accepted()}, pending: test.polls, get: {ok(bundleJSON)}})
				start := time.Now()
				created, err := beginCreate(t, v).PollUntilDone(t.Context(), test.options)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != test.want {
					t.Errorf("took %v, want %v", took, test.want)
				}
				if string(*created.ID) != versionID || len(created.CER) != 2 || *created.Tags["a"] != "b" {
					t.Errorf("certificate %+v", created.Certificate)
				}
				if status := *created.Operation.Status; !strings.EqualFold(status, "completed") {
					t.Errorf("operation status %q", status)
				}
				if last := v.seen[len(v.seen)-1]; last != get {
					t.Errorf("last request %s", last)
				}
			})
		})
	}
}

func TestCreateSendsParameters(t *testing.T) {
	v := newVault(t, map[string][]answer{create: {accepted()}})
	sent := parameters()
	sent.Tags = map[string]*string{"team": to.Ptr("blue")}
	if _, err := v.client().BeginCreateCertificate(t.Context(), "web", sent, &certificates.BeginCreateCertificateOptions{}); err != nil {
		t.Fatal(err)
	}
	v.requests(create)
	if want := `{"policy":{"issuer":{"name":"Self"},"x509_props":{"subject":"CN=DefaultPolicy"}},"tags":{"team":"blue"}}`; v.bodies[0] != want {
		t.Errorf("sent %s, want %s", v.bodies[0], want)
	}
}

func TestCreateForIssuerUnknownEndsWithTheSigningRequest(t *testing.T) {
	for _, issuer := range []string{"Unknown", "unknown"} {
		synctest.Test(t, func(t *testing.T) {
			open := answer{http.StatusOK, operation(issuer, "inProgress", ""), waiting()}
			v := newVault(t, map[string][]answer{create: {accepted()}, pending: {open}})
			start := time.Now()
			created, err := beginCreate(t, v).PollUntilDone(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("took %v", took)
			}
			if !reflect.ValueOf(created.Certificate).IsZero() {
				t.Errorf("certificate %+v, want none", created.Certificate)
			}
			if len(created.Operation.CSR) != 3 || *created.Operation.Status != "inProgress" {
				t.Errorf("operation %+v", created.Operation)
			}
			v.requests(create, pending)
		})
	}
}

func TestCreateEndsWithoutACertificate(t *testing.T) {
	replaced := strings.ReplaceAll(completed().body, requestID, "ffff")
	tests := []struct {
		name string
		last answer
		want error  // without its cause
		code string // of the cause; "-" for no cause
		http int
	}{
		{"failed", ok(operation("ca1", "failed", `"status_details":"Pending.","error":{"code":"Request rejected","message":"bad \"CN\""},`)),
			&certificates.OperationFailedError{Name: "web", RequestID: requestID, Code: "Request rejected", Message: `bad "CN"`}, "Request rejected", 200},
		{"failed, no message", ok(operation("ca1", "failed", `"error":{"code":"Odd"},`)),
			&certificates.OperationFailedError{Name: "web", RequestID: requestID, Code: "Odd", Message: `{"code":"Odd"}`}, "Odd", 200},
		{"failed, no error", ok(operation("ca1", "failed", `"status_details":"Pending.",`)),
			&certificates.OperationFailedError{Name: "web", RequestID: requestID, Code: "no code", Message: "Pending."}, "no code", 200},
		{"cancelled", ok(operation("Self", "cancelled", "")),
			&certificates.OperationCancelledError{Name: "web", RequestID: requestID}, "", 200},
		{"canceled", ok(operation("Self", "Canceled", "")),
			&certificates.OperationCancelledError{Name: "web", RequestID: requestID}, "", 200},
		{"replaced", ok(replaced),
			&certificates.OperationReplacedError{Name: "web", RequestID: requestID, NewRequestID: "ffff"}, "-", 0},
		{"deleted", failed(http.StatusNotFound, "PendingCertificateNotFound", "Pending Certificate not found: web"),
			&certificates.OperationDeletedError{Name: "web", RequestID: requestID}, "PendingCertificateNotFound", 404},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault(t, map[string][]answer{create: {accepted()}, pending: {inProgress(), test.last}})
				poller := beginCreate(t, v)
				created, err := poller.PollUntilDone(t.Context(), nil)
				if got := withoutCause(t, err); !reflect.DeepEqual(got, test.want) {
					t.Fatalf("error %#v, want %#v", got, test.want)
				}
				if !strings.Contains(err.Error(), "web") || !strings.Contains(err.Error(), requestID) {
					t.Errorf("error %q does not say what it is about", err)
				}
				var cause *azcore.ResponseError
				if errors.As(err, &cause) != (test.code != "-") {
					t.Errorf("cause %v", cause)
				} else if cause != nil && (cause.ErrorCode != test.code || cause.StatusCode != test.http) {
					t.Errorf("cause %s, %d", cause.ErrorCode, cause.StatusCode)
				}
				if !reflect.ValueOf(created).IsZero() {
					t.Errorf("result %+v with an error", created)
				}
				staysEnded(t, poller, err)
				v.requests(create, pending, pending)
			})
		})
	}
}

// withoutCause copies the members of a typed error that a caller can see.
func withoutCause(t *testing.T, err error) error {
	t.Helper()
	var (
		failed    *certificates.OperationFailedError
		cancelled *certificates.OperationCancelledError
		replaced  *certificates.OperationReplacedError
		deleted   *certificates.OperationDeletedError
	)
	switch {
	case errors.As(err, &failed):
		return &certificates.OperationFailedError{Name: failed.Name, RequestID: failed.RequestID, Code: failed.Code, Message: failed.Message}
	case errors.As(err, &cancelled):
		return &certificates.OperationCancelledError{Name: cancelled.Name, RequestID: cancelled.RequestID}
	case errors.As(err, &replaced):
		return replaced
	case errors.As(err, &deleted):
		return &certificates.OperationDeletedError{Name: deleted.Name, RequestID: deleted.RequestID}
	}
	return err
}

// staysEnded checks that a poller whose operation has ended asks no more, and says the same again.
func staysEnded(t *testing.T, poller *runtime.Poller[certificates.CreateCertificateResponse], want error) {
	t.Helper()
	if !poller.Done() {
		t.Error("the poller is not done")
	}
	if resp, err := poller.Poll(t.Context()); err != nil || resp == nil {
		t.Errorf("polled again: %v, %v", resp, err)
	}
	if _, err := poller.Result(t.Context()); err != want {
		t.Errorf("result %v, then %v", want, err)
	}
	if token, err := poller.ResumeToken(); err == nil {
		t.Errorf("a poller that has ended gave the resume token %s", token)
	}
}

func TestCreateRefused(t *testing.T) {
	v := newVault(t, map[string][]answer{create: {failed(http.StatusConflict, "Conflict", "in progress")}})
	poller, err := v.client().BeginCreateCertificate(t.Context(), "web", parameters(), nil)
	refused, isResponse := err.(*azcore.ResponseError) // unwrapped on purpose: it must come through unchanged
	if !isResponse || refused.StatusCode != http.StatusConflict || refused.ErrorCode != "Conflict" {
		t.Errorf("error %v", err)
	}
	if poller != nil {
		t.Error("a poller with an error")
	}
}

func TestPollErrorLeavesThePollerAsItWas(t *testing.T) {
	for _, trouble := range []answer{forbidden(), ok(operation("Self", "resting", ""))} {
		synctest.Test(t, func(t *testing.T) {
			v := newVault(t, map[string][]answer{create: {accepted()}, pending: {trouble, completed()}, get: {ok(bundleJSON)}})
			poller := beginCreate(t, v)
			if resp, err := poller.Poll(t.Context()); err == nil || resp != nil || poller.Done() {
				t.Fatalf("response %v, error %v, done %v", resp, err, poller.Done())
			}
			if _, err := poller.Result(t.Context()); err == nil {
				t.Error("a result before the end")
			}
			if created, err := poller.PollUntilDone(t.Context(), nil); err != nil || string(*created.ID) != versionID {
				t.Errorf("%+v, %v", created, err)
			}
		})
	}
}

func TestUnknownStatusIsNamed(t *testing.T) {
	v := newVault(t, map[string][]answer{create: {accepted()}, pending: {ok(operation("Self", "resting", ""))}})
	if _, err := beginCreate(t, v).Poll(t.Context()); err == nil || !strings.Contains(err.Error(), `"resting"`) {
		t.Errorf("error %v", err)
	}
}

// The certificate is read by Result. A refusal that may pass must not become the result for good.
func TestResultCanBeAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := failed(http.StatusServiceUnavailable, "ServiceUnavailable", "")
		v := newVault(t, map[string][]answer{create: {accepted()}, pending: {completed()}, get: {busy, busy, busy, busy, ok(bundleJSON)}})
		poller := beginCreate(t, v)
		var refused *azcore.ResponseError
		if _, err := poller.PollUntilDone(t.Context(), nil); !errors.As(err, &refused) || refused.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("error %v", err)
		}
		if created, err := poller.Result(t.Context()); err != nil || string(*created.ID) != versionID {
			t.Errorf("%+v, %v", created, err)
		}
	})
}

func TestCreateStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault(t, map[string][]answer{create: {accepted()}, pending: {inProgress(), completed()}, get: {ok(bundleJSON)}})
		poller := beginCreate(t, v)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := poller.PollUntilDone(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
		if _, err := poller.Poll(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("polled with a context that has ended: %v", err)
		}
		if _, err := poller.PollUntilDone(t.Context(), nil); err != nil {
			t.Errorf("it does not go on with another context: %v", err)
		}
	})
}

func TestBeginStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := newVault(t, nil)
	if _, err := v.client().BeginCreateCertificate(ctx, "web", parameters(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	v.requests()
}

// Over a real connection, and with a client that existed before.
func TestCreateOverTLS(t *testing.T) {
	v := newVault(t, map[string][]answer{create: {accepted()}, pending: {completed()}, get: {ok(bundleJSON)}})
	server := httptest.NewTLSServer(v)
	defer server.Close()
	plain, err := azcertificates.NewClient(server.URL, credential{}, &azcertificates.ClientOptions{
		ClientOptions:                        azcore.ClientOptions{Transport: server.Client()},
		DisableChallengeResourceVerification: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	client := certificates.Wrap(plain)
	if client.Client != plain {
		t.Error("not the client that was wrapped")
	}
	poller, err := client.BeginCreateCertificate(t.Context(), "web", parameters(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if created, err := poller.PollUntilDone(t.Context(), nil); err != nil || string(*created.ID) != versionID {
		t.Errorf("%+v, %v", created, err)
	}
	v.requests(create, pending, get)
}
