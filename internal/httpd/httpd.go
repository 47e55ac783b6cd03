// Package httpd is what the doors share: it takes a request in safely and lets an
// answer out completely. It knows no route and no rule.
//
// A door is an http.Handler. The server wraps every door in one Barrier, which gives
// each request its id, writes the access log, and turns a panic into a plain 500.
// Inside, a door uses ReadBody and DecodeJSON to take the body within its limits,
// Authenticate to learn who calls, and WriteJSON to answer in one piece.
//
// The only value that this package keeps in a context is the request's Origin, with its
// id.
package httpd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffer/internal/access"
)

// The errors of taking a request in.
var (
	ErrNoToken         = errors.New("the request has no bearer token")
	ErrBodyTooLarge    = errors.New("the request body is too large")
	ErrBodyTruncated   = errors.New("the request body ended early")
	ErrNotJSON         = errors.New("the request body is not valid JSON")
	ErrUnsupportedType = errors.New("the request's content type is not application/json")
)

// The longest texts that are taken over from a request into logs, in bytes.
const (
	maxUserAgent     = 256
	maxCorrelationID = 128
	maxURI           = 1024
)

type contextKey struct{}

// RequestID returns the id that Barrier gave the request, a GUID.
func RequestID(ctx context.Context) string {
	origin, _ := ctx.Value(contextKey{}).(*access.Origin)
	if origin == nil {
		return ""
	}
	return origin.RequestID
}

// A Barrier stands before the doors.
type Barrier struct {
	Next http.Handler
	Log  *slog.Logger // panics, with their stack; never nil
	// Access, when set, is told of every answered request.
	Access func(Access)
	Now    func() time.Time
}

// An Access is one line of the access log. It has no header, no body, and of the
// query only the names.
type Access struct {
	RequestID string
	Method    string
	Host      string
	Path      string
	Query     string // the known names, such as "api-version&maxresults"
	Status    int
	Bytes     int64
	Duration  time.Duration
	Remote    string
}

// ServeHTTP answers one request behind the barrier.
func (b *Barrier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := b.Now()
	origin := originOf(r, uuid.NewString())
	r = r.WithContext(context.WithValue(r.Context(), contextKey{}, &origin))
	out := &recorder{ResponseWriter: w}
	defer func() {
		b.recovered(out, r, recover())
		b.note(out, r, origin.RequestID, start)
	}()
	b.Next.ServeHTTP(out, r)
}

// recovered answers a request whose handler panicked, if nothing was sent yet.
func (b *Barrier) recovered(w *recorder, r *http.Request, cause any) {
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	b.Log.Error("a handler panicked", "request", RequestID(r.Context()), "method", r.Method,
		"path", r.URL.Path, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if w.status == 0 {
		w.Header().Set("x-ms-request-id", RequestID(r.Context()))
		WriteJSON(w, http.StatusInternalServerError, json.RawMessage(
			`{"error":{"code":"InternalServerError","message":"The server failed while it handled the request; see its log for request `+RequestID(r.Context())+`."}}`))
	}
}

func (b *Barrier) note(w *recorder, r *http.Request, id string, start time.Time) {
	if b.Access == nil {
		return
	}
	b.Access(Access{
		RequestID: id, Method: r.Method, Host: r.Host, Path: clip(r.URL.EscapedPath(), maxURI), Query: queryNames(r),
		Status: w.status, Bytes: w.bytes, Duration: b.Now().Sub(start), Remote: r.RemoteAddr,
	})
}

// A recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the writer below.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Origin says where a request came from: what Barrier found. The address is that of the
// connection; X-Forwarded-For is not read.
func Origin(r *http.Request) access.Origin {
	if origin, ok := r.Context().Value(contextKey{}).(*access.Origin); ok {
		return *origin
	}
	return originOf(r, "") // there is no Barrier
}

// Headers are named as net/http keeps them: another spelling costs an allocation each.
const (
	headerClientRequestID   = "Client-Request-Id"
	headerMSClientRequestID = "X-Ms-Client-Request-Id"
)

func originOf(r *http.Request, id string) access.Origin {
	address, _ := netip.ParseAddrPort(r.RemoteAddr)
	uri := clip(r.URL.EscapedPath(), maxURI)
	if names := queryNames(r); names != "" {
		uri += "?" + names
	}
	return access.Origin{
		Address:       address.Addr().Unmap(),
		RequestID:     id,
		CorrelationID: clip(cmp.Or(r.Header.Get(headerMSClientRequestID), r.Header.Get(headerClientRequestID)), maxCorrelationID),
		ClientInfo:    clip(r.UserAgent(), maxUserAgent),
		URI:           uri,
	}
}

// knownNames are the parameters that a log may name. Whatever else is in a query may be
// anything, even a secret that stands there by mistake.
var knownNames = []string{
	"api-version", "maxresults", "$skiptoken", "includePending", "request_id", "outContentType",
	"resource", "client_id", "object_id", "msi_res_id", "mi_res_id", "authorization_endpoint", "client-request-id",
	"$filter", "$select", "$top", "$count",
}

// queryNames keeps of a query the names that are known; … stands for every other part.
func queryNames(r *http.Request) string {
	query := clip(r.URL.RawQuery, maxURI)
	if query == "" {
		return ""
	}
	var names []string
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		if strings.Contains(name, "%") {
			name, _ = url.QueryUnescape(name)
		}
		if !slices.Contains(knownNames, name) {
			name = "…"
		}
		names = append(names, name)
	}
	return strings.Join(names, "&")
}

func clip(text string, max int) string {
	if len(text) > max {
		return strings.ToValidUTF8(text[:max], "")
	}
	return text
}

// Host returns the host that a request names, lower-cased, without port and trailing
// dot.
func Host(r *http.Request) string { return FoldHost(r.Host) }

// FoldHost lower-cases a host and strips its port and trailing dot.
func FoldHost(host string) string {
	if strings.Contains(host, ":") {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// An Authenticator turns a token into a Caller; tenant.Service is one.
type Authenticator interface {
	Authenticate(ctx context.Context, raw string, audiences []string) (access.Caller, error)
}

// Authenticate returns who sends the request. Without a bearer token the error is
// ErrNoToken; every other error is the Authenticator's.
func Authenticate(r *http.Request, a Authenticator, audiences []string) (access.Caller, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return access.Caller{}, ErrNoToken
	}
	scheme, raw, ok := strings.Cut(headers[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(raw) == "" {
		return access.Caller{}, ErrNoToken
	}
	caller, err := a.Authenticate(r.Context(), strings.TrimSpace(raw), audiences)
	caller.Origin = Origin(r)
	return caller, err
}

// ReadBody reads the whole body, of at most limit bytes.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, ErrBodyTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, ErrBodyTooLarge
	case err != nil:
		return nil, ErrBodyTruncated
	}
	return body, nil
}

// CheckJSONType refuses a body that declares itself to be something else than JSON.
func CheckJSONType(r *http.Request) error {
	declared := r.Header.Get("Content-Type")
	if declared == "application/json" {
		return nil // as nearly every client says it
	}
	kind, _, err := mime.ParseMediaType(declared)
	if err != nil || kind != "application/json" {
		return ErrUnsupportedType
	}
	return nil
}

// DecodeJSON decodes one JSON object into v. Unknown members are ignored, as the
// service does; a second value after the object is refused. The error is ErrNotJSON,
// or a *json.UnmarshalTypeError that names the member.
func DecodeJSON(body []byte, v any) error {
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) == 0 || trimmed[0] != '{' {
		return ErrNotJSON
	}
	err := json.Unmarshal(trimmed, v)
	var wrongType *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &wrongType) {
		return fmt.Errorf("%w: %w", ErrNotJSON, err)
	}
	return err
}

// WriteJSON answers with v as compact JSON, in one piece. An error of writing means
// that the client went away; the server has nothing more to do.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := encode(v)
	if err != nil { // a type that cannot be encoded is a mistake of ours
		panic(fmt.Sprintf("httpd: cannot encode %T: %v", v, err))
	}
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// encode leaves <, > and & as they are: the answers are read by programs.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer // the encoder writes once, so it has the right size at once
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}
