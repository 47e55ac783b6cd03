package faults_test

import (
	"bufio"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// soak is how long the clients work; make soak gives ten minutes.
var soak = flag.Duration("soak", 30*time.Second, "how long TestSoak works")

// Many clients for a long time: no answer of 5xx, no version lost or doubled, and
// afterwards the node has what it had at the beginning.
func TestSoak(t *testing.T) {
	i := install(t, t.TempDir())
	admin := i.listenAdmin(t)
	i.start(t)
	c := i.clients(t)
	before := measure(t, admin).failed // asked for its health before it was ready
	var first, last usage
	told, rounds := 0, 0
	for end := time.Now().Add(*soak); time.Now().Before(end) || rounds < 3; rounds++ {
		l := begin(c, rounds, 48, 4, 12)
		time.Sleep(5 * time.Second)
		l.end()
		l.verify(t, c)
		for _, w := range l.writers {
			if w.unknown != nil {
				t.Errorf("%s: a %s had no clear outcome", w.name, w.unknown.kind)
			}
		}
		told += l.acknowledged()
		c.http.CloseIdleConnections()
		if last = settle(t, admin, first.goroutines); rounds == 0 {
			first = last
		}
		if t.Failed() {
			t.Fatalf("in round %d; the node said:\n%s", rounds, i.log.String())
		}
	}
	t.Logf("%d rounds of 64 clients, %d changes and reads acknowledged; at first %+v, at last %+v", rounds, told, first, last)
	if last.failed > before {
		t.Errorf("%v answers were 5xx", last.failed-before)
	}
	if last.goroutines > first.goroutines+8 || last.files > first.files+8 || last.heap > 1.5*first.heap+16<<20 {
		t.Error("the node has more at last than at first")
	}
	i.check(t)
}

// listenAdmin adds the listener for metrics to the configuration.
func (i *installation) listenAdmin(t *testing.T) (address string) {
	t.Helper()
	address = freeAddress(t)
	config, err := os.OpenFile(filepath.Join(i.dir, "coffer.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer config.Close()
	if _, err := fmt.Fprintf(config, "admin: {listen: %q}\n", address); err != nil {
		t.Fatal(err)
	}
	return address
}

// A usage is what a node has in use, and how many of its answers were 5xx.
type usage struct{ goroutines, files, heap, failed float64 }

// settle waits until the connections of a round have ended, and the memory was collected.
func settle(t *testing.T, admin string, goroutines float64) usage {
	t.Helper()
	u := measure(t, admin)
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		now := measure(t, admin)
		quiet := now.goroutines == u.goroutines && now.files == u.files
		u = now
		if quiet && (goroutines == 0 || now.goroutines <= goroutines) {
			break
		}
	}
	return u
}

func measure(t *testing.T, admin string) (u usage) {
	t.Helper()
	response, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	found := 0
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}
		to := map[string]*float64{"go_goroutines": &u.goroutines, "process_open_fds": &u.files, "go_memstats_heap_inuse_bytes": &u.heap}[name]
		if to != nil {
			*to = value
			found++
		}
		if strings.HasPrefix(name, "coffer_requests_total{") && strings.Contains(name, `status="5`) {
			u.failed += value
		}
	}
	if found != 3 {
		t.Fatalf("the metrics have %d of what is looked for", found)
	}
	return u
}
