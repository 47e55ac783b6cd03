package main_test

import (
	"archive/tar"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const version = "v0.0.0-test"

// makeImage builds the image from the source in a directory, as make image does.
func makeImage(t *testing.T, source string) v1.ImageIndex {
	t.Helper()
	out := filepath.Join(t.TempDir(), "image")
	cmd := exec.CommandContext(t.Context(), "make", "-C", source, "image", "IMAGE="+out, "VERSION="+version, "CREATED=1700000000")
	cmd.Env = append(os.Environ(), "MAKEFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	index, err := layout.ImageIndexFromPath(out)
	if err != nil {
		t.Fatal(err)
	}
	top, err := index.IndexManifest()
	if err != nil || len(top.Manifests) != 1 || top.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != version {
		t.Fatalf("%+v, %v", top, err)
	}
	if index, err = index.ImageIndex(top.Manifests[0].Digest); err != nil {
		t.Fatal(err)
	}
	return index
}

// copySource copies what the image is made of to a directory elsewhere.
func copySource(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"Makefile", "go.mod", "go.sum", "cmd", "internal", "certificates", "deploy"} {
		from := filepath.Join(root, name)
		err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			relative, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			text, err := os.ReadFile(path)
			to := filepath.Join(dir, relative)
			return errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, text, 0o600))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestImage(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Fatal("there is no make, by which images are made")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	index := makeImage(t, root)
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	again, err := makeImage(t, copySource(t, root)).Digest()
	if err != nil || again != digest {
		t.Errorf("the same source elsewhere makes %v, not %v (%v)", again, digest, err)
	}

	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	described(t, manifest.Annotations)
	var platforms []string
	for _, one := range manifest.Manifests {
		platforms = append(platforms, one.Platform.String())
		img, err := index.Image(one.Digest)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(one.Platform.Architecture, func(t *testing.T) { checkImage(t, img, one.Platform.Architecture) })
	}
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("%q", platforms)
	}
}

func described(t *testing.T, labels map[string]string) {
	t.Helper()
	for name, want := range map[string]string{"title": "Coffer", "licenses": "Apache-2.0", "version": version, "created": "2023-11-14T22:13:20Z"} {
		if got := labels["org.opencontainers.image."+name]; got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
}

func checkImage(t *testing.T, img v1.Image, architecture string) {
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	described(t, config.Config.Labels)
	described(t, manifest.Annotations)
	c := config.Config
	if config.OS != "linux" || config.Architecture != architecture || c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/usr/bin/coffer"}) || !slices.Equal(c.Cmd, []string{"serve", "--config", "/etc/coffer/coffer.yaml"}) {
		t.Errorf("%+v", config)
	}
	dir := unpack(t, img)
	pool := x509.NewCertPool()
	text, err := os.ReadFile(filepath.Join(dir, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Errorf("the certificate authorities cannot be used: %v", err)
	}
	if architecture == runtime.GOARCH && runtime.GOOS == "linux" {
		runs(t, dir, strings.Split(c.User, ":")[0])
	}
}

// unpack writes what is in the layers below a directory, and checks what each entry is.
func unpack(t *testing.T, img v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	flat := mutate.Extract(img)
	defer flat.Close()
	files := map[string]bool{}
	for r := tar.NewReader(flat); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(h.Name, "/")
		files[name] = true
		checkEntry(t, name, h)
		path := filepath.Join(dir, name)
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			text, readErr := io.ReadAll(r)
			err = errors.Join(readErr, os.WriteFile(path, text, 0o600))
		}
		err = errors.Join(err, os.Chmod(path, os.FileMode(h.Mode).Perm()))
		if os.Getuid() == 0 {
			err = errors.Join(err, os.Chown(path, h.Uid, h.Gid))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"usr/bin/coffer", "etc/passwd", "etc/group", "tmp", "var/lib/coffer"} {
		if !files[name] {
			t.Errorf("there is no %s", name)
		}
	}
	return dir
}

// The image has plain files and directories that are root's, and one directory for the server.
func checkEntry(t *testing.T, name string, h *tar.Header) {
	t.Helper()
	mode, owner := int64(0o644), 0
	switch {
	case name == "tmp":
		mode = 0o1777
	case name == "var/lib/coffer":
		mode, owner = 0o700, 65532
	case name == "usr/bin/coffer" || h.Typeflag == tar.TypeDir:
		mode = 0o755
	}
	if h.Mode != mode || h.Uid != owner || h.Gid != owner || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir {
		t.Errorf("%s is of type %c, mode %o, owner %d:%d", name, h.Typeflag, h.Mode, h.Uid, h.Gid)
	}
	if h.ModTime.Unix() != 1700000000 {
		t.Errorf("%s is of %v", name, h.ModTime)
	}
}

// runs starts the program with nothing around it but the image, as the image's user, where the test may do so.
func runs(t *testing.T, dir, user string) {
	t.Helper()
	coffer := func(args ...string) string {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		cmd := exec.CommandContext(ctx, "/usr/bin/coffer", args...)
		cmd.Env, cmd.Dir = []string{"PATH=/usr/bin"}, "/var/lib/coffer"
		if !confine(cmd, dir, user) {
			cmd.Path, cmd.Dir = filepath.Join(dir, cmd.Path), filepath.Join(dir, cmd.Dir)
		}
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("coffer %q: %v: %s", args, err, text)
		}
		return string(text)
	}
	if text := coffer("version"); !strings.HasPrefix(text, "coffer "+version+" ") {
		t.Errorf("version says %q", text)
	}
	coffer("init", "--dir", "made", "--domain", "coffer.example.com") // its user can write its directory
	if _, err := os.Stat(filepath.Join(dir, "var/lib/coffer/made/coffer.yaml")); err != nil {
		t.Error(err)
	}
}
