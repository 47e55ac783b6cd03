package faults_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// coffer runs a command for the installation, and fails the test if its exit code is
// another one.
func (i *installation) coffer(t *testing.T, code int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // only so that nothing hangs
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append(args, "--config", filepath.Join(i.dir, "coffer.yaml"))...)
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("coffer %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return string(out)
}

// check reads the whole store beside the server, and once more after its end; then
// nothing is left that could be wrong with it, or with the log.
func (i *installation) check(t *testing.T) {
	t.Helper()
	i.coffer(t, 0, "check")
	i.stop(t)
	i.coffer(t, 0, "check")
	i.coffer(t, 0, "audit", "verify")
}

// pid is the node's.
func (i *installation) pid() string { return fmt.Sprint(i.node.Process.Pid) }

// suffer has clients at work while a fault comes and goes. What they were told has to be
// true, every answer that failed was a 503, and afterwards the node serves by itself.
func (i *installation) suffer(t *testing.T, c clients, round int, fault, heal func()) {
	t.Helper()
	c.patience = 3 * time.Minute // what could not even be put off is tried again when its lease has ended
	l := begin(c, round, 6, 2, 6)
	time.Sleep(200 * time.Millisecond)
	fault()
	time.Sleep(1500 * time.Millisecond) // long enough that each client has met it
	heal()
	l.end()
	i.recovered(t, c)
	l.verify(t, c)
	after := begin(c, round+1, 4, 1, 4)
	time.Sleep(300 * time.Millisecond)
	after.end()
	after.verify(t, c)
	for _, w := range after.writers {
		if w.unknown != nil {
			t.Errorf("%s: after the fault a %s had no clear outcome", w.name, w.unknown.kind)
		}
	}
	if after.acknowledged() == 0 {
		t.Error("nothing was acknowledged after the fault")
	}
	if t.Failed() {
		t.Fatalf("the node said:\n%s", i.log.String())
	}
}

// recovered waits until the node makes changes again.
func (i *installation) recovered(t *testing.T, c clients) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if _, last = tell(c.secrets, step{set: true, name: "recovered", value: "yes"}); last == nil {
			return
		}
	}
	t.Fatalf("the node did not recover: %v\n%s", last, i.log.String())
}

// prlimit sets a limit of the node while it runs.
func (i *installation) prlimit(t *testing.T, what string, most int64) {
	t.Helper()
	value := fmt.Sprint(most)
	if most < 0 {
		value = "unlimited"
	}
	if out, err := exec.Command("prlimit", "--pid", i.pid(), "--"+what+"="+value+":").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// No file grows any more, as on a disk that is full; then there is room again.
func TestFilesThatDoNotGrow(t *testing.T) {
	i := install(t, t.TempDir())
	i.start(t)
	c := i.clients(t)
	for round := range 3 {
		i.suffer(t, c, 2*round, func() {
			i.prlimit(t, "fsize", size(t, filepath.Join(i.dir, "audit.log")))
		}, func() { i.prlimit(t, "fsize", -1) })
	}
	i.check(t)
}

// The disk is full, and then it is not. Where nobody may mount a disk of a few megabytes,
// the test above has to do.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "coffer", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no file system can be mounted here: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	i := install(t, filepath.Join(dir, "installation"))
	i.start(t)
	c := i.clients(t)
	rest := filepath.Join(dir, "rest")
	for round := range 3 {
		i.suffer(t, c, 2*round, func() {
			if err := os.WriteFile(rest, make([]byte, 64<<20), 0o600); err == nil {
				t.Error("the disk is not full")
			}
		}, func() { _ = os.Remove(rest) })
	}
	i.check(t)
}

// The node has no file descriptors left, for connections or anything else.
func TestNoFileDescriptors(t *testing.T) {
	i := install(t, t.TempDir())
	i.start(t)
	c := i.clients(t)
	i.suffer(t, c, 0, func() {
		open, err := os.ReadDir("/proc/" + i.pid() + "/fd")
		if err != nil {
			t.Fatal(err)
		}
		i.prlimit(t, "nofile", int64(len(open)))
		c.http.CloseIdleConnections() // new ones wait to be accepted
	}, func() { i.prlimit(t, "nofile", 4096) })
	i.check(t)
}

// The directory of the audit log vanishes, and is made again.
func TestAuditDirectoryVanishes(t *testing.T) {
	i := install(t, t.TempDir())
	logs := filepath.Join(i.dir, "logs")
	config := filepath.Join(i.dir, "coffer.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, bytes.Replace(text, []byte("\naudit_file: audit.log"), []byte("\naudit_file: logs/audit.log"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(i.dir, "audit.log"), filepath.Join(logs, "audit.log")); err != nil {
		t.Fatal(err)
	}
	i.start(t)
	c := i.clients(t)
	i.suffer(t, c, 0, func() {
		if err := os.Rename(logs, logs+".away"); err != nil {
			t.Fatal(err)
		}
	}, func() {
		if err := os.Mkdir(logs, 0o700); err != nil {
			t.Fatal(err)
		}
	})
	if text, err := os.ReadFile(filepath.Join(logs, "audit.log")); err != nil || !bytes.Contains(text, []byte("AuditLogReopened")) {
		t.Errorf("the log does not go on: %v", err)
	}
	i.check(t)
}

// A node that may have little memory serves, and does not grow.
func TestLittleMemory(t *testing.T) {
	i := install(t, t.TempDir())
	i.start(t, "env", "GOMEMLIMIT=48MiB")
	c := i.clients(t)
	for round := range 4 {
		l := begin(c, round, 12, 2, 12)
		time.Sleep(500 * time.Millisecond)
		l.end()
		l.verify(t, c)
	}
	status, err := os.ReadFile("/proc/" + i.pid() + "/status")
	if err != nil {
		t.Fatal(err)
	}
	var kib int
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(after, &kib); err != nil || kib > 160<<10 {
		t.Errorf("the node had up to %d KiB: %v", kib, err)
	}
	t.Logf("the node had up to %d MiB", kib>>10)
	i.check(t)
}

// The node is killed while its keys are rotated, its records sealed anew, and a backup is
// written. Afterwards everything opens, and a backup that is there is whole.
func TestKilledWhileKeysRotate(t *testing.T) {
	i := install(t, t.TempDir())
	i.start(t)
	c := i.clients(t)
	verbs := [][]string{{"seal", "rotate-data"}, {"seal", "reseal"}, {"seal", "rotate-root"}, {"backup"}, {"seal", "rotate-data", "--blobs"}, {"seal", "pin", "--file", filepath.Join(i.dir, "pin")}}
	random := rand.New(rand.NewPCG(3, 4))
	var earlier []*load
	for round := range 24 {
		l := begin(c, round, 3, 1, 2)
		time.Sleep(50 * time.Millisecond)
		verb := verbs[round%len(verbs)]
		if verb[0] == "backup" {
			verb = []string{"backup", filepath.Join(i.dir, fmt.Sprintf("%d.backup", round))}
		}
		cmd := exec.Command(binary, append(verb, "--config", filepath.Join(i.dir, "coffer.yaml"))...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond) // the command takes a while to begin
		i.kill(t)
		_ = cmd.Wait() // if the node had died before it asked, it did the work itself
		l.end()
		c.http.CloseIdleConnections()
		i.start(t)
		l.verify(t, c)
		earlier = append(earlier, l)
		if t.Failed() {
			t.Fatalf("in round %d, %v; the node said:\n%s", round, verb, i.log.String())
		}
	}
	for _, l := range earlier {
		l.verify(t, c)
	}
	i.check(t)
	i.restoreAll(t)
}

// restoreAll restores every backup that has its name.
func (i *installation) restoreAll(t *testing.T) {
	t.Helper()
	backups, err := filepath.Glob(filepath.Join(i.dir, "*.backup"))
	if err != nil {
		t.Fatal(err)
	}
	for _, backup := range backups {
		to := &installation{dir: t.TempDir()}
		for _, name := range []string{"coffer.yaml", "root.key", "ca.pem", "ca.key"} {
			text, err := os.ReadFile(filepath.Join(i.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(to.dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		to.coffer(t, 0, "restore", backup)
		to.coffer(t, 0, "check")
	}
	t.Logf("%d backups restored", len(backups))
}

// A second process on one store is told so, and harms nobody.
func TestTwoProcessesOneStore(t *testing.T) {
	i := install(t, t.TempDir())
	i.start(t)
	c := i.clients(t)
	l := begin(c, 0, 3, 1, 2)
	for range 3 {
		if out := i.coffer(t, 1, "serve"); !strings.Contains(out, "already open in another process") {
			t.Error(out)
		}
	}
	l.end()
	l.verify(t, c)
	i.check(t)
}

// Stores that are not what the configuration says: a clear error, an exit code, and
// nothing changed.
func TestStoresThatDoNotOpen(t *testing.T) {
	i, other := install(t, t.TempDir()), install(t, t.TempDir())
	good, err := os.ReadFile(filepath.Join(i.dir, "coffer.db"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(other.dir, "coffer.db"))
	if err != nil {
		t.Fatal(err)
	}
	for name, one := range map[string]struct {
		store []byte
		says  string
	}{
		"of another installation": {foreign, "the root key does not open this store"},
		"of a newer version":      {bytes.ReplaceAll(good, []byte(`"format":1,`), []byte(`"format":9,`)), "use a newer version of Coffer"},
		"cut short":               {good[:12288], "is not a whole store of Coffer"},
		"cut to its beginning":    {good[:8192], "is not a whole store of Coffer"},
		"of something else":       {bytes.Repeat([]byte("something else\n"), 1<<12), "is not a whole store of Coffer"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(i.dir, "coffer.db")
			if err := os.WriteFile(path, one.store, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, verb := range []string{"serve", "check"} {
				if out := i.coffer(t, 1, verb); !strings.Contains(out, one.says) || strings.Contains(out, "panic") {
					t.Error(out)
				}
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, one.store) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
	if err := os.WriteFile(filepath.Join(i.dir, "coffer.db"), good, 0o600); err != nil {
		t.Fatal(err)
	}
	i.coffer(t, 0, "check")
}
