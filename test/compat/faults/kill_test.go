package faults_test

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

// kills is how often the node is killed; the whole suite's time is mostly theirs.
var kills = flag.Int("kills", 200, "how often the node is killed")

// Whatever a client was told is there after kill -9, and nothing that nobody asked for.
func TestKilledNode(t *testing.T) {
	i := install(t, t.TempDir())
	i.start(t)
	c := i.clients(t)
	random := rand.New(rand.NewPCG(1, 2))
	told := 0
	var earlier []*load
	for round := range *kills {
		l := begin(c, round, 6, 2, 6)
		time.Sleep(time.Duration(20+random.IntN(180)) * time.Millisecond)
		i.kill(t)
		l.end()
		c.http.CloseIdleConnections()
		i.start(t)
		l.verify(t, c)
		told += l.acknowledged()
		earlier = append(earlier, l)
		if t.Failed() {
			t.Fatalf("in round %d; the node said:\n%s", round, i.log.String())
		}
	}
	for _, l := range earlier { // later rounds have not harmed them
		l.verify(t, c)
	}
	i.check(t)
	t.Logf("%d kills, %d changes and reads acknowledged", *kills, told)
}
