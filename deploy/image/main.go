// Command image makes the container image of Coffer: an OCI image layout for linux/amd64 and linux/arm64,
// from binaries that are built already. It needs no container engine, no registry and no rights, and the
// same binaries give the same digest everywhere (make image builds those reproducibly).
//
// The image has the program, the certificate authorities that Mozilla trusts, a user without rights, and its
// directory. There is no shell, no package, and nothing that is set-user-ID.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// An image says what to make.
type image struct {
	version string
	created time.Time         // of the source, not of the build
	program map[string]string // the path of the binary, by architecture
}

func main() {
	i := image{program: map[string]string{}}
	out := flag.String("out", "", "the `directory` of the image layout, which is replaced")
	created := flag.Int64("created", 0, "when the source was changed, in `seconds` of Unix time")
	flag.StringVar(&i.version, "version", "development", "the `version` of the program")
	for _, architecture := range []string{"amd64", "arm64"} {
		flag.Func(architecture, "the `binary` for linux/"+architecture, func(path string) error {
			i.program[architecture] = path
			return nil
		})
	}
	flag.Parse()
	i.created = time.Unix(*created, 0).UTC()
	digest, err := i.write(*out)
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Printf("%s %s\n", filepath.Clean(*out), digest)
}

// write makes the layout, and answers the digest of its index.
func (i image) write(dir string) (string, error) {
	if dir == "" || len(i.program) == 0 {
		return "", fmt.Errorf("needs -out and at least one of -amd64 and -arm64")
	}
	index, err := i.index()
	if err != nil {
		return "", err
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	// The index of the layout names the image by its version, as skopeo and podman ask for it.
	at, err := layout.Write(dir, empty.Index)
	if err != nil {
		return "", err
	}
	if err := at.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": i.version})); err != nil {
		return "", err
	}
	digest, err := index.Digest()
	return digest.String(), err
}

// index is the image for every architecture.
func (i image) index() (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	base, err := i.base()
	if err != nil {
		return nil, err
	}
	for _, architecture := range []string{"amd64", "arm64"} { // in one order, for one digest
		path, ok := i.program[architecture]
		if !ok {
			continue
		}
		one, err := i.one(base, architecture, path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", architecture, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: one, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	return mutate.Annotations(index, i.labels()).(v1.ImageIndex), nil
}

// one is the image for an architecture.
func (i image) one(base v1.Layer, architecture, path string) (v1.Image, error) {
	program, err := i.programLayer(path)
	if err != nil {
		return nil, err
	}
	start := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	out, err := mutate.Append(start, i.addendum(base, "user, directories, certificate authorities"), i.addendum(program, "coffer"))
	if err != nil {
		return nil, err
	}
	config, err := out.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", architecture, v1.Time{Time: i.created}
	config.Config = v1.Config{
		User: fmt.Sprintf("%d:%d", user, user), WorkingDir: home, Env: []string{"PATH=" + filepath.Dir(programPath)},
		Entrypoint: []string{programPath}, Cmd: []string{"serve", "--config", "/etc/coffer/coffer.yaml"},
		ExposedPorts: map[string]struct{}{"8443/tcp": {}}, StopSignal: "SIGTERM", Labels: i.labels(),
	}
	if out, err = mutate.ConfigFile(out, config); err != nil {
		return nil, err
	}
	return mutate.Annotations(out, i.labels()).(v1.Image), nil
}

func (i image) addendum(layer v1.Layer, what string) mutate.Addendum {
	return mutate.Addendum{Layer: layer, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: i.created}, CreatedBy: "make image", Comment: what}}
}

// labels are annotations of the manifests, and labels for tools that read the configuration only.
func (i image) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "Coffer",
		"org.opencontainers.image.description": "A key vault server, wire-compatible with Azure Key Vault",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     i.version,
		"org.opencontainers.image.created":     i.created.Format(time.RFC3339),
	}
}
