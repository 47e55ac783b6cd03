package main

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

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
