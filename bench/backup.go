package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"log/slog"
	"os"
	"path/filepath"
	"time"

	"coffer/internal/server"
	"coffer/internal/store"
	"coffer/internal/store/bolt"
)

// What is backed up: about as many records, and as large, as 30,000 certificates.
const (
	backupRecords = 90_000
	backupBody    = 2_500
)

// benchBackup compares coffer backup with writing as many bytes to the same disk, and
// restores what it wrote.
func benchBackup(string) error {
	dir, err := os.MkdirTemp("", "coffer-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	quiet := slog.New(slog.DiscardHandler)
	made, err := server.Initialize(context.Background(), server.Init{Dir: filepath.Join(dir, "a"), Domain: "a.example.com", Listen: "127.0.0.1:0"}, quiet)
	if err != nil {
		return err
	}
	config, err := server.ReadConfig(made.Config)
	if err != nil {
		return err
	}
	if err := fillStore(config.Store); err != nil {
		return err
	}
	start := time.Now()
	var done server.BackedUp
	archive := filepath.Join(dir, "archive")
	if err := config.Administer(context.Background(), server.VerbBackup, server.AdminRequest{File: archive}, &done, quiet); err != nil {
		return err
	}
	took := time.Since(start)
	info, err := os.Stat(archive)
	if err != nil {
		return err
	}
	plain, err := writeFile(filepath.Join(dir, "plain"), info.Size())
	if err != nil {
		return err
	}
	rate := func(d time.Duration) float64 { return float64(info.Size()) / 1e6 / d.Seconds() }
	fmt.Printf("coffer backup                      %8.0f MB/s   of the disk's sequential write (%.0f MB/s): %.2f (at least 0.5)   %d records\n", rate(took), rate(plain), plain.Seconds()/took.Seconds(), done.Records)
	config.Store = filepath.Join(dir, "restored")
	start = time.Now()
	if _, err := config.Restore(context.Background(), []string{archive}, quiet); err != nil {
		return err
	}
	fmt.Printf("coffer restore                     %8.0f MB/s   verified first, durable\n", rate(time.Since(start)))
	return nil
}

// fillStore puts random records beside what the installation has.
func fillStore(path string) error {
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	const step = 3000
	for from := 0; from < backupRecords; from += step {
		err := s.Update(context.Background(), func(tx store.Tx) error {
			for i := range step {
				body := make([]byte, backupBody)
				if _, err := rand.Read(body); err != nil {
					return err
				}
				if err := tx.Put(store.Key(fmt.Sprintf("x/%08d", from+i)), 0, body); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return errors.Join(err, s.Close())
		}
	}
	return s.Close()
}

// writeFile writes random bytes in order, and returns how long that took, to the disk.
func writeFile(path string, size int64) (time.Duration, error) {
	block := make([]byte, 1<<20)
	if _, err := rand.Read(block); err != nil {
		return 0, err
	}
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	for left := size; left > 0 && err == nil; left -= int64(len(block)) {
		_, err = file.Write(block[:min(left, int64(len(block)))])
	}
	err = errors.Join(err, file.Sync())
	took := time.Since(start)
	return took, errors.Join(err, file.Close())
}
