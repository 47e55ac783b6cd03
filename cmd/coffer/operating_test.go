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
	admin := freePort(t)
	script := commands(t, operating)
	script = strings.ReplaceAll(script, "/var/lib/coffer", filepath.Join(dir, "installation"))
	script = strings.ReplaceAll(script, "9443", admin)
	first, rest, ok := strings.Cut(script, "coffer serve")
	if !ok {
		t.Fatal("the page starts no server")
	}
	// What the page says to write into the configuration, and a port that is free.
	edit := fmt.Sprintf("echo 'admin: {listen: \"127.0.0.1:%s\"}' >> %[2]s\nsed -i.old 's/^listen: .*/listen: 127.0.0.1:0/' %[2]s\n", admin, filepath.Join(dir, "installation", "coffer.yaml"))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-eu", "-c", "trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n"+first+edit+"coffer serve"+rest)
	shell.Dir, shell.WaitDelay = dir, time.Second
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(coffer)+string(os.PathListSeparator)+os.Getenv("PATH"), "NO_PROXY=127.0.0.1")
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s\n%s", err, script, out)
	}
	for _, said := range []string{`{"status":"ok"}`, "coffer_audit_working 1", "VaultPut", "audit.log.000001", "verified"} {
		if !strings.Contains(string(out), said) {
			t.Errorf("no %q in:\n%s", said, out)
		}
	}
	if strings.Contains(string(out), "CHANGED") {
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
		for _, name := range regexp.MustCompile("`([a-z_.]+)`").FindAllStringSubmatch(cell, -1) {
			out = append(out, name[1])
		}
	}
	return out
}

// The page has every member of the configuration, and no other. A section that it leaves
// to another page is named there.
func TestOperatingMembers(t *testing.T) {
	listed := documented(t)
	members := server.Members()
	for _, name := range listed {
		if !slices.ContainsFunc(members, func(m string) bool { return m == name || strings.HasPrefix(m, name+".") }) {
			t.Errorf("%s has the member %s, and the configuration does not", operating, name)
		}
	}
	var pages strings.Builder
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(paths) < 3 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, path := range append(paths, "../../internal/server/init.go") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pages.Write(text)
	}
	for _, name := range members {
		top, _, _ := strings.Cut(name, ".")
		here := slices.ContainsFunc(listed, func(l string) bool { return l == top || strings.HasPrefix(l, top+".") })
		switch {
		case here && !slices.Contains(listed, name) && !slices.Contains(listed, top):
			t.Errorf("%s does not have the member %s", operating, name)
		case !here && !strings.Contains(pages.String(), top):
			t.Errorf("no page has the member %s", name)
		}
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
