package entra

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

// pollEvery is what clients are told to wait between two questions, in seconds.
const pollEvery = 5

type deviceAnswer struct {
	UserCode        string `json:"user_code"`
	DeviceCode      string `json:"device_code"`
	VerificationURI string `json:"verification_uri"`
	ExpiresIn       int64  `json:"expires_in"` // seconds
	Interval        int64  `json:"interval"`   // seconds
	Message         string `json:"message"`
}

// deviceAnswerV1 is what the older endpoint says of the same.
type deviceAnswerV1 struct {
	UserCode        string `json:"user_code"`
	DeviceCode      string `json:"device_code"`
	VerificationURL string `json:"verification_url"`
	ExpiresIn       string `json:"expires_in"`
	Interval        string `json:"interval"`
	Message         string `json:"message"`
}

func (d *Door) deviceV2(w http.ResponseWriter, r *http.Request, tenant string) {
	d.device(w, r, tenant, endpointV2)
}

func (d *Door) deviceV1(w http.ResponseWriter, r *http.Request, tenant string) {
	kind := endpointV1
	if tenant == adfs {
		kind = endpointADFS
	}
	d.device(w, r, tenant, kind)
}

// device gives a client a code by which it can wait for a user.
func (d *Door) device(w http.ResponseWriter, r *http.Request, name string, kind endpoint) {
	if !d.knows(name) {
		d.refuse(w, r, unknownTenant("invalid_request", name, d.Tenant.TenantID()))
		return
	}
	code, err := d.startDevice(w, r, kind)
	var refused *tenant.Error
	switch {
	case errors.As(err, &refused):
		d.refuseToken(w, r, refused)
		return
	case err != nil:
		d.fail(w, r, err)
		return
	}
	shown := code.UserCode[:len(code.UserCode)/2] + "-" + code.UserCode[len(code.UserCode)/2:]
	answer := deviceAnswer{
		UserCode: shown, DeviceCode: code.Code, VerificationURI: "https://" + d.host(r) + "/device",
		ExpiresIn: int64(tenant.DeviceLifetime.Seconds()), Interval: pollEvery, Message: d.deviceMessage(shown),
	}
	if kind != endpointV1 {
		httpd.WriteJSON(w, http.StatusOK, answer)
		return
	}
	httpd.WriteJSON(w, http.StatusOK, deviceAnswerV1{
		UserCode: answer.UserCode, DeviceCode: answer.DeviceCode, VerificationURL: answer.VerificationURI,
		ExpiresIn: strconv.FormatInt(answer.ExpiresIn, 10), Interval: strconv.FormatInt(answer.Interval, 10), Message: answer.Message,
	})
}

// deviceMessage is what clients show.
func (d *Door) deviceMessage(code string) string {
	if user := d.Tenant.DeviceUser(); user != "" {
		return "Coffer signs you in as " + user + "; there is nothing to type."
	}
	return "To sign in, have an administrator of this Coffer approve the code " + code + "."
}

// devicePage is what a person finds at the address that clients show. Who it is cannot be
// told there, since nobody signs in by browser: so it says who can approve, and how.
func (d *Door) devicePage(w http.ResponseWriter, _ *http.Request, _ string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	_, _ = io.WriteString(w, devicePage) // who has gone reads nothing
}

const devicePage = `Codes are not typed here. Give the code that your program shows to an administrator
of this Coffer, who approves it with

    coffer device approve CODE --user NAME

or refuses it with

    coffer device decline CODE

Your program goes on by itself then. A code is good for 15 minutes.
`

func (d *Door) startDevice(w http.ResponseWriter, r *http.Request, kind endpoint) (tenant.DeviceCode, error) {
	form, err := readForm(w, r)
	if err != nil {
		return tenant.DeviceCode{}, err
	}
	request := readClient(form, kind)
	if kind == endpointV1 && request.Resource == "" {
		return tenant.DeviceCode{}, noResource()
	}
	return d.Tenant.StartDevice(r.Context(), request)
}
