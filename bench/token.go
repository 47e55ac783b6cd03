package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// startedAt tells the program that runs inside `coffer run` when that was started.
const startedAt = "COFFER_BENCH_STARTED"

// benchFirstToken measures from exec of `coffer run` until the program in it has its
// first token: on a fresh store, and on a kept one. The start of the program itself and
// its TLS connection through the proxy are in it.
func benchFirstToken(binary string) error {
	var fresh, kept []time.Duration
	for range 15 {
		dir, err := os.MkdirTemp("", "coffer-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		for _, times := range []*[]time.Duration{&fresh, &kept} {
			took, err := firstToken(binary, dir)
			if err != nil {
				return err
			}
			*times = append(*times, took)
		}
	}
	fmt.Printf("exec to first token, fresh store   %8.1f ms   (at most 120; median of 15)\n", ms(median(fresh)))
	fmt.Printf("exec to first token, kept store    %8.1f ms   (at most 50; median of 15)\n", ms(median(kept)))
	return nil
}

func firstToken(binary, dir string) (time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(binary, "run", "--data", dir, "--", self)
	cmd.Env = append(os.Environ(), startedAt+"="+strconv.FormatInt(time.Now().UnixNano(), 10))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("first token: %w", err)
	}
	nanoseconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return time.Duration(nanoseconds), err
}

// askToken is the program inside: it signs in as an SDK does, and prints how long it
// took since the start, in nanoseconds.
func askToken(started string) error {
	start, err := strconv.ParseInt(started, 10, 64)
	if err != nil {
		return err
	}
	bundle, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	response, err := client.PostForm("https://login.microsoftonline.com/"+os.Getenv("AZURE_TENANT_ID")+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "scope": {"https://vault.azure.net/.default"},
		"client_id": {os.Getenv("AZURE_CLIENT_ID")}, "client_secret": {os.Getenv("AZURE_CLIENT_SECRET")},
	})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil || body.Token == "" {
		return errors.Join(errors.New("no token"), err)
	}
	fmt.Println(time.Now().UnixNano() - start)
	return nil
}
