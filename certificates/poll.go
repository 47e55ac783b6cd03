package certificates

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// handler is a PollingHandler that can be written to a resume token and read back: its exported fields are the token.
type handler[T any] interface {
	runtime.PollingHandler[T]
	// target is the name of the certificate that is polled; empty in a handler which nothing was read into.
	target() string
}

// begun makes the poller of an operation that the service has just accepted. The poller is not given the first answer:
// PollUntilDone would honour its Retry-After and sleep before the first poll.
func begun[T any](h handler[T]) (*runtime.Poller[T], error) {
	return runtime.NewPoller(nil, runtime.Pipeline{}, &runtime.NewPollerOptions[T]{Handler: h})
}

// resumed makes a poller from a resume token. A token of another certificate than the one asked for is refused, because
// going on with either of the two would surprise; an empty name accepts any.
func resumed[T any](token, name string, h handler[T]) (*runtime.Poller[T], error) {
	poller, err := runtime.NewPollerFromResumeToken(token, runtime.Pipeline{}, &runtime.NewPollerFromResumeTokenOptions[T]{Handler: h})
	if err != nil {
		return nil, fmt.Errorf("certificates: resume token: %w", err)
	}
	if h.target() == "" {
		return nil, errors.New("certificates: resume token: it names no certificate; pass what ResumeToken of a poller returned, unchanged")
	}
	if name != "" && !strings.EqualFold(name, h.target()) {
		return nil, fmt.Errorf("certificates: resume token: it is of certificate %q, not %q; pass the name that the operation was begun with", h.target(), name)
	}
	return poller, nil
}

// pace asks for short waits after the first polls, where the service asks for none.
type pace struct {
	polls int
}

// promptPolls is how many waits are asked for. They last 1, 2, 4 and 8 seconds; then the caller's Frequency applies.
const promptPolls = 4

// after gives the answer of a poll that was not the last one, with the wait in its header, from where PollUntilDone takes it.
// The answer that the service sent is not touched. Waits which it names in milliseconds, in other headers, need no care:
// azcore takes them before Retry-After.
func (p *pace) after(resp *http.Response) *http.Response {
	if p.polls == promptPolls || resp.Header.Get("Retry-After") != "" {
		return resp
	}
	paced := *resp
	paced.Header = resp.Header.Clone()
	paced.Header.Set("Retry-After", strconv.Itoa(1<<p.polls))
	p.polls++
	return &paced
}

// refusal is the status of an answer that the SDK turned into an error, or 0 for any other error.
func refusal(err error) int {
	var refused *azcore.ResponseError
	if errors.As(err, &refused) {
		return refused.StatusCode
	}
	return 0
}

// value is what a pointer of the SDK's models points to, or the zero value where the service sent nothing.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
