package client

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// The exit codes of a command. They are those of az, so that a script can change over.
const (
	ExitFailure  = 1 // refused, or could not be done
	ExitUsage    = 2 // the command line was wrong, and nothing was asked
	ExitNotFound = 3 // what was named does not exist
)

// A Failure is an error with an exit code of its own, and what to do about it.
type Failure struct {
	Code int
	Text string
	Next string // what to do next; may be empty
}

func (f *Failure) Error() string {
	if f.Next == "" {
		return f.Text
	}
	return f.Text + "\n  " + f.Next
}

// Usagef is a Failure of the command line.
func Usagef(format string, args ...any) error {
	return &Failure{Code: ExitUsage, Text: fmt.Sprintf(format, args...)}
}

// NotFoundf is a Failure to find what was named.
func NotFoundf(next, format string, args ...any) error {
	return &Failure{Code: ExitNotFound, Text: fmt.Sprintf(format, args...), Next: next}
}

// Describe makes one readable line of whatever went wrong, with the next step below it
// where there is one, and chooses the exit code. A refusal keeps the code and message of
// the service.
func Describe(err error) *Failure {
	var own *Failure
	var refused *azcore.ResponseError
	var signIn *azidentity.AuthenticationFailedError
	var dns *net.DNSError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &signIn):
		return describeSignIn(signIn)
	case errors.As(err, &refused):
		return describeRefusal(refused)
	case errors.As(err, &untrusted):
		return &Failure{ExitFailure, untrusted.Error(), "SSL_CERT_FILE has to name the authority of the installation, its ca.pem: coffer env --config FILE prints it"}
	case errors.As(err, &dns):
		return &Failure{ExitFailure, fmt.Sprintf("there is no host %s", dns.Name), "check --vault or --vault-url, and whether AZURE_AUTHORITY_HOST names your installation"}
	}
	if strings.Contains(err.Error(), noneOfTheChain) {
		return noCredential()
	}
	return &Failure{Code: ExitFailure, Text: err.Error()}
}

// noneOfTheChain is in azidentity's error when no kind of credential is there; it has no
// type for that.
const noneOfTheChain = "DefaultAzureCredential: failed to acquire a token"

func noCredential() *Failure {
	return &Failure{ExitFailure, "there is no credential to sign in with",
		"run this inside coffer run -- bash, set what coffer env --config FILE prints, or sign in with az login"}
}

// describeSignIn shows what the token endpoint answered.
func describeSignIn(err *azidentity.AuthenticationFailedError) *Failure {
	if err.RawResponse == nil {
		return &Failure{ExitFailure, "signing in failed: " + oneLine(err.Error()), ""}
	}
	var answer struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	body := readAll(err.RawResponse)
	if json.Unmarshal(body, &answer) != nil || answer.Error == "" {
		return &Failure{ExitFailure, fmt.Sprintf("signing in failed: HTTP %d from %s", statusOf(err.RawResponse), hostOfResponse(err.RawResponse)), ""}
	}
	return &Failure{ExitFailure, "signing in failed: " + answer.Error + ": " + firstLine(answer.Description), "check AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and AZURE_TENANT_ID"}
}

// hints say what to do about a code of the service, the inner one first.
var hints = map[string]string{
	"ForbiddenByPolicy":             "an administrator grants it: coffer policy set --vault NAME --app APP …",
	"ForbiddenByRbac":               "an administrator grants it: coffer role assign --role ROLE --app APP --vault NAME",
	"ForbiddenByFirewall":           "an administrator lets the address in: coffer vault update NAME --allow-ip ADDRESS",
	"AuthorizationFailed":           "an administrator grants it: coffer role assign --role ROLE --app APP",
	"ObjectIsDeletedButRecoverable": "the name belongs to a deleted one: recover it, or purge it first",
	"ObjectIsBeingDeleted":          "try again in a moment",
	"SecretDisabled":                "enable it: coffer secret update NAME --enabled",
	"VaultNotFound":                 "coffer vault list shows what there is",
	"ResourceNotFound":              "coffer vault list shows what there is",
	"ResourceGroupNotFound":         "leave --group out, and the group is found or made",
	"VaultAlreadyExists":            "the name belongs to a vault, or to a deleted one that can be recovered: coffer vault list-deleted",
	"ConflictError":                 "the name belongs to a deleted vault: coffer vault recover NAME, or coffer vault purge NAME",
	"Authorization_RequestDenied":   "only an owner of the application or an administrator of the directory may do that",
	"PendingCertificateNotFound":    "no operation is under way; coffer cert show NAME shows the certificate",
	"RoleAssignmentExists":          "it was granted before; there is nothing to do",
}

// describeRefusal keeps the service's code and message.
func describeRefusal(err *azcore.ResponseError) *Failure {
	code, inner, message := err.ErrorCode, "", ""
	if err.RawResponse != nil {
		var answer struct {
			Error struct {
				Code    string `json:"code"`
				Message string `json:"message"`
				Inner   struct {
					Code string `json:"code"`
				} `json:"innererror"`
			} `json:"error"`
		}
		if json.Unmarshal(readAll(err.RawResponse), &answer) == nil {
			code, inner, message = answer.Error.Code, answer.Error.Inner.Code, answer.Error.Message
		}
	}
	out := &Failure{Code: ExitFailure, Next: hints[inner]}
	if err.StatusCode == http.StatusNotFound {
		out.Code = ExitNotFound
	}
	if out.Next == "" {
		out.Next = hints[code]
	}
	if inner != "" && !strings.EqualFold(inner, code) {
		code += " / " + inner
	}
	switch {
	case code == "":
		out.Text = fmt.Sprintf("HTTP %d from %s", err.StatusCode, hostOfResponse(err.RawResponse))
	default:
		out.Text = fmt.Sprintf("%s (HTTP %d): %s", oneLine(code), err.StatusCode, oneLine(message))
	}
	return out
}

func hostOfResponse(response *http.Response) string {
	if response == nil || response.Request == nil {
		return "the server"
	}
	return response.Request.URL.Host
}

// maxAnswer bounds what is read of an answer that is only to be shown.
const maxAnswer = 1 << 20

// readAll reads the body of an answer and leaves it as it was.
func readAll(response *http.Response) []byte {
	if response.Body == nil {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	response.Body = io.NopCloser(bytes.NewReader(text))
	return text
}

// oneLine joins the lines of a message; the service's have several.
func oneLine(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return Printable(strings.Join(lines, "; "))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return Printable(strings.TrimSpace(line))
}
