package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/internal/server"
)

const operating = "../../docs/operating.md"

// commands returns what a page says to run. Whatever else stands in a block has to say
// that it is something else.
func commands(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	kind, inside := "", false
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "```"):
			if inside = !inside; inside {
				if kind = strings.TrimSpace(line[3:]); kind != "sh" && kind != "yaml" {
					t.Errorf("%s: a block is sh, which is run, or yaml, not %q", page, kind)
				}
			}
		case inside && kind == "sh":
			out = append(out, line)
		case inside && strings.HasPrefix(strings.TrimSpace(line), "coffer "):
			t.Errorf("%s: a command in a block that is not run: %s", page, line)
		}
	}
	if len(out) < 10 {
		t.Fatalf("%s has only %d commands", page, len(out))
	}
	return strings.Join(out, "")
}

// freePort is a port that nobody uses now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// Every command of the page runs, in the page's order, in one shell; only the directory
// and the ports are others.
func TestOperatingCommands(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the page is for unix")
	}
	coffer, err := exec.LookPath("coffer") // this program, see TestMain
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := commands(t, operating)
	first, rest, ok := strings.Cut(script, "coffer serve")
	if !ok {
		t.Fatal("the page starts no server")
	}
	// What the page says to write into the configuration and to keep, and ports that are free.
	admin, port := freePort(t), freePort(t)
	edit := fmt.Sprintf(`
sed -i.old 's/^listen: .*/listen: 127.0.0.1:%s/' /var/lib/coffer/coffer.yaml
echo 'admin: {listen: "127.0.0.1:%s"}' >> /var/lib/coffer/coffer.yaml
ADMINISTRATOR=$(sed -n 's/.*AZURE_CLIENT_ID=//p' made)
sed -n 's/.*AZURE_CLIENT_SECRET=//p' made > /safe/administrator.secret
chmod 600 /safe/administrator.secret
`, port, admin)
	script = "trap 'kill $pid 2>/dev/null || :' EXIT\npid=\n{\n" + first + "} > made\ncat made\n" + edit + "coffer serve" + rest
	for name, to := range map[string]string{"/var/lib/coffer": "installation", "/backup/": "backup/", "/safe/": "safe/"} {
		script = strings.ReplaceAll(script, name, filepath.Join(dir, to)+strings.Repeat("/", strings.Count(to, "/")))
	}
	script = strings.ReplaceAll(script, "9443", admin)
	for _, made := range []string{"backup", "safe"} {
		if err := os.Mkdir(filepath.Join(dir, made), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	through, stop, err := leadTo("127.0.0.1:"+port, ".coffer.example.com")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-eux", "-c", script)
	shell.Dir, shell.WaitDelay = dir, time.Second
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(coffer)+string(os.PathListSeparator)+os.Getenv("PATH"), "HTTPS_PROXY=http://"+through, "NO_PROXY=127.0.0.1")
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for _, said := range []string{`{"status":"ok"}`, "coffer_audit_working 1", "VaultPut", "audit.log.000001", "verified", " 0 things were wrong", "StoreRestore", "removed the secret"} {
		if !strings.Contains(string(out), said) {
			t.Errorf("no %q in:\n%s", said, out)
		}
	}
	if strings.Contains(string(out), "CHANGED\n") {
		t.Errorf("%s", out)
	}
}

// documented are the members that the page's table has.
func documented(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(operating)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "| member | what it says |")
	section, _, _ = strings.Cut(section, "\n\n")
	var out []string
	for line := range strings.Lines(section) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, name := range regexp.MustCompile("`([a-z0-9_.]+)`").FindAllStringSubmatch(cell, -1) {
			out = append(out, name[1])
		}
	}
	return out
}

// The page has every member of the configuration, and no other.
func TestOperatingMembers(t *testing.T) {
	listed, members := documented(t), server.Members()
	for _, name := range listed {
		if !slices.Contains(members, name) {
			t.Errorf("%s has the member %s, and the configuration does not", operating, name)
		}
	}
	for _, name := range members {
		if !slices.Contains(listed, name) {
			t.Errorf("%s does not have the member %s", operating, name)
		}
	}
	if len(members) < 40 {
		t.Errorf("only %d members were found", len(members))
	}
}

// What init writes is what the page describes.
func TestTemplateIsRead(t *testing.T) {
	made, err := server.Initialize(context.Background(), server.Init{Dir: t.TempDir(), Domain: "a.example.com", Listen: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.ReadConfig(made.Config); err != nil {
		t.Error(err)
	}
}
