package coffertest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"

	"coffer/certificates"
	"coffer/coffertest"
)

func client(t *testing.T, s *coffertest.Server, vault string, cred azcore.TokenCredential) *certificates.Client {
	t.Helper()
	c, err := certificates.NewClient(s.VaultURL(vault), cred, &azcertificates.ClientOptions{ClientOptions: s.ClientOptions()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func create(t *testing.T, c *certificates.Client, name string) certificates.CreateCertificateResponse {
	t.Helper()
	policy := certificates.DefaultPolicy()
	poller, err := c.BeginCreateCertificate(context.Background(), name, azcertificates.CreateCertificateParameters{CertificatePolicy: &policy}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := poller.PollUntilDone(context.Background(), &runtime.PollUntilDoneOptions{Frequency: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The whole life of a certificate, by the official SDK and the pollers of this project.
func TestLifeOfACertificate(t *testing.T) {
	s := coffertest.New(t)
	c := client(t, s, "demo", s.Credential())
	ctx := context.Background()
	start := time.Now()
	made := create(t, c, "web")
	if len(made.CER) == 0 || time.Since(start) > 8*time.Second {
		t.Fatalf("%+v after %v", made, time.Since(start))
	}
	got, err := c.GetCertificate(ctx, "web", made.ID.Version(), nil)
	if err != nil || string(got.CER) != string(made.CER) || got.Policy != nil {
		t.Fatalf("%v", err)
	}
	second := create(t, c, "web")
	pager := c.NewListCertificatePropertiesVersionsPager("web", nil)
	page, err := pager.NextPage(ctx)
	if err != nil || len(page.Value) != 2 || pager.More() {
		t.Fatalf("%d versions, %v", len(page.Value), err)
	}
	deletion, err := c.BeginDeleteCertificate(ctx, "web", nil)
	if err != nil {
		t.Fatal(err)
	}
	deleted, err := deletion.PollUntilDone(ctx, nil)
	if err != nil || deleted.ID.Version() != second.ID.Version() {
		t.Fatalf("%v", err)
	}
	_, err = c.CreateCertificate(ctx, "web", azcertificates.CreateCertificateParameters{CertificatePolicy: ptr(certificates.DefaultPolicy())}, nil)
	wantStatus(t, err, http.StatusConflict)
	recovery, err := c.BeginRecoverDeletedCertificate(ctx, "web", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recovery.PollUntilDone(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteCertificate(ctx, "web", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PurgeDeletedCertificate(ctx, "web", nil); err != nil {
		t.Fatal(err)
	}
	_, err = c.GetDeletedCertificate(ctx, "web", nil)
	wantStatus(t, err, http.StatusNotFound)
	create(t, c, "web")
}

func ptr[T any](v T) *T { return &v }

func wantStatus(t *testing.T, err error, status int) *azcore.ResponseError {
	t.Helper()
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) || answer.StatusCode != status {
		t.Fatalf("want %d, got %v", status, err)
	}
	return answer
}

func TestPermissionsAreInForceAtOnce(t *testing.T) {
	s := coffertest.New(t)
	create(t, client(t, s, "demo", s.Credential()), "web")
	p := s.NewPrincipal("reader")
	c := client(t, s, "demo", p.Credential())
	_, err := c.GetCertificate(context.Background(), "web", "", nil)
	if e := wantStatus(t, err, http.StatusForbidden); e.ErrorCode != "Forbidden" {
		t.Error(e)
	}
	s.Grant("demo", p, "certificates/get")
	if _, err := c.GetCertificate(context.Background(), "web", "", nil); err != nil {
		t.Error(err)
	}
	_, err = c.DeleteCertificate(context.Background(), "web", nil)
	wantStatus(t, err, http.StatusForbidden)
	s.Grant("demo", p)
	_, err = c.GetCertificate(context.Background(), "web", "", nil)
	wantStatus(t, err, http.StatusForbidden)
	s.Remove(p)
	_, err = c.GetCertificate(context.Background(), "web", "", nil)
	if err == nil {
		t.Error("the token of a removed application was accepted")
	}
}

func TestScheduledPurge(t *testing.T) {
	s := coffertest.New(t)
	s.NewVault("short", coffertest.WithRetention(7), coffertest.WithPurgeProtection())
	s.Grant("short", s.Owner(), "certificates/all", "certificates/purge")
	c := client(t, s, "short", s.Credential())
	create(t, c, "web")
	deleted, err := c.DeleteCertificate(context.Background(), "web", nil)
	if err != nil || deleted.ScheduledPurgeDate.Sub(*deleted.DeletedDate) != 7*24*time.Hour {
		t.Fatalf("%v", err)
	}
	_, err = c.PurgeDeletedCertificate(context.Background(), "web", nil)
	wantStatus(t, err, http.StatusForbidden)
	s.Turn(7*24*time.Hour - time.Second)
	if _, err := c.GetDeletedCertificate(context.Background(), "web", nil); err != nil {
		t.Fatal(err)
	}
	s.Turn(time.Second)
	_, err = c.GetDeletedCertificate(context.Background(), "web", nil)
	wantStatus(t, err, http.StatusNotFound)
}
