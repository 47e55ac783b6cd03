package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// In the scripts of testdata the command coffer is this program, built as users have it: the
// scripts run it over a thousand times, and with the race detector each time takes half a
// second more. What runs at once is tested with the detector in the rooms themselves.
func TestMain(m *testing.M) {
	os.Exit(withProgram(m.Run))
}

func withProgram(run func() int) int {
	dir, err := os.MkdirTemp("", "coffer-test-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		log.Fatalf("%v\n%s", err, out)
	}
	if err := os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH")); err != nil {
		log.Fatal(err)
	}
	return run()
}

// Every script runs twice: inside coffer run, and against coffer serve on a domain.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/client/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for kind, start := range map[string]func(*testscript.Env) error{"run": startRun, "serve": startServe} {
		t.Run(kind, func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Files: scripts, RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					return errors.Join(os.WriteFile(filepath.Join(env.WorkDir, "binary.dat"), []byte{0xff, 0xfe, 0}, 0o600), start(env)) // no text archive has it
				},
				Condition: func(condition string) (bool, error) {
					if condition != "run" && condition != "serve" {
						return false, fmt.Errorf("there is no condition %q", condition)
					}
					return condition == kind, nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){"jsonenv": jsonEnv, "mode": fileMode, "status": exitStatus},
			})
		})
	}
}

// jsonEnv sets a variable to a member of the JSON that the last command printed:
// jsonenv NAME path.of.members.
func jsonEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: jsonenv NAME path.of.members")
	}
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &value))
	for member := range strings.SplitSeq(args[1], ".") {
		object, ok := value.(map[string]any)
		if !ok {
			ts.Fatalf("%s: no object before %s", args[1], member)
		}
		value = object[member]
	}
	text, ok := value.(string)
	if !ok || text == "" {
		ts.Fatalf("%s is %v and no text", args[1], value)
	}
	ts.Setenv(args[0], text)
}

// fileMode compares the mode of a file: mode 600 FILE.
func fileMode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); (got == args[0]) == neg {
		ts.Fatalf("%s has the mode %s", args[1], got)
	}
}

// exitStatus runs a command that has to fail with a status and has to print nothing:
// status 2 coffer ….
func exitStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE COMMAND [ARGUMENT...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || fmt.Sprint(exit.ExitCode()) != args[0] {
		ts.Fatalf("%v, and not status %s", err, args[0])
	}
	if ts.ReadFile("stdout") != "" || ts.ReadFile("stderr") == "" {
		ts.Fatalf("what fails says so on stderr, and nothing else on stdout")
	}
}

// find looks for a program as the script will.
func find(env *testscript.Env, name string) (string, error) {
	for _, dir := range filepath.SplitList(env.Getenv("PATH")) {
		if path := filepath.Join(dir, name); isProgram(path) {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// startRun starts a coffer run whose program tells its environment and waits. The
// script's commands get this environment, so they are inside of that run.
func startRun(env *testscript.Env) error {
	coffer, err := find(env, "coffer")
	if err != nil {
		return err
	}
	run := exec.Command(coffer, "run", "--", "sh", "-c", "env -0; echo; exec cat")
	run.Env, run.Stderr = env.Vars, os.Stderr
	stdin, err := run.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := run.StdoutPipe()
	if err != nil {
		return err
	}
	if err := run.Start(); err != nil {
		return err
	}
	env.Defer(func() { _ = stdin.Close(); _ = run.Wait() })
	told, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return err
	}
	for entry := range strings.SplitSeq(strings.TrimRight(told, "\x00\n"), "\x00") {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "PWD" && name != "OLDPWD" {
			env.Setenv(name, value)
		}
	}
	return nil
}

// domain is that of the served installation; no resolver knows it.
const domain = "coffer.test"

var served = regexp.MustCompile(`msg=serving address=(\S+)`)

// startServe makes an installation and serves it. Its names lead to it through a proxy
// that sends every connection there: the names are real, and so is the port 443.
func startServe(env *testscript.Env) error {
	coffer, err := find(env, "coffer")
	if err != nil {
		return err
	}
	dir := filepath.Join(env.WorkDir, "installation")
	made := exec.Command(coffer, "init", "--dir", dir, "--domain", domain, "--listen", "127.0.0.1:0", "--output", "json")
	made.Env, made.Stderr = env.Vars, os.Stderr
	text, err := made.Output()
	if err != nil {
		return err
	}
	var m struct{ Environment map[string]string }
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	config := filepath.Join(dir, "coffer.yaml")
	if err := replaceIn(config, `# public_port: "443"`, "public_port: \"443\"\nbearer_issuers: [{url: \"https://outside.test\"}]"); err != nil {
		return err
	}
	address, err := serve(env, coffer, config)
	if err != nil {
		return err
	}
	through, stop, err := leadTo(address, "."+domain)
	if err != nil {
		return err
	}
	env.Defer(stop)
	env.Setenv("HTTPS_PROXY", "http://"+through)
	env.Setenv("NO_PROXY", "")
	env.Setenv("AZURE_AUTHORITY_HOST", "https://login."+domain) // what coffer env prints, see env.txt
	env.Setenv("AZURE_TENANT_ID", m.Environment["AZURE_TENANT_ID"])
	env.Setenv("AZURE_CLIENT_ID", m.Environment["AZURE_CLIENT_ID"])
	env.Setenv("AZURE_CLIENT_SECRET", m.Environment["AZURE_CLIENT_SECRET"])
	env.Setenv("SSL_CERT_FILE", filepath.Join(dir, "ca.pem"))
	return nil
}

func replaceIn(path, old, new string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte(old)) {
		return fmt.Errorf("%s has no %q", path, old)
	}
	return os.WriteFile(path, bytes.Replace(text, []byte(old), []byte(new), 1), 0o600)
}

// serve starts coffer serve and returns the address that it listens on.
func serve(env *testscript.Env, coffer, config string) (string, error) {
	server := exec.Command(coffer, "serve", "--config", config)
	server.Env = env.Vars
	stderr, err := server.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := server.Start(); err != nil {
		return "", err
	}
	env.Defer(func() { _ = server.Process.Signal(syscall.SIGTERM); _ = server.Wait() })
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if found := served.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(os.Stderr, stderr) }()
			return found[1], nil
		}
		fmt.Fprintln(os.Stderr, lines.Text())
	}
	return "", errors.New("coffer serve ended before it served")
}

// leadTo is a proxy that leads every connection to a host with the suffix to one address.
func leadTo(address, suffix string) (at string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.Host)
		if r.Method != http.MethodConnect || !strings.HasSuffix(host, suffix) {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		there, err := net.Dial("tcp", address)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = there.Close()
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		_, _ = io.Copy(here, there)
		_ = here.Close()
	})}
	go func() { _ = server.Serve(listener) }()
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}

// Scripts that make their own installation.
func TestInstallationScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/installation/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Files: scripts, RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"mode": fileMode, "status": exitStatus},
	})
}
