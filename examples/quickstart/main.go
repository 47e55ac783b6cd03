// Quickstart creates a certificate in a key vault, reads it back, lists its versions and deletes it, and says what it does.
//
//	KEY_VAULT_NAME=myvault quickstart [CERTIFICATE-NAME]
//
// It is a program for Azure Key Vault: the vault is https://$KEY_VAULT_NAME.vault.azure.net, and the credential is whatever
// DefaultAzureCredential finds. To try it with no cloud at hand, put "coffer run --" before the command; nothing in the
// program changes. The principal needs the certificate permissions create, get, list and delete.
//
// Without an argument the name is read from standard input; an empty line or none takes a default. What was done goes to
// standard output, what went wrong to standard error, and then the exit code is 1.
package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"

	"coffer/certificates"
)

const defaultName = "quickstart"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if err := visit(ctx, args, stdin, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "quickstart:", explain(err))
		return 1
	}
	return 0
}

// visit does everything but explain what went wrong. It asks on stderr, so that stdout has results only.
func visit(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	vault := os.Getenv("KEY_VAULT_NAME")
	if vault == "" {
		return errors.New("KEY_VAULT_NAME is not set: set it to the name of a key vault, such as \"myvault\"")
	}
	name, err := certificateName(args, stdin, stderr)
	if err != nil {
		return err
	}
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return fmt.Errorf("finding a credential: %w", err)
	}
	client, err := certificates.NewClient("https://"+vault+".vault.azure.net", credential, nil)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return tour{client: client, name: name, out: stdout}.take(ctx)
}

// certificateName is the argument, else a line of standard input, else a default.
func certificateName(args []string, stdin io.Reader, stderr io.Writer) (string, error) {
	switch len(args) {
	case 0:
	case 1:
		return args[0], nil
	default:
		return "", errors.New("usage: quickstart [CERTIFICATE-NAME]")
	}
	fmt.Fprintf(stderr, "Name of the certificate [%s]: ", defaultName)
	line, err := bufio.NewReader(stdin).ReadString('\n')
	fmt.Fprintln(stderr)
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("reading the name: %w", err)
	}
	if name := strings.TrimSpace(line); name != "" {
		return name, nil
	}
	return defaultName, nil
}

// tour is one certificate's way through the vault.
type tour struct {
	client *certificates.Client
	name   string
	out    io.Writer
}

func (t tour) take(ctx context.Context) error {
	for _, step := range []struct {
		doing string
		do    func(context.Context) error
	}{
		{"Creating certificate", t.create},
		{"Reading certificate", t.read},
		{"Listing the versions of", t.list},
		{"Deleting certificate", t.delete},
	} {
		fmt.Fprintf(t.out, "%s %q …\n", step.doing, t.name)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s %q: %w", strings.ToLower(step.doing), t.name, err)
		}
	}
	fmt.Fprintln(t.out, "Done.")
	return nil
}

// create asks for a self-signed certificate and waits until it is issued.
func (t tour) create(ctx context.Context) error {
	policy := certificates.DefaultPolicy()
	poller, err := t.client.BeginCreateCertificate(ctx, t.name, azcertificates.CreateCertificateParameters{CertificatePolicy: &policy}, nil)
	if err != nil {
		return err
	}
	created, err := poller.PollUntilDone(ctx, nil)
	if err != nil {
		return err
	}
	t.say("created", "%s", created.ID.Name())
	t.say("version", "%s", created.ID.Version())
	return nil
}

// read gets the current version and looks into the certificate itself.
func (t tour) read(ctx context.Context) error {
	got, err := t.client.GetCertificate(ctx, t.name, "", nil)
	if err != nil {
		return err
	}
	parsed, err := x509.ParseCertificate(got.CER)
	if err != nil {
		return err
	}
	t.say("subject", "%s", parsed.Subject)
	t.say("key", "%s", parsed.PublicKeyAlgorithm)
	t.say("valid", "%s to %s", parsed.NotBefore.Format(time.DateOnly), parsed.NotAfter.Format(time.DateOnly))
	t.say("SHA-1", "%X", got.X509Thumbprint)
	return nil
}

func (t tour) list(ctx context.Context) error {
	pager := t.client.NewListCertificatePropertiesVersionsPager(t.name, nil)
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, version := range page.Value {
			t.say("version", "%s, made %s", version.ID.Version(), version.Attributes.Created.Local().Format(time.DateTime))
		}
	}
	return nil
}

// delete waits until the vault has put the certificate where it can be recovered from.
func (t tour) delete(ctx context.Context) error {
	poller, err := t.client.BeginDeleteCertificate(ctx, t.name, nil)
	if err != nil {
		return err
	}
	deleted, err := poller.PollUntilDone(ctx, nil)
	if err != nil {
		return err
	}
	if deleted.ScheduledPurgeDate != nil {
		t.say("deleted", "can be recovered until %s", deleted.ScheduledPurgeDate.Local().Format(time.DateOnly))
	}
	return nil
}

func (t tour) say(what, format string, args ...any) {
	fmt.Fprintf(t.out, "  %-8s %s\n", what, fmt.Sprintf(format, args...))
}

// explain shortens a refusal of the service, which prints as a whole page, to the code and the message in it.
func explain(err error) string {
	var refused *azcore.ResponseError
	if !errors.As(err, &refused) || refused.RawResponse == nil {
		return err.Error()
	}
	doing, _, isPage := strings.Cut(err.Error(), refused.Error())
	message := serviceMessage(refused.RawResponse)
	if !isPage || message == "" {
		return err.Error()
	}
	return fmt.Sprintf("%s%d %s: %s", doing, refused.StatusCode, refused.ErrorCode, message)
}

// serviceMessage is the message in the body of a refusal.
func serviceMessage(resp *http.Response) string {
	var body struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := runtime.UnmarshalAsJSON(resp, &body); err != nil {
		return ""
	}
	return body.Error.Message
}
