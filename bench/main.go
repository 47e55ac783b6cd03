// Command bench measures Coffer. Absolute times differ between machines and runs, so
// what counts are the ratios: each is of two things that were measured in this run.
//
//	make bench
//	go -C bench run . -profile    what each stage of a request costs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	profiles := flag.Bool("profile", false, "print what each stage of a request costs, instead of the figures")
	kept := flag.String("keep", "", "an existing `directory` for the profiles")
	only := flag.String("only", "", "measure only the `part` of this name: start token get life objects openssl writes large backup")
	flag.Parse()
	debug.SetGCPercent(400) // as the binary does
	measure := func() error { return run(*only) }
	if started := os.Getenv(startedAt); started != "" {
		measure = func() error { return askToken(started) }
	}
	if dir := os.Getenv(walkIn); dir != "" {
		measure = func() error { return walk(dir) }
	}
	if *profiles {
		measure = func() error { return profileAll(*kept) }
	}
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A part of the figures.
type part struct {
	name    string
	measure func(binary string) error
}

var parts = []part{
	{"start", benchStart}, {"token", benchFirstToken}, {"get", benchGet}, {"life", benchLife},
	{"objects", benchObjects}, {"openssl", benchOpenSSL}, {"writes", benchWrites}, {"large", benchLarge}, {"backup", benchBackup},
}

func run(only string) error {
	binary := "../bin/coffer"
	info, err := os.Stat(binary)
	if err != nil {
		return fmt.Errorf("build first: %w", err)
	}
	fmt.Printf("binary                             %8.1f MB   (at most 32)\n", float64(info.Size())/1e6)
	for _, part := range parts {
		if only != "" && part.name != only {
			continue
		}
		if err := part.measure(binary); err != nil {
			return err
		}
	}
	return nil
}

// median of some durations.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// benchStart measures `coffer run -- true` from exec to exit.
func benchStart(binary string) error {
	var times, bare []time.Duration
	for range 31 {
		start := time.Now()
		if out, err := exec.Command(binary, "run", "--", "true").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		times = append(times, time.Since(start))
		start = time.Now()
		if err := exec.Command("true").Run(); err != nil {
			return err
		}
		bare = append(bare, time.Since(start))
	}
	fmt.Printf("coffer run -- true, median of 31   %8.1f ms   (at most 100; true alone: %.1f)\n", ms(median(times)), ms(median(bare)))
	return nil
}

func medianOf(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// benchGet compares GET certificate with a bare TLS server that returns the same bytes
// and headers: 8 connections, keep-alive, HTTP/1.1 on both sides.
func benchGet(string) error {
	vault, err := newVault()
	if err != nil {
		return err
	}
	defer vault.close()
	header, body, err := vault.sample()
	if err != nil {
		return err
	}
	bare, err := newBare(header, body, vault.token)
	if err != nil {
		return err
	}
	defer bare.close()
	var ratios []float64
	var coffer, plain float64
	for range 5 {
		if plain, err = bare.rate(2 * time.Second); err != nil {
			return err
		}
		if coffer, err = vault.rate(2 * time.Second); err != nil {
			return err
		}
		ratios = append(ratios, coffer/plain)
	}
	slices.Sort(ratios)
	fmt.Printf("GET certificate, ratio to bare TLS %8.2f      (at least 0.6; last: %.0f of %.0f a second; all: %.2f)\n", ratios[len(ratios)/2], coffer, plain, ratios)
	return nil
}

// A target is something to send GET requests to.
type target struct {
	client  *http.Client
	request func() (*http.Request, error)
}

// Reads come over so many connections, writes over as many as there are writers.
const (
	connections = 8
	writers     = 64
)

// rate sends requests over all connections for a while and returns how many a second.
func (t target) rate(d time.Duration) (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var count atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, connections)
	start := time.Now()
	for range connections {
		group.Go(func() {
			for ctx.Err() == nil {
				if err := t.once(); err != nil {
					failed <- err
					return
				}
				count.Add(1)
			}
		})
	}
	group.Wait()
	elapsed := time.Since(start)
	close(failed)
	return float64(count.Load()) / elapsed.Seconds(), <-failed
}

func (t target) once() error {
	request, err := t.request()
	if err != nil {
		return err
	}
	response, err := t.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
