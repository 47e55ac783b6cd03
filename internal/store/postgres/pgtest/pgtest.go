//go:build unix

// Package pgtest runs a PostgreSQL server for a test: its own data in a directory of its
// own, on a Unix socket that nobody else reaches, stopped when the test ends.
//
// It needs the server's programs: of the system (Debian: the package postgresql), or where the
// variable COFFER_POSTGRES says that `make postgres` has unpacked them. Where they are missing the test is skipped, and with CI=true it fails.
package pgtest

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
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
	hold    io.Closer // what keeps the server alive
	next    int
	port    string   // of the socket's name, and of TCP if it listens there
	more    []string // options of the server
}

// Start makes a cluster and starts its server.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, bin: programs(t), port: "5432"}
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

// watch ends the server by the immediate stop of PostgreSQL, which takes its children along,
// once its own input ends: even when the test is killed no server is left behind.
const watch = `"$@" </dev/null & server=$!; read -r _; kill -QUIT $server; wait $server`

// Run starts the server, again after Kill.
func (s *Server) Run() {
	s.t.Helper()
	s.process = s.command("postgres", append([]string{"-D", filepath.Join(s.dir, "data"), "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=60"}, s.more...)...)
	s.process.Args = append([]string{"sh", "-c", watch, "sh", s.process.Path}, s.process.Args[1:]...)
	s.process.Path = "/bin/sh"
	var log bytes.Buffer
	s.process.Stdout, s.process.Stderr = &log, &log
	var err error
	if s.hold, err = s.process.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); s.command("pg_isready", "-h", s.dir, "-p", s.port, "-U", "coffer").Run() != nil; {
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
	_ = s.hold.Close()
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
	if root := os.Getenv(unpacked); root != "" && strings.HasPrefix(s.bin, root) {
		libraries, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*"))
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	}
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

// unpacked names the variable with the directory that `make postgres` unpacks into.
const unpacked = "COFFER_POSTGRES"

// programs is the directory of the server's programs.
func programs(t testing.TB) string {
	t.Helper()
	for _, root := range []string{"/", os.Getenv(unpacked)} {
		found, err := filepath.Glob(filepath.Join(root, "usr/lib/postgresql/*/bin/initdb"))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 && root != "" {
			return filepath.Dir(found[len(found)-1])
		}
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	const missing = "PostgreSQL is not there: run make postgres (Debian), or install it"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}
