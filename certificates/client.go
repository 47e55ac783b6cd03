// Package certificates is a Go client for the certificates of a key vault, with the pollers that the Azure SDK for Go
// leaves out. It speaks the documented protocol only, so it works against Azure Key Vault and against Coffer alike.
//
// # Where to start
//
// [Client] embeds [azcertificates.Client]: everything which that client does (get, list, import, merge, update, purge,
// back up, …) is there under the same name. Three methods are added, for the three requests that the service answers
// before it has done the work:
//
//	BeginCreateCertificate          POST   /certificates/{name}/create             then GET /certificates/{name}/pending
//	BeginDeleteCertificate          DELETE /certificates/{name}                    then GET /deletedcertificates/{name}
//	BeginRecoverDeletedCertificate  POST   /deletedcertificates/{name}/recover     then GET /certificates/{name}
//
// Each returns a [runtime.Poller], so the whole of a creation is:
//
//	client, err := certificates.NewClient("https://myvault.vault.azure.net", credential, nil)
//	…
//	policy := certificates.DefaultPolicy()
//	poller, err := client.BeginCreateCertificate(ctx, "web",
//		azcertificates.CreateCertificateParameters{CertificatePolicy: &policy}, nil)
//	…
//	created, err := poller.PollUntilDone(ctx, nil)
//	…
//	fmt.Println(*created.ID)
//
// # How long PollUntilDone waits
//
// It polls at once, before it waits for anything: what is done at the first poll costs one request and no sleep. Between
// polls, in this order:
//
//   - If the service names a time, that is what is waited. While a certificate is being issued it names 10 seconds
//     (Retry-After: 10), and then the Frequency given to PollUntilDone has no effect. A self-signed certificate that
//     takes Azure two seconds is therefore seen after ten.
//   - Otherwise the first four waits are 1, 2, 4 and 8 seconds. The service names no time for deletions and recoveries,
//     which mostly take a few seconds, and the default Frequency of 30 seconds would sleep through them.
//   - After these, [runtime.PollUntilDoneOptions].Frequency.
//
// A program that needs another rhythm calls Poll and Done itself. How long the whole may take is up to the context.
//
// # Errors
//
// A request which the service refuses is an [azcore.ResponseError], unchanged, whether it is the first one or a poll. An
// operation which ends without a certificate is one of [OperationFailedError], [OperationCancelledError],
// [OperationReplacedError] and [OperationDeletedError], for use with [errors.As]. As in the rest of the SDK, such an end is
// not an error of Poll: Poll succeeds, Done is true, and Result (hence PollUntilDone) returns the error. An error of Poll
// itself leaves the poller as it was, so that it can be polled again.
//
// # Resume tokens
//
// A poller's ResumeToken goes into the ResumeToken member of the options of the same method, in this process or another,
// with any client of the same vault. A token holds names and public parts of certificates, and no secret.
package certificates

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
)

// Client is an [azcertificates.Client] with pollers. Make one with [NewClient] or [Wrap]. It is safe for concurrent
// use; the pollers it returns are not.
type Client struct {
	*azcertificates.Client
}

// NewClient makes a client of the vault at vaultURL, for example "https://myvault.vault.azure.net". Options may be nil.
// It sends nothing.
//
// A token for the vault is sent to whatever vaultURL names, provided that its host belongs to the domain which its own
// authentication challenge names; see DisableChallengeResourceVerification in the options.
func NewClient(vaultURL string, credential azcore.TokenCredential, options *azcertificates.ClientOptions) (*Client, error) {
	client, err := azcertificates.NewClient(vaultURL, credential, options)
	if err != nil {
		return nil, err
	}
	return Wrap(client), nil
}

// Wrap adds the pollers to a client that exists already. Both can be used side by side.
func Wrap(client *azcertificates.Client) *Client {
	return &Client{Client: client}
}
