package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/server"
	vaults "coffer/internal/vault"
)

// The two vaults that are compared, and how many certificates each has.
const (
	smallVault, smallSize = "small", 1_000
	largeVault, largeSize = "large", 100_000
)

// walkIn tells the program to open the store in a directory, read all over it, and
// print its memory.
const walkIn = "COFFER_BENCH_WALK"

// benchLarge compares a vault of 100,000 certificates with one of 1,000: a page of 25
// and a GET should cost the same, and memory should not grow.
func benchLarge(string) error {
	dir, err := os.MkdirTemp("", "coffer-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	core, caller, err := openKept(dir)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := errors.Join(fill(core, caller, smallVault, smallSize), fill(core, caller, largeVault, largeSize)); err != nil {
		return err
	}
	took := time.Since(start)
	fmt.Printf("filling two vaults                 %8d certificates (EC P-256, PEM; %.0f a second, durable)\n", smallSize+largeSize, (smallSize+largeSize)/took.Seconds())
	s := &served{core: core, dir: dir}
	if err := s.listen(core.Handler()); err != nil {
		return err
	}
	defer s.client.CloseIdleConnections()
	if s.token, err = s.signIn(); err != nil {
		return err
	}
	var pages, gets, versions comparison
	for path, to := range map[string]*comparison{"": &pages, "/NAME": &gets, "/NAME/versions": &versions} {
		if *to, err = s.compare(path); err != nil {
			return err
		}
	}
	fmt.Printf("list of 25, of 100,000 to 1,000    %8.2f      (at most 1.5 times the time; medians %.0f and %.0f µs)\n", pages.ratio(), pages.large, pages.small)
	fmt.Printf("GET, of 100,000 to 1,000           %8.2f      (at most 1.5 times the time; medians %.0f and %.0f µs)\n", gets.ratio(), gets.large, gets.small)
	fmt.Printf("versions, of 100,000 to 1,000      %8.2f      (medians %.0f and %.0f µs)\n", versions.ratio(), versions.large, versions.small)
	if err := core.Close(); err != nil {
		return err
	}
	return walkMemory(dir)
}

// openKept opens a store in a directory, with its root key beside it.
func openKept(dir string) (*server.Core, access.Caller, error) {
	path := filepath.Join(dir, "root.key")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		root, err := seal.NewRootKey(rand.Reader)
		if err == nil {
			err = seal.WriteRootKeyFile(path, root)
		}
		if err != nil {
			return nil, access.Caller{}, err
		}
	}
	root, err := seal.ReadRootKeyFile(path)
	if err != nil {
		return nil, access.Caller{}, err
	}
	core, err := openCore(dir, root)
	if err != nil {
		return nil, access.Caller{}, err
	}
	core.Start()
	return core, access.Caller{TenantID: core.Tenant.TenantID(), ObjectID: app.ObjectID, AppID: app.AppID}, nil
}

func ptr[T any](v T) *T { return &v }

// newEC is a certificate that costs little to make.
func newEC() vaults.NewCertificate {
	return vaults.NewCertificate{Policy: &vaults.PolicyInput{
		Key: &vaults.KeyInput{Kty: ptr("EC"), Curve: ptr("P-256")}, X509: &vaults.X509Input{Subject: ptr("CN=bench")},
		Issuer: &vaults.IssuerInput{Name: ptr("Self")}, Secret: &vaults.SecretInput{ContentType: ptr(vaults.ContentTypePEM)},
	}}
}

// parallel runs fn for 0 to n-1 in so many goroutines and returns the first error.
func parallel(workers, n int, fn func(int) error) error {
	var next atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, workers)
	for range workers {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := fn(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failed)
	return <-failed
}

func nameOf(i int) string { return fmt.Sprintf("c%06d", i) }

// fill makes certificates until they are issued, 64 at a time.
func fill(core *server.Core, caller access.Caller, vault string, n int) error {
	ctx := context.Background()
	return parallel(64, n, func(i int) error {
		ref := vaults.Ref{Vault: vault, Name: nameOf(i)}
		for {
			_, err := core.Vaults.CreateCertificate(ctx, caller, ref, newEC())
			var busy *vaults.Error
			if errors.As(err, &busy) && busy.Code == vaults.CodeThrottled {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			if err != nil {
				return err
			}
			return completed(core, caller, ref)
		}
	})
}

func completed(core *server.Core, caller access.Caller, ref vaults.Ref) error {
	for {
		op, err := core.Vaults.GetCertificateOperation(context.Background(), caller, ref, "")
		if err != nil || op.Completed() {
			return err
		}
	}
}

// A comparison has medians in microseconds.
type comparison struct{ small, large float64 }

func (c comparison) ratio() float64 { return c.large / c.small }

// compare measures requests to both vaults, in turn, for random certificates.
func (s *served) compare(path string) (comparison, error) {
	var small, large []time.Duration
	for range 2_000 {
		for _, v := range []struct {
			vault string
			size  int
			times *[]time.Duration
		}{{smallVault, smallSize, &small}, {largeVault, largeSize, &large}} {
			request, err := s.newRequest("GET", "/certificates"+strings.Replace(path, "NAME", nameOf(mathrand.IntN(v.size)), 1), "")
			if err != nil {
				return comparison{}, err
			}
			request.URL.Host = v.vault + ".vault.azure.net"
			request.Host = request.URL.Host
			start := time.Now()
			if err := (target{client: s.client, request: func() (*http.Request, error) { return request, nil }}).once(); err != nil {
				return comparison{}, err
			}
			*v.times = append(*v.times, time.Since(start))
		}
	}
	return comparison{small: float64(median(small).Microseconds()), large: float64(median(large).Microseconds())}, nil
}

func getOne(core *server.Core, caller access.Caller, ref vaults.Ref) error {
	_, err := core.Vaults.GetCertificate(context.Background(), caller, ref)
	return err
}

// walkMemory starts a process that reads the whole large vault, and shows its memory.
func walkMemory(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(os.Environ(), walkIn+"="+dir), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("walking the large vault: %w", err)
	}
	kilobytes, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return err
	}
	fmt.Printf("memory at 100,000, RssAnon         %8.1f MiB  (at most 60; after every page and 10,000 GETs)\n", float64(kilobytes)/1024)
	return nil
}

// walk is that process.
func walk(dir string) error {
	core, caller, err := openKept(dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for page := (vaults.Page{}); ; {
		_, next, err := core.Vaults.ListCertificates(ctx, caller, largeVault, page)
		if err != nil {
			return err
		}
		if page.Token = next; next == "" {
			break
		}
	}
	if err := parallel(connections, 10_000, func(int) error {
		return getOne(core, caller, vaults.Ref{Vault: largeVault, Name: nameOf(mathrand.IntN(largeSize))})
	}); err != nil {
		return err
	}
	kilobytes, err := rssAnon("self")
	fmt.Println(kilobytes)
	return errors.Join(err, core.Close())
}

// rssAnon reads the anonymous memory of a process, in KiB.
func rssAnon(pid string) (int, error) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			return strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
		}
	}
	return 0, errors.New("the system does not tell RssAnon")
}
