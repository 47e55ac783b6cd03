package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// benchOpenSSL compares RSA signatures of the standard library with those of OpenSSL's
// own benchmark, in processor time, which other programs on the machine disturb little.
// Over twice as much would be a reason to offer a binding.
func benchOpenSSL(string) error {
	program, err := exec.LookPath("openssl")
	if err != nil {
		fmt.Println("RSA 2048 beside OpenSSL            not measured: there is no openssl")
		return nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	var ratios []float64
	var ours, theirs float64
	for range 5 {
		if theirs, err = opensslSpeed(program); err != nil {
			return err
		}
		if ours, err = signSpeed(key); err != nil {
			return err
		}
		ratios = append(ratios, theirs/ours)
	}
	fmt.Printf("RSA 2048 beside OpenSSL            %8.2f      (at most 2 times its processor time; last: %.0f and %.0f signatures a second of it)\n", medianOf(ratios), ours, theirs)
	return nil
}

// opensslSpeed is how many signatures OpenSSL makes in a second of processor time.
func opensslSpeed(program string) (float64, error) {
	out, err := exec.Command(program, "speed", "-seconds", "2", "rsa2048").Output()
	if err != nil {
		return 0, fmt.Errorf("openssl speed: %w", err)
	}
	// rsa 2048 bits 0.000930s 0.000026s   1075.6  37827.5
	lines := strings.Split(string(bytes.TrimSpace(out)), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	if len(fields) != 7 || fields[0] != "rsa" {
		return 0, fmt.Errorf("openssl speed: %q is not understood", lines[len(lines)-1])
	}
	return strconv.ParseFloat(fields[5], 64)
}

// signSpeed is how many the standard library makes.
func signSpeed(key *rsa.PrivateKey) (float64, error) {
	const n = 1_000
	digest := sha256.Sum256([]byte("bench"))
	before, err := processorTime()
	if err != nil {
		return 0, err
	}
	for range n {
		if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			return 0, err
		}
	}
	after, err := processorTime()
	return n / (after - before).Seconds(), err
}

func processorTime() (time.Duration, error) {
	var usage syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano()), err // as openssl speed counts it
}
