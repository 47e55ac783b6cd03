package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/audit"
	"coffer/internal/server"
)

// writeConfig writes a file for ReadConfig, which has whatever is needed beside more.
func writeConfig(t testing.TB, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "coffer.yaml")
	text := "domain: a.example.com\nlisten: 127.0.0.1:0\nstore: s\nroot_key_file: r\naudit_file: audit.log\ntls: {authority_file: c, authority_key_file: k}\n" + more
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// write makes the log of a configuration, writes a line and closes it.
func write(t *testing.T, more string) error {
	t.Helper()
	config, err := server.ReadConfig(writeConfig(t, more))
	if err != nil {
		t.Fatal(err)
	}
	sink, err := config.AuditSink(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	log, err := audit.Open(audit.Config{Sink: sink, Key: bytes.Repeat([]byte{7}, 32), Head: audit.Head{Node: "n"}, Now: time.Now})
	if err != nil {
		return err
	}
	err = log.Append(context.Background(), audit.Event{Operation: "SecretSet"}, true)
	if closed := log.Close(); err == nil {
		err = closed
	}
	return err
}

var rfc5424 = regexp.MustCompile(`^<110>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ coffer \d+ AuditEvent - \{"time":.*\}\}$`)

func TestSyslogDatagrams(t *testing.T) {
	for _, network := range []string{"udp", "unix"} {
		var conn net.PacketConn
		var err error
		if network == "udp" {
			conn, err = net.ListenPacket("udp", "127.0.0.1:0")
		} else {
			conn, err = net.ListenPacket("unixgram", filepath.Join(t.TempDir(), "log"))
		}
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := write(t, fmt.Sprintf("audit: {syslog: {network: %s, address: %q}}\n", network, conn.LocalAddr())); err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		for _, operation := range []string{"AuditLogOpened", "SecretSet"} {
			buffer := make([]byte, 64<<10)
			n, _, err := conn.ReadFrom(buffer)
			if err != nil || !rfc5424.Match(buffer[:n]) || !strings.Contains(string(buffer[:n]), operation) {
				t.Errorf("%s: %q, %v", network, buffer[:n], err)
			}
		}
	}
}

// readFrame reads a message with its length before it.
func readFrame(in *bufio.Reader) (string, error) {
	var length int
	if _, err := fmt.Fscanf(in, "%d ", &length); err != nil {
		return "", err
	}
	message := make([]byte, length)
	_, err := io.ReadFull(in, message)
	return string(message), err
}

func TestSyslogStreams(t *testing.T) {
	collector := httptest.NewUnstartedServer(nil) // for its certificate
	collector.StartTLS()
	defer collector.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: collector.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"tcp", "tls"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		more := ""
		if network == "tls" {
			listener = tls.NewListener(listener, &tls.Config{Certificates: collector.TLS.Certificates})
			more = fmt.Sprintf(", ca_file: %q", ca)
		}
		got := make(chan string, 10)
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			for in := bufio.NewReader(conn); ; {
				message, err := readFrame(in)
				if err != nil {
					return
				}
				got <- message
			}
		}()
		if err := write(t, fmt.Sprintf("audit: {syslog: {network: %s, address: %q%s}}\n", network, listener.Addr(), more)); err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		for _, operation := range []string{"AuditLogOpened", "SecretSet"} {
			if message := <-got; !rfc5424.MatchString(message) || !strings.Contains(message, operation) {
				t.Errorf("%s: %q", network, message)
			}
		}
		_ = listener.Close()
	}
}

// A collector that is not there, or whose certificate is not trusted, makes a line that has to be
// durable fail.
func TestCollectorIsMissing(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	defer untrusted.Close()
	for _, more := range []string{
		fmt.Sprintf("audit: {wait: 50ms, syslog: {network: tcp, address: %q}}\n", closed.Addr()),
		fmt.Sprintf("audit: {wait: 50ms, syslog: {network: tls, address: %q}}\n", untrusted.Listener.Addr()),
		fmt.Sprintf("audit: {wait: 50ms, http: {url: %q}}\n", untrusted.URL),
		fmt.Sprintf("audit: {wait: 50ms, http: {url: \"http://%s\"}}\n", closed.Addr()),
		"audit: {syslog: {network: tls, address: \"127.0.0.1:1\", ca_file: nothing}}\n",
		"audit: {http: {url: \"https://127.0.0.1:1\", token_file: nothing}}\n",
	} {
		if write(t, more) == nil {
			t.Errorf("written: %s", more)
		}
	}
}

func TestLinesArePosted(t *testing.T) {
	var mu sync.Mutex
	var got, token, kind string
	refuse := 2
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if refuse--; refuse >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		body, _ := io.ReadAll(r.Body)
		got, token, kind = got+string(body), r.Header.Get("Authorization"), r.Header.Get("Content-Type")
	}))
	defer collector.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("secret-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(t, fmt.Sprintf("audit: {wait: 1m, http: {url: %q, token_file: %q}}\n", collector.URL, file)); err != nil {
		t.Fatal(err)
	}
	if report, err := audit.Verify(strings.NewReader(got), bytes.Repeat([]byte{7}, 32)); err != nil || report.Lines != 2 || token != "Bearer secret-token" || kind != "application/x-ndjson" {
		t.Errorf("%+v, %v, %q, %q", report, err, token, kind)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := write(t, fmt.Sprintf("audit: {http: {url: %q, token_file: %q}}\n", collector.URL, file)); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v", err)
	}
}

// Wrong members of the configuration are refused, and say what is wrong.
func TestWrongConfig(t *testing.T) {
	for more, says := range map[string]string{
		"audit: {max_size: 1}":                                        "max_size",
		"audit: {keep: 3}":                                            "keep needs max_size_mb",
		"audit: {max_size_mb: -1}":                                    "cannot be negative",
		"audit: {wait: 2m}":                                           "at most 1m",
		"audit: {syslog: {network: tpc, address: a}}":                 "unix, udp, tcp or tls",
		"audit: {syslog: {network: tcp}}":                             "address is missing",
		"audit: {syslog: {network: tcp, address: a}}":                 "no host with a port",
		"audit: {syslog: {network: udp, address: 'a:1', ca_file: x}}": "tls only",
		"audit: {http: {}}":                                           "no https address",
		"audit: {http: {url: 'http://logs.example.com'}}":             "no https address",
		"audit: {http: {url: 'https://u:p@logs.example.com'}}":        "password",
		"rate_limits: {per_caller: -1}":                               "cannot be negative",
		"rate_limits: {per_vault: 1, published: true}":                "contradict each other",
		"balancers: [10.0.0.1]":                                       "no network",
		"balancers: [10.0.0.1/8]":                                     "no network",
		"admin: {}":                                                   "no address with a port",
		"admin: {listen: '0.0.0.0:1'}":                                "can be reached from other machines",
		"admin: {listen: ':1'}":                                       "can be reached from other machines",
		"admin: {listen: '127.0.0.1:1', client_ca_file: x}":           "no TLS",
		"admin: {lisen: '127.0.0.1:1'}":                               "lisen",
		"listen: 127.0.0.1:1":                                         "listen",
	} {
		if _, err := server.ReadConfig(writeConfig(t, more+"\n")); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", more, err)
		}
	}
}
