package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// The admin socket is how the commands seal, check and backup reach a server that has the
// store open. It is a socket in the file system that only the server's user, and root, can
// open; the network does not reach it. Without a server the same commands open the store
// themselves.

// adminSocket is the name of the socket beside the store; noSocket in the configuration
// means that there is none.
const (
	adminSocket = "coffer.sock"
	noSocket    = "none"
)

// An AdminRequest is what a command asks; which members count depends on the verb.
type AdminRequest struct {
	Use     seal.Use    `json:"use,omitempty"`
	Key     string      `json:"key,omitempty"`
	Confirm string      `json:"confirm,omitempty"`
	To      *SealChoice `json:"to,omitempty"`
	Repair  bool        `json:"repair,omitempty"`
	File    string      `json:"file,omitempty"` // absolute
	Base    string      `json:"base,omitempty"` // absolute
}

// The verbs.
const (
	VerbStatus     = "seal-status"
	VerbRotateRoot = "seal-rotate-root"
	VerbRotateData = "seal-rotate-data"
	VerbReseal     = "seal-reseal"
	VerbRetire     = "seal-retire"
	VerbChange     = "seal-change"
	VerbPin        = "seal-pin"
)

// maxAdmin bounds a request.
const maxAdmin = 1 << 20

var errNoVerb = errors.New("this server does not know the command: use the version of coffer that the server has")

// administer does what a command asks, and returns what it prints.
func (c *Core) administer(ctx context.Context, verb string, r AdminRequest) (any, error) {
	switch verb {
	case VerbStatus:
		return c.sealStatus(ctx)
	case VerbRotateRoot:
		return c.thenStatus(ctx, c.rotateRoot(ctx))
	case VerbRotateData:
		if r.Use != seal.Records && r.Use != seal.Blobs {
			return nil, fmt.Errorf("data keys are for %s or for %s, not for %q", seal.Records, seal.Blobs, r.Use)
		}
		return c.thenStatus(ctx, c.rotateData(ctx, r.Use))
	case VerbReseal:
		return c.reseal(ctx)
	case VerbRetire:
		return c.thenStatus(ctx, c.retire(ctx, r.Key, r.Confirm))
	case VerbBackup:
		return c.backup(ctx, r.File, r.Base)
	case VerbCheck:
		return c.check(ctx, r.Repair)
	case VerbPin:
		return c.pin(ctx)
	case VerbChange:
		if r.To == nil {
			return nil, errors.New("the new seal is missing")
		}
		if err := r.To.check(); err != nil {
			return nil, err
		}
		provider, err := r.To.open(nil)
		if err != nil {
			return nil, err
		}
		return c.thenStatus(ctx, c.changeProvider(ctx, provider))
	}
	return nil, errNoVerb
}

func (c *Core) thenStatus(ctx context.Context, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return c.sealStatus(ctx)
}

// serveCommand answers a command.
func (c *Core) serveCommand(w http.ResponseWriter, r *http.Request) {
	request, err := parseAdmin(http.MaxBytesReader(w, r.Body, maxAdmin))
	var answer any
	if err == nil {
		answer, err = c.administer(r.Context(), r.PathValue("verb"), request)
	}
	if err != nil {
		c.Options.Log.Warn("a command failed", "command", r.PathValue("verb"), "error", err)
		answer = adminError{Error: err.Error(), Seal: errors.Is(err, seal.ErrUnavailable)}
		w.WriteHeader(http.StatusBadRequest)
	}
	_ = json.NewEncoder(w).Encode(answer) // the command has gone, if it fails
}

// parseAdmin reads a request, strictly.
func parseAdmin(body io.Reader) (r AdminRequest, err error) {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return AdminRequest{}, fmt.Errorf("the request cannot be read: %w", err)
	}
	if decoder.More() {
		return AdminRequest{}, errors.New("the request is more than one")
	}
	return r, nil
}

// An adminError is the answer to a command that failed.
type adminError struct {
	Error string `json:"error"`
	Seal  bool   `json:"seal,omitempty"` // the seal could not be reached
}

// serveAdmin listens on the admin socket; stop ends it, and what runs there.
func (c Config) serveAdmin(core *Core) (stop func() error, err error) {
	if c.AdminSocket == "" || runtime.GOOS == "windows" {
		return func() error { return nil }, nil
	}
	listener, err := listenPrivate(c.AdminSocket)
	if err != nil {
		return nil, fmt.Errorf("the admin socket: %w; name another path in admin_socket, or none", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{verb}", core.serveCommand)
	ctx, cancel := context.WithCancel(context.Background())
	front := &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeader, BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(core.Options.Log.Handler(), slog.LevelDebug),
	}
	go func() { _ = front.Serve(listener) }() // until stop
	return func() error {
		cancel()
		waiting, done := context.WithTimeout(context.Background(), drainTime)
		defer done()
		return errors.Join(front.Shutdown(waiting), os.Remove(c.AdminSocket))
	}, nil
}

// listenPrivate makes a socket that only this user can open. It gets its mode under
// another name, in a directory that is closed, so that it is never open to others. A
// socket that a server left behind is replaced: whoever has the store open is alone. Nothing
// else is: a path that was mistaken may be that of a key.
func listenPrivate(path string) (net.Listener, error) {
	if there, err := os.Lstat(path); err == nil && there.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("%s is there and is no socket; nothing was changed", path)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".admin-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	address, err := net.ResolveUnixAddr("unix", filepath.Join(dir, "s"))
	if err != nil {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", address)
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(address.Name, 0o600), os.Rename(address.Name, path)); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// errNoServer means that no server answers at the admin socket.
var errNoServer = errors.New("no server runs here")

// Administer has the server do what a command asks, or does it itself if no server runs.
// out is a pointer to what the verb answers with.
func (c Config) Administer(ctx context.Context, verb string, r AdminRequest, out any, log *slog.Logger) error {
	err := c.ask(ctx, verb, r, out)
	if !errors.Is(err, errNoServer) {
		return err
	}
	if verb == VerbPin || verb == VerbCheck {
		c = c.pinRemoved()
	}
	core, err := c.open(ctx, false, log, nil)
	if errors.Is(err, store.ErrLocked) {
		return fmt.Errorf("%w; a server has it open that does not answer at %s", err, c.AdminSocket)
	}
	if err != nil {
		return err
	}
	answer, err := core.administer(ctx, verb, r)
	if err = errors.Join(err, core.Close()); err != nil {
		return err
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, out)
}

// ask sends a command to the server.
func (c Config) ask(ctx context.Context, verb string, r AdminRequest, out any) error {
	if c.AdminSocket == "" {
		return errNoServer
	}
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialer := net.Dialer{Timeout: 5 * time.Second}
		return dialer.DialContext(ctx, "unix", c.AdminSocket)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://coffer/"+verb, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return errNoServer
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("the server's socket %s is its user's alone: run the command as that user, or as root", c.AdminSocket)
	case err != nil:
		return fmt.Errorf("the server did not answer to its end: %w; what it was doing may have been done; ask for coffer seal status", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		return json.NewDecoder(answer.Body).Decode(out)
	}
	var failed adminError
	if err := json.NewDecoder(answer.Body).Decode(&failed); err != nil {
		return fmt.Errorf("the server answered with HTTP %d", answer.StatusCode)
	}
	if failed.Seal {
		return &remoteError{failed.Error, seal.ErrUnavailable}
	}
	return &remoteError{failed.Error, nil}
}

// A remoteError is the server's text, with the kind that the exit code depends on.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }
