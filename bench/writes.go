package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"coffer/internal/pki"
	"coffer/internal/store"
	"coffer/internal/store/bolt"
	vaults "coffer/internal/vault"
)

// commitsPerCertificate is what a certificate costs: the operation, and the certificate.
const commitsPerCertificate = 2

// benchWrites measures what makes certificates: how close creating comes to what the
// disk and the processors can do, and what is left for reads meanwhile.
func benchWrites(string) error {
	s, err := newVault()
	if err != nil {
		return err
	}
	defer s.close()
	for _, part := range []func(*served) error{benchEC, benchRSA, benchImport} {
		if err := part(s); err != nil {
			return err
		}
	}
	return nil
}

// benchEC compares creating EC certificates by 16 clients with what the bare engine
// commits for 16 writers of as many bytes.
func benchEC(s *served) error {
	const clients, n = 16, 2_000
	caller := s.caller()
	start := time.Now()
	if err := parallel(clients, n, func(i int) error {
		ref := vaults.Ref{Vault: "writes", Name: nameOf(i)}
		if _, err := s.core.Vaults.CreateCertificate(context.Background(), caller, ref, newEC()); err != nil {
			return err
		}
		return completed(s.core, caller, ref)
	}); err != nil {
		return err
	}
	rate := n / time.Since(start).Seconds()
	groups, updates, err := bareCommits(clients)
	if err != nil {
		return err
	}
	limit := groups / commitsPerCertificate
	fmt.Printf("create EC P-256, 16 clients        %8.2f      (at least 0.6 of the disk's group commits; %.0f certificates a second, %.0f groups and %.0f updates of the bare engine)\n", rate/limit, rate, groups, updates)
	return nil
}

// bareCommits is how many groups and how many updates a second the engine commits.
func bareCommits(writers int) (groups, updates float64, err error) {
	dir, err := os.MkdirTemp("", "coffer-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	engine, err := bolt.Open(filepath.Join(dir, "store"), bolt.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer engine.Close()
	const n = 4_000
	body := make([]byte, 3_000)
	one := func(i int) error {
		return engine.Update(context.Background(), func(tx store.Tx) error { return tx.Put(store.Key(nameOf(i)), 0, body) })
	}
	start := time.Now()
	if err := parallel(1, n/8, one); err != nil { // one writer: every commit is a group of one
		return 0, 0, err
	}
	groups = n / 8 / time.Since(start).Seconds()
	start = time.Now()
	err = parallel(writers, n, func(i int) error { return one(n + i) })
	return groups, n / time.Since(start).Seconds(), err
}

// benchRSA compares creating RSA certificates with making their key pairs alone, on the
// same processors, and counts reads meanwhile.
func benchRSA(s *served) error {
	cores := runtime.NumCPU()
	const d = 8 * time.Second
	keys, err := during(d, cores, func(int) error {
		_, err := rsa.GenerateKey(rand.Reader, 2048)
		return err
	})
	if err != nil {
		return err
	}
	caller := s.caller()
	in := newEC()
	in.Policy.Key = nil
	creating := func(name string) func(int) error {
		return func(i int) error {
			ref := vaults.Ref{Vault: "writes", Name: name + nameOf(i)}
			if _, err := s.core.Vaults.CreateCertificate(context.Background(), caller, ref, in); err != nil {
				return err
			}
			return completed(s.core, caller, ref)
		}
	}
	created, err := during(d, 16, creating("r"))
	if err != nil {
		return err
	}
	fmt.Printf("create RSA 2048, 16 clients        %8.2f      (at least 0.9 of key pairs alone; %.0f and %.0f a second)\n", created/keys, created, keys)
	alone, err := s.rate(2 * time.Second)
	if err != nil {
		return err
	}
	stop := make(chan error, 1)
	go func() {
		_, err := during(4*time.Second, 16, creating("s"))
		stop <- err
	}()
	time.Sleep(500 * time.Millisecond)
	busy, err := s.rate(2 * time.Second)
	if err != nil {
		return err
	}
	fmt.Printf("GET while creates saturate         %8.2f      (at least 0.5 of GET alone; %.0f of %.0f a second)\n", busy/alone, busy, alone)
	return <-stop
}

// during runs fn again and again in so many goroutines and returns how often a second.
func during(d time.Duration, workers int, fn func(int) error) (float64, error) {
	var done atomic.Int64
	start := time.Now()
	err := parallel(workers, 1<<30, func(i int) error {
		if time.Since(start) > d {
			return errEnough
		}
		if err := fn(i); err != nil {
			return err
		}
		done.Add(1)
		return nil
	})
	if err != errEnough {
		return 0, fmt.Errorf("bench: %w", err)
	}
	return float64(done.Load()) / time.Since(start).Seconds(), nil
}

var errEnough = fmt.Errorf("the time is up")

// benchImport measures importing a PKCS#12 file, and what an RSA 2048 certificate with
// its key and its secret takes on the disk.
func benchImport(s *served) error {
	key, err := pki.GenerateKey(pki.KeyType{Kty: "RSA", Size: 2048})
	if err != nil {
		return err
	}
	name, err := pki.ParseName("CN=import")
	if err != nil {
		return err
	}
	serial, err := pki.NewSerial()
	if err != nil {
		return err
	}
	der, err := pki.SelfSign(pki.Template{Subject: name, KeyUsage: pki.DigitalSignature}, key, pki.Validity{NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0)}, serial)
	if err != nil {
		return err
	}
	pfx, err := pki.EncodePFX(key, [][]byte{der})
	if err != nil {
		return err
	}
	in := vaults.Import{Value: base64.StdEncoding.EncodeToString(pfx)}
	before, err := os.Stat(filepath.Join(s.dir, "store"))
	if err != nil {
		return err
	}
	const n = 4_000
	caller := s.caller()
	start := time.Now()
	if err := parallel(16, n, func(i int) error {
		_, err := s.core.Vaults.ImportCertificate(context.Background(), caller, vaults.Ref{Vault: "imports", Name: nameOf(i)}, in)
		return err
	}); err != nil {
		return err
	}
	took := time.Since(start)
	after, err := os.Stat(filepath.Join(s.dir, "store"))
	if err != nil {
		return err
	}
	fmt.Printf("import RSA 2048, 16 clients        %8.0f a second\n", n/took.Seconds())
	fmt.Printf("space per RSA 2048 certificate     %8.1f KiB  (at most 12, with key and secret)\n", float64(after.Size()-before.Size())/n/1024)
	return nil
}
