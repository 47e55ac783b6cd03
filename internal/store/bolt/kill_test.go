package bolt_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"coffer/internal/store"
	"coffer/internal/store/bolt"
)

// rowTime is when the due rows of the child are due.
var rowTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestMain runs the child of the tests below when it is asked to.
func TestMain(m *testing.M) {
	if path := os.Getenv("COFFER_TEST_CHILD"); path != "" {
		child(path, bolt.Options{Ephemeral: os.Getenv("COFFER_TEST_EPHEMERAL") != ""})
	}
	os.Exit(m.Run())
}

// child writes pairs of records until it is killed, and says what was acknowledged.
func child(path string, o bolt.Options) {
	s, err := bolt.Open(path, o)
	if err != nil {
		fmt.Println("error", err, ".")
		os.Exit(1)
	}
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				pair := fmt.Sprintf("%d/%d/%d", os.Getpid(), w, i)
				if err := putPair(s, pair); err != nil {
					panic(err)
				}
				fmt.Println("pair", pair, ".") // the point tells a whole line
			}
		}()
	}
	select {}
}

// putPair makes two records and a due row. Bodies differ in size, so that the file
// grows in every way.
func putPair(s store.Store, pair string) error {
	body := []byte(strings.Repeat(pair+" ", len(pair)*rand.IntN(100)))
	return s.Update(ctx, func(tx store.Tx) error {
		return errors.Join(
			tx.Put(store.Key("a/"+pair), 0, body), tx.Put(store.Key("b/"+pair), 0, body),
			tx.SetDue(store.Key("a/"+pair), rowTime),
		)
	})
}

// runChild starts a child, calls line for each whole line that it says, and kills it
// when line returns false.
func runChild(t *testing.T, path string, env []string, line func(fields []string) bool) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(append(os.Environ(), "COFFER_TEST_CHILD="+path), env...)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for lines, killed := bufio.NewScanner(out), false; lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 2 && fields[len(fields)-1] == "." && !line(fields) && !killed {
			killed = true
			_ = command.Process.Kill()
		}
	}
	_ = command.Wait()
}

// What was acknowledged before kill -9 is there afterwards, of what was not either all
// or nothing, and the file is whole.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	acknowledged := map[string]bool{}
	for round := range 20 {
		left := rand.IntN(60)
		runChild(t, path, nil, func(fields []string) bool {
			if fields[0] != "pair" {
				t.Error(fields)
				return false
			}
			acknowledged[fields[1]] = true
			left--
			return left > 0
		})
		checkFile(t, path)
		checkPairs(t, path, acknowledged)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	if len(acknowledged) < 100 {
		t.Fatalf("only %d writes were acknowledged", len(acknowledged))
	}
}

// checkFile has bbolt check every page.
func checkFile(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		var all []error
		for err := range tx.Check() {
			all = append(all, err)
		}
		return errors.Join(all...)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Error(err)
	}
}

func checkPairs(t *testing.T, path string, acknowledged map[string]bool) {
	t.Helper()
	s := open(t, path, bolt.Options{})
	there := [2]map[string]string{{}, {}}
	due := map[string]bool{}
	err := s.View(ctx, func(tx store.Tx) error {
		for i, prefix := range []store.Key{"a/", "b/"} {
			recs, err := tx.Scan(prefix, "", 1_000_000)
			if err != nil {
				return err
			}
			for _, rec := range recs {
				there[i][string(rec.Key[2:])] = string(rec.Body)
			}
		}
		rows, err := tx.Due(rowTime, 1_000_000)
		for _, row := range rows {
			due[string(row.Key[2:])] = true
		}
		return err
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	for pair, body := range there[0] {
		if other, ok := there[1][pair]; !ok || other != body || !due[pair] {
			t.Errorf("%s is not whole", pair)
		}
	}
	if len(there[0]) != len(there[1]) || len(there[0]) != len(due) {
		t.Errorf("%d, %d and %d", len(there[0]), len(there[1]), len(due))
	}
	for pair := range acknowledged {
		if _, ok := there[0][pair]; !ok {
			t.Errorf("%s was acknowledged, and is gone", pair)
		}
	}
}

// After kill -9 nothing of an ephemeral store is on the disk.
func TestKillEphemeral(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the system keeps the name of an open file")
	}
	dir, lines := t.TempDir(), 0
	runChild(t, filepath.Join(dir, "store"), []string{"COFFER_TEST_EPHEMERAL=1"}, func([]string) bool {
		lines++
		return lines < 10
	})
	if lines < 10 || len(names(t, dir)) != 0 {
		t.Errorf("%d writes; on the disk: %v", lines, names(t, dir))
	}
}

// Another process that has the store open is told of at once.
func TestLockedByAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	open(t, path, bolt.Options{})
	var said []string
	runChild(t, path, nil, func(fields []string) bool { said = fields; return true })
	if line := strings.Join(said, " "); !strings.Contains(line, store.ErrLocked.Error()) || !strings.Contains(line, path) {
		t.Errorf("%q", line)
	}
}
