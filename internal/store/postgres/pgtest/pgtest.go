//go:build unix

// Package pgtest runs a PostgreSQL server for a test: its own data in a directory of its
// own, on a Unix socket that nobody else reaches, stopped when the test ends.
//
// It needs the server's programs (Debian: the package postgresql), which need not be in
// the PATH. Where they are missing the test is skipped, and with CI=true it fails.
package pgtest

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A Server is a PostgreSQL that runs for a test.
type Server struct {
	t       testing.TB
	bin     string
	dir     string // of the data and the socket
	process *exec.Cmd
	next    int
}

// Start makes a cluster and starts its server.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, bin: programs(t)}
	dir, err := os.MkdirTemp("", "coffer-pg-") // the path of a socket has at most 107 bytes, so not t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	s.dir = dir
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if as := unprivileged(t); as != nil {
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	s.do("initdb", "-D", filepath.Join(dir, "data"), "-U", "coffer", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

// Run starts the server, again after Kill.
func (s *Server) Run() {
	s.t.Helper()
	s.process = s.command("postgres", "-D", filepath.Join(s.dir, "data"), "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=60")
	var log bytes.Buffer
	s.process.Stdout, s.process.Stderr = &log, &log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); s.command("pg_isready", "-h", s.dir, "-U", "coffer").Run() != nil; {
		if time.Now().After(deadline) {
			s.Kill()
			s.t.Fatalf("PostgreSQL does not start:\n%s", log.String())
		}
	}
}

// Kill ends the server at once, as a crash does. It does nothing when none runs.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(syscall.SIGQUIT) // the immediate stop of PostgreSQL, which takes its children along
	_ = s.process.Wait()
	s.process = nil
}

// Database makes a fresh database, and returns the URL that opens it.
func (s *Server) Database() string {
	s.t.Helper()
	s.next++
	name := fmt.Sprintf("test%d", s.next)
	s.do("createdb", "-h", s.dir, "-U", "coffer", name)
	return "postgres://coffer@/" + name + "?sslmode=disable&host=" + url.QueryEscape(s.dir)
}

// SQL runs a statement in the database of a URL.
func (s *Server) SQL(target, statement string) {
	s.t.Helper()
	s.do("psql", "--quiet", "--no-psqlrc", "-d", target, "-c", statement)
}

func (s *Server) do(name string, args ...string) {
	s.t.Helper()
	if out, err := s.command(name, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...) //nolint:gosec // of the installation that was found
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: unprivileged(s.t)}
	return cmd
}

// unprivileged is whom the server runs as if the test is root's, which PostgreSQL refuses.
func unprivileged(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	who, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.ParseUint(who.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(who.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatalf("the user nobody has the ids %s and %s", who.Uid, who.Gid)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// programs is the directory of the server's programs.
func programs(t testing.TB) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	const missing = "PostgreSQL is not installed (Debian: apt-get install postgresql)"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}
