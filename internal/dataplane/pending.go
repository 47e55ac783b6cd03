package dataplane

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"

	"coffer/internal/httpd"
	"coffer/internal/vault"
	"coffer/internal/wire"
)

// retryAfter is the pause, in seconds, that the service asks for while an operation is
// in progress (recorded).
const retryAfter = "10"

func (d *Door) getCertificateOperation(r request) (answer, error) {
	op, err := d.Vaults.GetCertificateOperation(r.ctx, r.caller, r.ref, r.query.Get("request_id"))
	if err != nil {
		return answer{}, err
	}
	out := answer{status: http.StatusOK, body: r.operation(op)}
	if op.InProgress() {
		out.header = map[string]string{"Retry-After": retryAfter}
	}
	return out, nil
}

// statusDetails is what an operation says while it is in progress, and goes on saying
// when it has failed (recorded).
const statusDetails = "Pending certificate created. Certificate request is in progress. This may take some time based on the issuer provider. Please check again later."

// mergeDetails is what an operation says that waits for a merge (recorded).
const mergeDetails = "Pending certificate created. Please Perform Merge to complete the request."

func (r request) operation(op vault.Operation) wire.CertificateOperation {
	out := wire.CertificateOperation{
		ID: r.id("certificates", op.Name, "pending"), Issuer: wire.OperationIssuer{Name: op.Issuer}, CSR: op.CSR,
		CancellationRequested: op.CancellationRequested, Status: op.Status, PreserveCertOrder: op.Preserve, RequestID: op.RequestID,
	}
	switch {
	case op.Merges():
		out.StatusDetails = mergeDetails
	case op.InProgress() || op.Failed():
		out.StatusDetails = statusDetails
	}
	if op.Completed() {
		out.Target = r.id("certificates", op.Name, "")
	}
	if op.Failed() {
		out.Error = &wire.OperationErrorOut{Code: op.ErrorCode, Message: op.ErrorText}
	}
	return out
}

func (d *Door) updateCertificateOperation(r request) (answer, error) {
	var body wire.UpdateOperation
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	op, err := d.Vaults.UpdateCertificateOperation(r.ctx, r.caller, r.ref, r.query.Get("request_id"), body.CancellationRequested)
	return answer{status: http.StatusOK, body: r.operation(op)}, err
}

func (d *Door) deleteCertificateOperation(r request) (answer, error) {
	op, err := d.Vaults.DeleteCertificateOperation(r.ctx, r.caller, r.ref, r.query.Get("request_id"))
	return answer{status: http.StatusOK, body: r.operation(op)}, err
}

func (d *Door) mergeCertificate(r request) (answer, error) {
	var body wire.MergeCertificate
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	c, err := d.Vaults.MergeCertificate(r.ctx, r.caller, r.ref, vault.Merge{
		Chain: derOf(body.X5C), Enabled: enabledInput(body.Attributes), Tags: body.Tags,
	})
	if err != nil {
		return answer{}, err
	}
	location := r.id("certificates", c.Name, "") + "?api-version=" + url.QueryEscape(r.version.String())
	return answer{http.StatusCreated, r.certificate(c), map[string]string{"Location": location}}, nil
}

// derOf decodes the certificates of a merge. What is no certificate is handed on as it
// is: the vault says what is wrong with it, after it has found the operation (recorded).
func derOf(x5c []string) [][]byte {
	out := make([][]byte, 0, len(x5c))
	for _, text := range x5c {
		der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			der = []byte(text)
		}
		out = append(out, textOf(der))
	}
	return out
}

// textOf decodes a certificate that is base64 once more, or PEM: some clients encode what
// was encoded already, and the service takes it (its own SDK's live tests do so).
func textOf(der []byte) []byte {
	if block, rest := pem.Decode(der); block != nil && block.Type == "CERTIFICATE" && len(bytes.TrimSpace(rest)) == 0 {
		return block.Bytes
	}
	if again, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(der))); err == nil {
		return again
	}
	return der
}
