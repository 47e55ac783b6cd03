// Package compat_test runs other people's clients against the built binary. They are
// installed from the pinned lists beside this file into .cache/compat.
package compat_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/audit"
	"coffer/internal/seal"
	"coffer/internal/server"
	"coffer/internal/vault"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "coffer-compat-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "coffer")
	build := exec.Command("go", "-C", "../..", "build", "-trimpath", "-o", binary, "./cmd/coffer")
	build.Env, build.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// need says loudly that a runtime is missing. In CI that is a failure.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed; CI needs it", program)
		}
		t.Skipf("SKIPPED: %s is not installed, so this client was not tried", program)
	}
}

// command runs a program and returns what it printed; it fails the test if the exit
// code is another one.
func command(t *testing.T, dir, stdin string, code int, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), env...), strings.NewReader(stdin), &out, &out
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("%s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out.String())
	}
	return out.String()
}

// cache is a directory for one client; it is made anew when its list has changed.
func cache(t *testing.T, name string, lists ...string) (dir string, fresh bool) {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("../../.cache/compat", name))
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, text...)
	}
	have, _ := os.ReadFile(filepath.Join(dir, "installed"))
	if bytes.Equal(have, want) {
		return dir, false
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.WriteFile(filepath.Join(dir, "installed"), want, 0o644)
		}
	})
	return dir, true
}

func python(t *testing.T) string {
	need(t, "python3")
	dir, fresh := cache(t, "python", "python/requirements.txt")
	interpreter := filepath.Join(dir, "venv", "bin", "python")
	if fresh {
		command(t, ".", "", 0, nil, "python3", "-m", "venv", filepath.Join(dir, "venv"))
		command(t, ".", "", 0, nil, interpreter, "-m", "pip", "install", "--quiet", "--no-deps", "-r", "python/requirements.txt")
	}
	return interpreter
}

func javascript(t *testing.T) string {
	need(t, "node", "npm")
	dir, fresh := cache(t, "javascript", "javascript/package.json", "javascript/package-lock.json")
	for _, name := range []string{"package.json", "package-lock.json", "life.mjs", "denied.mjs", "every.mjs", "credential.mjs"} {
		text, err := os.ReadFile(filepath.Join("javascript", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if fresh {
		command(t, dir, "", 0, nil, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
	}
	return dir
}

func golang(t *testing.T) string { return built(t, "./goclient") }

// built builds a Go program of this module.
func built(t *testing.T, path string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(path))
	command(t, ".", "", 0, []string{"CGO_ENABLED=0"}, "go", "build", "-o", program, path)
	return program
}

func script(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var demo = []string{"KEY_VAULT_NAME=demo"}

func TestPythonLife(t *testing.T) {
	out := command(t, t.TempDir(), "", 0, demo, binary, "run", "--", python(t), script(t, "python/life.py"))
	if !strings.Contains(out, "life done") {
		t.Error(out)
	}
	t.Log(strings.TrimSpace(out))
}

func TestGoLife(t *testing.T) {
	if out := command(t, t.TempDir(), "", 0, demo, binary, "run", "--", golang(t)); !strings.Contains(out, "life done") {
		t.Error(out)
	}
}

func TestJavaScriptLife(t *testing.T) {
	dir := javascript(t)
	out := command(t, dir, "", 0, demo, binary, "run", "--", "node", "life.mjs")
	if !strings.Contains(out, "life done") {
		t.Error(out)
	}
	t.Log(strings.TrimSpace(out))
}

// The quickstart program runs unchanged from any directory, is quick, and the second
// time, on vaults that were kept, gets the service's conflict as an exception.
func TestPythonQuickstart(t *testing.T) {
	interpreter, program, data := python(t), script(t, "../../examples/python/quickstart.py"), filepath.Join(t.TempDir(), "vaults")
	start := time.Now()
	out := command(t, t.TempDir(), "mycert\n", 0, demo, binary, "run", "--data", data, "--", interpreter, program)
	if !strings.Contains(out, "it can be recovered until") || time.Since(start) > 4*time.Second {
		t.Errorf("after %v: %s", time.Since(start), out)
	}
	t.Logf("the quickstart took %v", time.Since(start))
	out = command(t, t.TempDir(), "mycert\n", 1, demo, binary, "run", "--data", data, "--", interpreter, program)
	if !strings.Contains(out, "ResourceExistsError") || !strings.Contains(out, "ObjectIsDeletedButRecoverable") {
		t.Error(out)
	}
}

func TestExitCodesAndInput(t *testing.T) {
	need(t, "sh")
	if out := command(t, t.TempDir(), "line\n", 7, nil, binary, "run", "--", "sh", "-c", "cat; exit 7"); out != "line\n" {
		t.Errorf("%q", out)
	}
	command(t, t.TempDir(), "", 137, nil, binary, "run", "--", "sh", "-c", "kill -9 $$")
	command(t, t.TempDir(), "", 127, nil, binary, "run", "--", "no-such-program")
	if out := command(t, t.TempDir(), "", 0, []string{"AZURE_TENANT_ID=mine", "ARM_CLIENT_SECRET=mine", "IDENTITY_ENDPOINT=mine"}, binary, "run", "--", "env"); strings.Contains(out, "=mine") {
		t.Error("an inherited credential reached the program")
	}
}

// A signal to coffer run reaches the program, also when there is no terminal but /dev/null,
// as in cron and in CI.
func TestSignals(t *testing.T) {
	need(t, "sh")
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1} {
		cmd := exec.Command(binary, "run", "--", "sh", "-c", "trap 'exit 42' INT TERM QUIT HUP USR1; echo up; while :; do sleep 0.05; done")
		out, err := cmd.StdoutPipe() // the standard input is /dev/null
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Process.Signal(signal)
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 42 {
			t.Errorf("%v: exit code %d", signal, code)
		}
	}
}

// A directory of coffer serve is not taken for one of kept vaults.
func TestRunOnAnInstallation(t *testing.T) {
	dir := t.TempDir()
	command(t, ".", "", 0, nil, binary, "init", "--dir", dir, "--domain", "coffer.test", "--vault", "main")
	if out := command(t, ".", "", 1, nil, binary, "run", "--data", dir, "--", "true"); !strings.Contains(out, "installation of coffer serve") {
		t.Error(out)
	}
	command(t, ".", "", 1, nil, binary, "run", "--data", "", "--", "true")
}

// restricted prepares kept vaults in which the run's principal may not purge.
func restricted(t *testing.T) string {
	t.Helper()
	data := filepath.Join(t.TempDir(), "vaults")
	out := command(t, ".", "", 0, nil, binary, "run", "--data", data, "--", "env")
	_, appID, _ := strings.Cut(out, "AZURE_CLIENT_ID=")
	appID, _, _ = strings.Cut(appID, "\n")
	root, err := seal.ReadRootKeyFile(filepath.Join(data, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	core, err := server.Open(ctx, server.Options{StorePath: filepath.Join(data, "coffer.db"), Root: root, Sink: audit.Discard{}, Log: slog.New(slog.DiscardHandler), Names: server.PublicNames()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	}()
	app, err := core.Tenant.GetApplication(ctx, appID)
	if err != nil {
		t.Fatal(err)
	}
	tenant := core.Tenant.TenantID()
	if err := core.Vaults.CreateVault(ctx, vault.Vault{Name: "locked", TenantID: tenant, Policies: []access.Policy{
		{TenantID: tenant, ObjectID: app.ObjectID, Certificates: []string{"create", "get", "list", "delete"}},
	}}); err != nil {
		t.Fatal(err)
	}
	return data
}

func TestMissingPermission(t *testing.T) {
	data := restricted(t)
	locked := []string{"KEY_VAULT_NAME=locked"}
	t.Run("go", func(t *testing.T) {
		command(t, ".", "", 0, locked, binary, "run", "--data", data, "--", golang(t), "denied")
	})
	t.Run("python", func(t *testing.T) {
		command(t, ".", "", 0, locked, binary, "run", "--data", data, "--", python(t), script(t, "python/denied.py"))
	})
	t.Run("javascript", func(t *testing.T) {
		command(t, javascript(t), "", 0, locked, binary, "run", "--data", data, "--", "node", "denied.mjs")
	})
	t.Run("java", func(t *testing.T) {
		out := command(t, ".", "", 0, locked, append([]string{binary, "run", "--data", data, "--"}, java(t, "Denied")...)...)
		if !strings.Contains(out, "denied done") {
			t.Error(out)
		}
	})
}

// Nothing is left of a run that was killed, and its store is never readable.
func TestKilledRunLeavesNothing(t *testing.T) {
	need(t, "sh")
	temp := t.TempDir()
	cmd := exec.Command(binary, "run", "--", "sh", "-c", "echo up; exec sleep 600")
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	children, _ := exec.Command("pgrep", "-P", itoa(cmd.Process.Pid), "sleep").Output()
	left, _ := filepath.Glob(filepath.Join(temp, "coffer-run-*"))
	if len(left) != 1 {
		t.Fatalf("%v", left)
	}
	if names, _ := filepath.Glob(filepath.Join(left[0], "*.db")); len(names) != 0 {
		t.Errorf("the store has a name: %v", names)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) == 0 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("left behind: %v", left)
		}
	}
	for _, pid := range strings.Fields(string(children)) {
		_ = exec.Command("kill", pid).Run()
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// On an own domain, clients work by configuration alone. The domain's names lead to the
// loopback interface by a resolver that this test cannot install, so the program is the
// Go client with its own dialler; what is tried here is the server's side.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	out := command(t, ".", "", 0, nil, binary, "init", "--dir", dir, "--domain", "coffer.test", "--listen", address, "--vault", "main", "--output", "json")
	if !strings.Contains(out, `"client_secret"`) {
		t.Fatal(out)
	}
	command(t, ".", "", 1, nil, binary, "init", "--dir", dir, "--domain", "coffer.test")
	cmd := exec.Command(binary, "serve", "--config", filepath.Join(dir, "coffer.yaml"))
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	serveLife(t, dir, address, out)
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
}
