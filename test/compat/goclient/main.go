// Command goclient is the whole life of a certificate by the official Go client, which
// has no pollers; with the argument denied, a missing permission; and with credential, a
// secret, read by whatever DefaultAzureCredential finds.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
)

var ctx = context.Background()

func main() {
	log.SetFlags(0)
	credential := defaultCredential()
	if len(os.Args) > 1 && os.Args[1] == "credential" {
		readSecret(credential, os.Args[2:])
		return
	}
	client, err := azcertificates.NewClient("https://"+os.Getenv("KEY_VAULT_NAME")+".vault.azure.net", credential, nil)
	must(err)
	if len(os.Args) > 1 && os.Args[1] == "denied" {
		denied(client)
		return
	}
	life(client)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func check(ok bool, what string) {
	if !ok {
		log.Fatalf("failed: %s", what)
	}
}

func refused(err error, status int, code string) {
	var answer *azcore.ResponseError
	check(errors.As(err, &answer) && answer.StatusCode == status && answer.ErrorCode == code, fmt.Sprintf("want %d %s, got %v", status, code, err))
}

func create(client *azcertificates.Client, name string) (azcertificates.CertificateOperation, error) {
	self, subject := "Self", "CN=DefaultPolicy"
	created, err := client.CreateCertificate(ctx, name, azcertificates.CreateCertificateParameters{CertificatePolicy: &azcertificates.CertificatePolicy{
		IssuerParameters: &azcertificates.IssuerParameters{Name: &self}, X509CertificateProperties: &azcertificates.X509CertificateProperties{Subject: &subject},
	}}, nil)
	if err != nil {
		return created.CertificateOperation, err
	}
	for {
		operation, err := client.GetCertificateOperation(ctx, name, nil)
		if err != nil || *operation.Status != "inProgress" {
			return operation.CertificateOperation, err
		}
	}
}

func life(client *azcertificates.Client) {
	for _, name := range []string{"web", "web", "a", "b"} {
		operation, err := create(client, name)
		must(err)
		check(*operation.Status == "completed" && operation.Target != nil, "completed")
	}
	current, err := client.GetCertificate(ctx, "web", "", nil)
	must(err)
	again, err := client.GetCertificate(ctx, "web", current.ID.Version(), nil)
	must(err)
	check(bytes.Equal(current.CER, again.CER) && again.Policy == nil, "by version")
	versions := client.NewListCertificatePropertiesVersionsPager("web", nil)
	page, err := versions.NextPage(ctx)
	must(err)
	check(len(page.Value) == 2 && !versions.More(), "two versions")
	var names []string
	for list := client.NewListCertificatePropertiesPager(nil); list.More(); {
		page, err := list.NextPage(ctx)
		must(err)
		for _, item := range page.Value {
			names = append(names, item.ID.Name())
		}
	}
	check(slices.Equal(names, []string{"a", "b", "web"}), fmt.Sprint(names))
	remove(client)
	fmt.Println("life done")
}

func remove(client *azcertificates.Client) {
	_, err := client.DeleteCertificate(ctx, "web", nil)
	must(err)
	deleted, err := client.GetDeletedCertificate(ctx, "web", nil)
	must(err)
	check(deleted.ScheduledPurgeDate != nil && deleted.RecoveryID != nil, "deleted")
	_, err = create(client, "web")
	refused(err, 409, "Conflict")
	_, err = client.RecoverDeletedCertificate(ctx, "web", nil)
	must(err)
	_, err = client.GetCertificate(ctx, "web", "", nil)
	must(err)
	_, err = client.DeleteCertificate(ctx, "web", nil)
	must(err)
	_, err = client.PurgeDeletedCertificate(ctx, "web", nil)
	must(err)
	_, err = client.GetDeletedCertificate(ctx, "web", nil)
	refused(err, 404, "CertificateNotFound")
}

func denied(client *azcertificates.Client) {
	_, err := create(client, "web-go")
	must(err)
	_, err = client.DeleteCertificate(ctx, "web-go", nil)
	must(err)
	_, err = client.PurgeDeletedCertificate(ctx, "web-go", nil)
	refused(err, 403, "Forbidden")
	fmt.Println("denied done")
}
