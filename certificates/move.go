package certificates

import (
	"context"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
)

// BeginDeleteCertificateOptions contains the optional parameters for the Client.BeginDeleteCertificate method.
type BeginDeleteCertificateOptions struct {
	azcertificates.DeleteCertificateOptions

	// ResumeToken continues a deletion that was begun before: nothing is deleted. The name may be empty; otherwise it must
	// be the one that the deletion was begun with.
	ResumeToken string
}

// DeleteCertificateResponse contains the result of Client.BeginDeleteCertificate.
type DeleteCertificateResponse struct {
	azcertificates.DeletedCertificate
}

// BeginDeleteCertificate deletes a certificate with all its versions, its key and its secret, and returns a poller that is
// done when the deletion is: when the certificate can be recovered or purged. It needs the permission certificates/delete.
//
// Without certificates/get the service does not show the end of the deletion. The poller is then done at its first 403, and
// its result is what the service answered to the deletion. The same holds for a vault that has no soft delete, where a
// deletion is final and nothing is polled.
func (client *Client) BeginDeleteCertificate(ctx context.Context, name string, options *BeginDeleteCertificateOptions) (*runtime.Poller[DeleteCertificateResponse], error) {
	if options == nil {
		options = &BeginDeleteCertificateOptions{}
	}
	deletion := &move[DeleteCertificateResponse]{get: client.readDeleted}
	if options.ResumeToken != "" {
		return resumed(options.ResumeToken, name, deletion)
	}
	accepted, err := client.DeleteCertificate(ctx, name, &options.DeleteCertificateOptions)
	if err != nil {
		return nil, err
	}
	deletion.Name, deletion.Initial = name, DeleteCertificateResponse{accepted.DeletedCertificate}
	if value(accepted.RecoveryID) == "" {
		deletion.end(deletion.Initial)
	}
	return begun(deletion)
}

func (client *Client) readDeleted(ctx context.Context, name string) (DeleteCertificateResponse, error) {
	got, err := client.GetDeletedCertificate(ctx, name, nil)
	return DeleteCertificateResponse{got.DeletedCertificate}, err
}

// BeginRecoverDeletedCertificateOptions contains the optional parameters for the Client.BeginRecoverDeletedCertificate method.
type BeginRecoverDeletedCertificateOptions struct {
	azcertificates.RecoverDeletedCertificateOptions

	// ResumeToken continues a recovery that was begun before: nothing is recovered. The name may be empty; otherwise it must
	// be the one that the recovery was begun with.
	ResumeToken string
}

// RecoverDeletedCertificateResponse contains the result of Client.BeginRecoverDeletedCertificate.
type RecoverDeletedCertificateResponse struct {
	azcertificates.Certificate
}

// BeginRecoverDeletedCertificate brings a deleted certificate back, with all its versions, its key and its secret, and
// returns a poller that is done when the certificate can be used again. It needs the permission certificates/recover.
//
// Without certificates/get the service does not show the end of the recovery. The poller is then done at its first 403, and
// its result is what the service answered to the request.
func (client *Client) BeginRecoverDeletedCertificate(ctx context.Context, name string, options *BeginRecoverDeletedCertificateOptions) (*runtime.Poller[RecoverDeletedCertificateResponse], error) {
	if options == nil {
		options = &BeginRecoverDeletedCertificateOptions{}
	}
	recovery := &move[RecoverDeletedCertificateResponse]{get: client.readRecovered}
	if options.ResumeToken != "" {
		return resumed(options.ResumeToken, name, recovery)
	}
	accepted, err := client.RecoverDeletedCertificate(ctx, name, &options.RecoverDeletedCertificateOptions)
	if err != nil {
		return nil, err
	}
	recovery.Name, recovery.Initial = name, RecoverDeletedCertificateResponse{accepted.Certificate}
	return begun(recovery)
}

func (client *Client) readRecovered(ctx context.Context, name string) (RecoverDeletedCertificateResponse, error) {
	got, err := client.GetCertificate(ctx, name, "", nil)
	return RecoverDeletedCertificateResponse{got.Certificate}, err
}

// move polls the place that a certificate is moved to, until it is there. Its exported fields are its resume token; the
// first answer is among them because it is the result when the place may not be looked at.
type move[T any] struct {
	Name    string `json:"name"`
	Initial T      `json:"initial"`

	get    func(ctx context.Context, name string) (T, error)
	pace   pace
	ended  bool
	result T
}

func (m *move[T]) target() string { return m.Name }

// Done implements runtime.PollingHandler.
func (m *move[T]) Done() bool { return m.ended }

// Poll implements runtime.PollingHandler. While the certificate is on its way, its new place answers 404 (recorded).
func (m *move[T]) Poll(ctx context.Context) (*http.Response, error) {
	var raw *http.Response
	got, err := m.get(policy.WithCaptureResponse(ctx, &raw), m.Name)
	switch status := refusal(err); {
	case err == nil:
		m.end(got)
	case status == http.StatusForbidden:
		m.end(m.Initial)
	case status == http.StatusNotFound:
		return m.pace.after(raw), nil
	default:
		return nil, err
	}
	return raw, nil
}

func (m *move[T]) end(result T) { m.ended, m.result = true, result }

// Result implements runtime.PollingHandler.
func (m *move[T]) Result(_ context.Context, out *T) error {
	*out = m.result
	return nil
}
