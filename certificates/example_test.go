package certificates_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"

	"coffer/certificates"
)

// A whole program: it creates a certificate, waits for it, and prints it.
func Example() {
	var credential azcore.TokenCredential // for example azidentity.NewDefaultAzureCredential(nil)

	client, err := certificates.NewClient("https://myvault.vault.azure.net", credential, nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()

	policy := certificates.DefaultPolicy()
	poller, err := client.BeginCreateCertificate(ctx, "web", azcertificates.CreateCertificateParameters{CertificatePolicy: &policy}, nil)
	if err != nil {
		log.Fatal(err)
	}
	created, err := poller.PollUntilDone(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, valid until %s\n", *created.ID, created.Attributes.Expires)
}

func ExampleClient_BeginCreateCertificate() {
	client := exampleClient(completed())
	ctx := context.Background()

	policy := certificates.DefaultPolicy()
	policy.X509CertificateProperties.Subject = to.Ptr("CN=web.example")
	poller, err := client.BeginCreateCertificate(ctx, "web", azcertificates.CreateCertificateParameters{CertificatePolicy: &policy}, nil)
	if err != nil {
		log.Fatal(err)
	}
	created, err := poller.PollUntilDone(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(created.ID.Name(), created.ID.Version())
	// Output: web 0a0b0c0d0e0f40008000010203040506
}

// An operation may end without a certificate. Each such end is an error of its own type.
func ExampleClient_BeginCreateCertificate_failed() {
	client := exampleClient(ok(operation("ca1", "failed", `"error":{"code":"Request rejected","message":"no such organization"},`)))
	ctx := context.Background()

	poller, err := client.BeginCreateCertificate(ctx, "web", azcertificates.CreateCertificateParameters{
		CertificatePolicy: &azcertificates.CertificatePolicy{
			IssuerParameters:          &azcertificates.IssuerParameters{Name: to.Ptr("ca1")},
			X509CertificateProperties: &azcertificates.X509CertificateProperties{Subject: to.Ptr("CN=web.example")},
		},
	}, nil)
	if err != nil {
		log.Fatal(err) // the request itself was refused
	}
	_, err = poller.PollUntilDone(ctx, nil)

	var failed *certificates.OperationFailedError
	if errors.As(err, &failed) {
		fmt.Printf("%s: %s\n", failed.Code, failed.Message)
	}
	// Output: Request rejected: no such organization
}

// With issuer Unknown the result is a signing request. Whatever signs it, a merge completes the certificate.
func ExampleClient_BeginCreateCertificate_unknownIssuer() {
	client := exampleClient(ok(operation("Unknown", "inProgress", "")))
	ctx := context.Background()

	policy := certificates.DefaultPolicy()
	policy.IssuerParameters.Name = to.Ptr("Unknown")
	poller, err := client.BeginCreateCertificate(ctx, "web", azcertificates.CreateCertificateParameters{CertificatePolicy: &policy}, nil)
	if err != nil {
		log.Fatal(err)
	}
	created, err := poller.PollUntilDone(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	if created.CER == nil {
		fmt.Printf("a signing request of %d bytes\n", len(created.Operation.CSR))
		// …sign it, then client.MergeCertificate(ctx, "web", azcertificates.MergeCertificateParameters{…}, nil)
	}
	// Output: a signing request of 3 bytes
}

// A process that must end while a certificate is being issued leaves a token to the next one.
func ExampleClient_BeginCreateCertificate_resume() {
	client := exampleClient(completed())
	ctx := context.Background()

	policy := certificates.DefaultPolicy()
	begun, err := client.BeginCreateCertificate(ctx, "web", azcertificates.CreateCertificateParameters{CertificatePolicy: &policy}, nil)
	if err != nil {
		log.Fatal(err)
	}
	token, err := begun.ResumeToken()
	if err != nil {
		log.Fatal(err)
	}

	// …later, elsewhere:
	resumed, err := client.BeginCreateCertificate(ctx, "web", azcertificates.CreateCertificateParameters{},
		&certificates.BeginCreateCertificateOptions{ResumeToken: token})
	if err != nil {
		log.Fatal(err)
	}
	created, err := resumed.PollUntilDone(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(created.ID.Name())
	// Output: web
}

func ExampleClient_BeginDeleteCertificate() {
	client := exampleClient(completed())
	ctx := context.Background()

	poller, err := client.BeginDeleteCertificate(ctx, "web", nil)
	if err != nil {
		log.Fatal(err)
	}
	deleted, err := poller.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("can be recovered until", deleted.ScheduledPurgeDate.UTC().Format(time.DateOnly))
	// Output: can be recovered until 2024-02-12
}

func ExampleClient_BeginRecoverDeletedCertificate() {
	client := exampleClient(completed())
	ctx := context.Background()

	poller, err := client.BeginRecoverDeletedCertificate(ctx, "web", nil)
	if err != nil {
		log.Fatal(err)
	}
	recovered, err := poller.PollUntilDone(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(recovered.ID.Name())
	// Output: web
}

func ExampleDefaultPolicy() {
	policy := certificates.DefaultPolicy()
	policy.X509CertificateProperties.Subject = to.Ptr("CN=web.example")
	policy.X509CertificateProperties.ValidityInMonths = to.Ptr(int32(3))
	fmt.Println(*policy.IssuerParameters.Name, *policy.X509CertificateProperties.Subject)
	// Output: Self CN=web.example
}

// exampleClient is a client of a vault whose operation is the one given.
func exampleClient(operation answer) *certificates.Client {
	v := &vault{t: panicking{}, script: map[string][]answer{
		create: {accepted()}, pending: {operation}, get: {ok(bundleJSON)},
		remove: {ok(deletedJSON)}, removed: {ok(deletedJSON)}, undelete: {ok(bundleJSON)},
	}}
	return v.client()
}

// panicking stands in for the test that an example has not.
type panicking struct{ testing.TB }

func (panicking) Helper()                           {}
func (panicking) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (panicking) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
