package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	user        = 65532 // nonroot of other images without a distribution; nobody's on ordinary hosts
	home        = "/var/lib/coffer"
	programPath = "/usr/bin/coffer"
	roots       = "/etc/ssl/certs/ca-certificates.crt" // where crypto/x509 looks first
)

// An entry is a file or, with a mode that says so, a directory of a layer.
type entry struct {
	path  string
	mode  os.FileMode
	owner int
	text  []byte
}

// base is the layer below the program: the user and its directory, and the authorities by which the program
// verifies those that it calls.
func (i image) base() (v1.Layer, error) {
	authorities, err := authorities()
	if err != nil {
		return nil, err
	}
	dir := os.ModeDir | 0o755
	return i.layer(
		entry{path: "etc", mode: dir},
		entry{path: "etc/coffer", mode: dir},
		entry{path: "etc/group", mode: 0o644, text: fmt.Appendf(nil, "root:x:0:\ncoffer:x:%d:\n", user)},
		entry{path: "etc/passwd", mode: 0o644, text: fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\ncoffer:x:%d:%d:Coffer:%s:/sbin/nologin\n", user, user, home)},
		entry{path: "etc/ssl", mode: dir},
		entry{path: "etc/ssl/certs", mode: dir},
		entry{path: roots[1:], mode: 0o644, text: authorities},
		entry{path: "tmp", mode: os.ModeDir | os.ModeSticky | 0o777},
		entry{path: "var", mode: dir},
		entry{path: "var/lib", mode: dir},
		entry{path: home[1:], mode: os.ModeDir | 0o700, owner: user},
	)
}

// authorities are Mozilla's, as the Go project keeps them. Those that are trusted for some names or times only
// are left out: a file of certificates cannot say so.
func authorities() ([]byte, error) {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	if out.Len() == 0 {
		return nil, errors.New("there are no certificate authorities")
	}
	return out.Bytes(), nil
}

func (i image) programLayer(path string) (v1.Layer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	dir := os.ModeDir | 0o755
	return i.layer(entry{path: "usr", mode: dir}, entry{path: "usr/bin", mode: dir}, entry{path: programPath[1:], mode: 0o755, text: text})
}

// layer writes the entries, all of one time, so that nothing of the build is in it.
func (i image) layer(entries ...entry) (v1.Layer, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: e.path, Mode: int64(e.mode.Perm()), Uid: e.owner, Gid: e.owner,
			Size: int64(len(e.text)), ModTime: i.created, Format: tar.FormatPAX,
		}
		if e.mode.IsDir() {
			header.Typeflag, header.Name = tar.TypeDir, e.path+"/"
		}
		if e.mode&os.ModeSticky != 0 {
			header.Mode |= 0o1000
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	text := out.Bytes()
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }, tarball.WithMediaType(types.OCILayer))
}
