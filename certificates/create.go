package certificates

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
)

// BeginCreateCertificateOptions contains the optional parameters for the Client.BeginCreateCertificate method.
type BeginCreateCertificateOptions struct {
	azcertificates.CreateCertificateOptions

	// ResumeToken continues a creation that was begun before: nothing is created, and the parameters are not looked at.
	// The name may be empty; otherwise it must be the one that the creation was begun with.
	ResumeToken string
}

// CreateCertificateResponse contains the result of Client.BeginCreateCertificate.
type CreateCertificateResponse struct {
	// Certificate is the current version of the certificate, read after the operation was completed. It is zero if nothing
	// was issued, which is no error for issuer Unknown only; CER is then nil.
	azcertificates.Certificate

	// Operation is the operation as it was last seen.
	Operation azcertificates.CertificateOperation
}

// BeginCreateCertificate creates a certificate, or a new version of it if the name exists, and returns a poller whose result
// is the issued certificate. It needs the permissions certificates/create and certificates/get.
//
// Where the policy's issuer is Unknown, the operation waits without limit for a certificate that somebody else signs. The
// poller does not wait with it: it is done after its first poll, the result has the signing request (Operation.CSR) and no
// certificate, and MergeCertificate finishes the creation.
//
// An operation that ends without a certificate gives [OperationFailedError], [OperationCancelledError],
// [OperationReplacedError] or [OperationDeletedError]. If the request itself is refused, the error is an
// [azcore.ResponseError]: 409 if an operation of that name is in progress, or if a deleted certificate holds the name.
//
// The result is the version that is current when it is read. If somebody else creates a version of the same name at the
// same time, it may be theirs.
func (client *Client) BeginCreateCertificate(ctx context.Context, name string, parameters azcertificates.CreateCertificateParameters, options *BeginCreateCertificateOptions) (*runtime.Poller[CreateCertificateResponse], error) {
	if options == nil {
		options = &BeginCreateCertificateOptions{}
	}
	pending := &issuance{client: client.Client}
	if options.ResumeToken != "" {
		return resumed(options.ResumeToken, name, pending)
	}
	accepted, err := client.CreateCertificate(ctx, name, parameters, &options.CreateCertificateOptions)
	if err != nil {
		return nil, err
	}
	pending.Name, pending.RequestID = name, value(accepted.RequestID)
	return begun(pending)
}

// issuance polls the operation of one creation. Its exported fields are its resume token.
type issuance struct {
	Name      string `json:"name"`
	RequestID string `json:"requestID"`

	client    *azcertificates.Client
	pace      pace
	operation azcertificates.CertificateOperation
	ended     bool
	reason    error // why it ended without a result
}

func (i *issuance) target() string { return i.Name }

// Done implements runtime.PollingHandler.
func (i *issuance) Done() bool { return i.ended }

// Poll implements runtime.PollingHandler. The SDK's client cannot send the operation's request_id, and without one the
// service answers with whatever operation the name has, so the id in the answer is compared.
func (i *issuance) Poll(ctx context.Context) (*http.Response, error) {
	var raw *http.Response
	got, err := i.client.GetCertificateOperation(policy.WithCaptureResponse(ctx, &raw), i.Name, nil)
	if refusal(err) == http.StatusNotFound {
		i.end(&OperationDeletedError{Name: i.Name, RequestID: i.RequestID, response: err})
		return raw, nil
	}
	if err != nil {
		return nil, err
	}
	if id := value(got.RequestID); id != "" && i.RequestID != "" && id != i.RequestID {
		i.end(&OperationReplacedError{Name: i.Name, RequestID: i.RequestID, NewRequestID: id})
		return raw, nil
	}
	if err := i.follow(got.CertificateOperation, raw); err != nil {
		return nil, err
	}
	if !i.ended {
		raw = i.pace.after(raw)
	}
	return raw, nil
}

// follow takes over the state of the operation. The service writes "cancelled", its documentation also "canceled".
func (i *issuance) follow(op azcertificates.CertificateOperation, raw *http.Response) error {
	switch status(op) {
	case "inprogress":
		i.ended = awaitsMerge(op)
	case "completed":
		i.end(nil)
	case "failed":
		i.end(failure(i.Name, op, raw))
	case "cancelled", "canceled":
		i.end(&OperationCancelledError{Name: i.Name, RequestID: i.RequestID, response: runtime.NewResponseErrorWithErrorCode(raw, "")})
	default:
		return fmt.Errorf("certificate %q: its operation has the status %q, which this client does not know; read it with GetCertificateOperation",
			i.Name, value(op.Status))
	}
	i.operation = op
	return nil
}

func (i *issuance) end(reason error) { i.ended, i.reason = true, reason }

// Result implements runtime.PollingHandler.
func (i *issuance) Result(ctx context.Context, out *CreateCertificateResponse) error {
	if i.reason != nil {
		return i.reason
	}
	var issued azcertificates.GetCertificateResponse
	if status(i.operation) == "completed" {
		var err error
		if issued, err = i.client.GetCertificate(ctx, i.Name, "", nil); err != nil {
			return err
		}
	}
	*out = CreateCertificateResponse{Certificate: issued.Certificate, Operation: i.operation}
	return nil
}

func status(op azcertificates.CertificateOperation) string {
	return strings.ToLower(value(op.Status))
}

// awaitsMerge tells whether only a merge can complete the operation. Issuer names are compared without regard to case.
func awaitsMerge(op azcertificates.CertificateOperation) bool {
	return op.IssuerParameters != nil && strings.EqualFold(value(op.IssuerParameters.Name), "Unknown")
}
