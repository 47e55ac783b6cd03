package dataplane

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"coffer/internal/httpd"
	"coffer/internal/vault"
	"coffer/internal/wire"
)

func (d *Door) createCertificate(r request) (answer, error) {
	var body wire.CreateCertificate
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	in := vault.NewCertificate{Policy: policyInput(body.Policy), Preserve: body.PreserveCertOrder}
	if body.Attributes != nil {
		in.Enabled = body.Attributes.Enabled
	}
	if body.Tags != nil {
		in.Tags = *body.Tags
	}
	op, err := d.Vaults.CreateCertificate(r.ctx, r.caller, r.ref, in)
	if err != nil {
		return answer{}, err
	}
	location := r.id("certificates", op.Name, "pending") + "?api-version=" + url.QueryEscape(r.version.String()) + "&request_id=" + op.RequestID
	return answer{http.StatusAccepted, r.operation(op), map[string]string{"Location": location, "Retry-After": retryAfter}}, nil
}

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

func (r request) operation(op vault.Operation) wire.CertificateOperation {
	out := wire.CertificateOperation{
		ID: r.id("certificates", op.Name, "pending"), Issuer: wire.OperationIssuer{Name: op.Issuer}, CSR: op.CSR,
		CancellationRequested: op.CancellationRequested, Status: op.Status, PreserveCertOrder: op.Preserve, RequestID: op.RequestID,
	}
	if op.InProgress() || op.Failed() {
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

func (d *Door) getCertificate(r request) (answer, error) {
	c, err := d.Vaults.GetCertificate(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.certificate(c)}, err
}

func (d *Door) deleteCertificate(r request) (answer, error) {
	c, err := d.Vaults.DeleteCertificate(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.deletedCertificate(c)}, err
}

func (d *Door) getDeletedCertificate(r request) (answer, error) {
	c, err := d.Vaults.GetDeletedCertificate(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.deletedCertificate(c)}, err
}

func (d *Door) recoverDeletedCertificate(r request) (answer, error) {
	c, err := d.Vaults.RecoverDeletedCertificate(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.certificate(c)}, err
}

func (d *Door) purgeDeletedCertificate(r request) (answer, error) {
	return answer{status: http.StatusNoContent}, d.Vaults.PurgeDeletedCertificate(r.ctx, r.caller, r.ref)
}

func (d *Door) listCertificates(r request) (answer, error) {
	page, err := r.page()
	if err != nil {
		return answer{}, err
	}
	rows, next, err := d.Vaults.ListCertificates(r.ctx, r.caller, r.ref.Vault, page)
	return listAnswer(r, rows, next, err, func(c vault.Certificate) wire.CertificateItem { return r.item(c, "") })
}

func (d *Door) listCertificateVersions(r request) (answer, error) {
	page, err := r.page()
	if err != nil {
		return answer{}, err
	}
	rows, next, err := d.Vaults.ListCertificateVersions(r.ctx, r.caller, r.ref, page)
	return listAnswer(r, rows, next, err, func(c vault.Certificate) wire.CertificateItem { return r.item(c, c.Version) })
}

func (d *Door) listDeletedCertificates(r request) (answer, error) {
	page, err := r.page()
	if err != nil {
		return answer{}, err
	}
	rows, next, err := d.Vaults.ListDeletedCertificates(r.ctx, r.caller, r.ref.Vault, page)
	return listAnswer(r, rows, next, err, r.deletedItem)
}

// page reads what a list request asks for.
func (r request) page() (vault.Page, error) {
	p := vault.Page{Token: r.query.Get("$skiptoken")}
	if text := r.query.Get("maxresults"); text != "" {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 || size > vault.MaxPageSize {
			return p, &vault.Error{Code: vault.CodeBadParameter, Message: "maxresults has to be 1 to " + strconv.Itoa(vault.MaxPageSize) + ", not " + clip(text) + "."}
		}
		p.Size = size
	}
	if text := r.query.Get("includePending"); text != "" {
		include, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return p, &vault.Error{Code: vault.CodeBadParameter, Message: "includePending has to be true or false, not " + clip(text) + "."}
		}
		p.IncludePending = include
	}
	return p, nil
}

func listAnswer[Row, Item any](r request, rows []Row, next string, err error, item func(Row) Item) (answer, error) {
	out := wire.List[Item]{Value: make([]Item, 0, len(rows))}
	for _, row := range rows {
		out.Value = append(out.Value, item(row))
	}
	if next != "" {
		link := r.nextLink(next)
		out.NextLink = &link
	}
	return answer{status: http.StatusOK, body: out}, err
}

// nextLink has the form of the service: an explicit port, the $ unescaped, maxresults
// only if it was given, includePending never (recorded).
func (r request) nextLink(token string) string {
	link := r.link + r.path + "?api-version=" + url.QueryEscape(r.version.String()) + "&$skiptoken=" + token
	if size := r.query.Get("maxresults"); size != "" {
		link += "&maxresults=" + url.QueryEscape(size)
	}
	return link
}
