package main

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"coffer/internal/seal"
)

// benchFirstToken measures from opening the store to the first token, in this process,
// on a fresh store and on a kept one. Starting a process costs a little more; the time
// of `coffer run -- true` above has that.
func benchFirstToken(string) error {
	var fresh, kept []time.Duration
	for range 15 {
		dir, err := os.MkdirTemp("", "coffer-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		root, err := seal.NewRootKey(rand.Reader)
		if err != nil {
			return err
		}
		for _, times := range []*[]time.Duration{&fresh, &kept} {
			took, err := firstToken(dir, root)
			if err != nil {
				return err
			}
			*times = append(*times, took)
		}
	}
	fmt.Printf("start to first token, fresh store  %8.1f ms   (at most 120; median of 15)\n", ms(median(fresh)))
	fmt.Printf("start to first token, kept store   %8.1f ms   (at most 50; median of 15)\n", ms(median(kept)))
	return nil
}

func firstToken(dir string, root seal.RootKey) (time.Duration, error) {
	start := time.Now()
	s := &served{}
	var err error
	if s.core, err = openCore(dir, root); err != nil {
		return 0, err
	}
	if err := s.listen(s.core.Handler()); err != nil {
		return 0, err
	}
	defer s.close()
	_, err = s.signIn()
	return time.Since(start), err
}

// benchLife measures a whole life of an RSA 2048 certificate, and the share that making
// the key pair has in it; and the memory of an idle run.
func benchLife(binary string) error {
	s, err := newVault()
	if err != nil {
		return err
	}
	defer s.close()
	var life, key time.Duration
	const rounds = 30
	for i := range rounds {
		start := time.Now()
		name := fmt.Sprintf("c%d", i)
		if err := s.create(name); err != nil {
			return err
		}
		for _, step := range [][2]string{{"GET", "/certificates/" + name}, {"DELETE", "/certificates/" + name}} {
			if _, _, err := s.do(step[0], step[1], ""); err != nil {
				return err
			}
		}
		life += time.Since(start)
		start = time.Now()
		if _, err := rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return err
		}
		key += time.Since(start)
	}
	fmt.Printf("create, poll, get, delete RSA 2048 %8.1f ms   (a key pair alone: %.1f ms, %.0f %%)\n", ms(life)/rounds, ms(key)/rounds, 100*float64(key)/float64(life))
	return idleMemory(binary)
}

// idleMemory is RssAnon of `coffer run` while its program does nothing.
func idleMemory(binary string) error {
	cmd := exec.Command(binary, "run", "--", "sh", "-c", "sleep 2; grep RssAnon /proc/$PPID/status")
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("idle memory: %w", err)
	}
	var kilobytes int
	if _, err := fmt.Sscanf(strings.TrimPrefix(strings.TrimSpace(string(out)), "RssAnon:"), "%d", &kilobytes); err != nil {
		return err
	}
	fmt.Printf("idle memory, RssAnon               %8.1f MiB  (at most 30)\n", float64(kilobytes)/1024)
	return nil
}
