package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// profiled is for how long each request is profiled.
const profiled = 6 * time.Second

// A stage is a part of a request's way, known by the functions that it begins with.
type stage struct {
	name  string
	roots []string
}

// stages from the inside out: a sample belongs to the first whose function is on its
// stack, so that what the vault spends in its store is the store's.
var stages = []stage{
	{"crypto", []string{"coffer/internal/jwk."}},
	{"open", []string{"coffer/internal/seal."}},
	{"audit", []string{"coffer/internal/audit.", "coffer/internal/gate.(*Gate).append", "coffer/internal/gate.Request.event", "coffer/internal/gate.(*Gate).tend"}},
	{"access", []string{"coffer/internal/access.", "coffer/internal/gate.(*Gate).decide"}},
	{"store", []string{"coffer/internal/store/", "coffer/internal/store.", "go.etcd.io/bbolt."}},
	{"token", []string{"coffer/internal/token.", "coffer/internal/tenant.(*Service).Authenticate"}},
	{"vault", []string{"coffer/internal/vault.", "coffer/internal/gate.", "coffer/internal/tenant."}},
	{"door", []string{"coffer/internal/"}},
	{"TLS", []string{"crypto/tls.", "net.(*conn)."}},
	{"HTTP", []string{"net/http.(*conn).serve", "net/http.(*connReader)"}},
}

// A cost is microseconds of processor a request, by stage.
type cost struct {
	stages map[string]float64
	rate   float64 // requests a second
}

// profileAll prints what each stage of each request costs, and with kept the profiles
// are written there, for `go tool pprof`.
func profileAll(kept string) error {
	s, err := newVault()
	if err != nil {
		return err
	}
	defer s.close()
	subjects, err := s.subjects()
	if err != nil {
		return err
	}
	fmt.Print("| microseconds of processor a request |")
	for i := range stages {
		fmt.Printf(" %s |", stages[len(stages)-1-i].name)
	}
	fmt.Println(" collector and scheduler | requests a second |")
	fmt.Println("|---|" + strings.Repeat("---:|", len(stages)+2))
	for _, subject := range subjects {
		c, err := s.profile(subject, kept)
		if err != nil {
			return err
		}
		c.print(subject.name)
	}
	return nil
}

func (c cost) print(name string) {
	fmt.Printf("| %s |", name)
	for i := range stages {
		fmt.Printf(" %.1f |", c.stages[stages[len(stages)-1-i].name])
	}
	fmt.Printf(" %.1f | %.0f |\n", c.stages[""], c.rate)
}

// profile sends one kind of request for a while. The client is in this process, too; its
// samples are left out, but for its share of what the collector and the scheduler did.
func (s *served) profile(one subject, kept string) (cost, error) {
	requests := target{client: s.client, request: one.request}
	if _, err := requests.rate(time.Second); err != nil { // caches are filled
		return cost{}, err
	}
	var raw bytes.Buffer
	if err := pprof.StartCPUProfile(&raw); err != nil {
		return cost{}, err
	}
	rate, err := requests.rate(profiled)
	pprof.StopCPUProfile()
	if err != nil {
		return cost{}, err
	}
	if kept != "" {
		if err := os.WriteFile(kept+"/"+strings.ReplaceAll(one.name, " ", "-")+".pprof", raw.Bytes(), 0o600); err != nil {
			return cost{}, err
		}
	}
	parsed, err := profile.Parse(&raw)
	if err != nil {
		return cost{}, err
	}
	return costOf(parsed, rate)
}

// costOf divides the samples among the stages. What belongs to none is the runtime's own
// ("") or the client's (left out).
func costOf(p *profile.Profile, rate float64) (cost, error) {
	if len(p.SampleType) < 2 || p.SampleType[1].Unit != "nanoseconds" {
		return cost{}, errors.New("bench: the profile has no nanoseconds")
	}
	out := cost{stages: map[string]float64{}, rate: rate}
	count := rate * profiled.Seconds()
	for _, sample := range p.Sample {
		name, ok := stageOf(sample)
		if ok {
			out.stages[name] += float64(sample.Value[1]) / 1e3 / count
		}
	}
	return out, nil
}

// client is what the requests are sent by.
var client = []string{"net/http.(*persistConn)", "net/http.(*Transport)", "net/http.(*Client)", "main."}

func stageOf(sample *profile.Sample) (string, bool) {
	if on(sample, client) {
		return "", false
	}
	for _, stage := range stages {
		if on(sample, stage.roots) {
			return stage.name, true
		}
	}
	return "", true
}

// on reports whether a function that begins so is on the stack.
func on(sample *profile.Sample, roots []string) bool {
	for _, location := range sample.Location {
		for _, line := range location.Line {
			for _, root := range roots {
				if strings.HasPrefix(line.Function.Name, root) {
					return true
				}
			}
		}
	}
	return false
}
