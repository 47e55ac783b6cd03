// Package helm_test renders the chart by helm for each file of coffer/ci, holds what comes out against the schemas
// of Kubernetes, and has Coffer use the configuration that is in it. The first build of the tools takes minutes.
package helm_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

const kubernetes = "1.30" // the newest whose schemas kubectl-validate can read without a network

// The tools, at the versions that the chart is checked with.
var tools = map[string]string{
	"helm":             "helm.sh/helm/v3/cmd/helm@v3.22.0",
	"kubectl-validate": "sigs.k8s.io/kubectl-validate@v0.0.4",
}

// tool runs a tool. Go builds it once, and keeps it.
func tool(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"run", tools[name]}, args...)...)
	text, err := cmd.CombinedOutput()
	return string(text), err
}

func values(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("coffer/ci/*-values.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%q, %v", files, err)
	}
	return files
}

func render(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return tool(t, "helm", append([]string{"template", "first", "coffer", "--namespace", "vaults", "--kube-version", kubernetes + ".0"}, args...)...)
}

// An object is a rendered manifest.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	text     string
}

func objects(t *testing.T, rendered string) map[string]object {
	t.Helper()
	out := map[string]object{}
	for text := range strings.SplitSeq(rendered, "\n---\n") {
		o := object{text: text}
		if err := yaml.Unmarshal([]byte(text), &o); err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		out[o.Kind+"/"+o.Metadata.Name] = o
	}
	return out
}

func TestLint(t *testing.T) {
	for _, file := range values(t) {
		if text, err := tool(t, "helm", "lint", "--strict", "coffer", "-f", file, "--kube-version", kubernetes+".0"); err != nil {
			t.Errorf("%s: %v: %s", file, err, text)
		}
	}
}

// What is contradictory or missing is refused before anything is installed.
func TestRefused(t *testing.T) {
	for setting, want := range map[string]string{
		"":                                      "",
		"domain=nodots":                         "domain",
		"unknown=1":                             "unknown",
		"config.store=/elsewhere":               "config",
		"rootKey.secret=":                       "what keeps the root key",
		"config.seal.passphrase.file=f":         "contradict",
		"tls.certificateSecret=both":            "one of certificateSecret and authoritySecret",
		"image.tag=":                            "which version to run",
		"metrics.enabled=true":                  "metrics.tokenSecret",
		"image.digest=sha256:12":                "digest",
		"publicPort=0":                          "publicPort",
		"networkPolicy.from=everybody":          "from",
		"service.type=ExternalName":             "type",
		"podDisruptionBudget.enabled=sometimes": "enabled",
	} {
		text, err := render(t, "-f", "coffer/ci/authority-values.yaml", "--set", setting)
		if (err == nil) != (want == "") || !strings.Contains(text, want) {
			t.Errorf("%s: %v: %s", setting, err, text)
		}
	}
}

// Everything but the ServiceMonitor, which is no kind of Kubernetes itself, is valid by its schemas.
func TestSchemas(t *testing.T) {
	dir := t.TempDir()
	for _, file := range values(t) {
		rendered, err := render(t, "-f", file)
		if err != nil {
			t.Fatalf("%s: %s", file, rendered)
		}
		for name, o := range objects(t, rendered) {
			if o.Kind == "ServiceMonitor" {
				continue
			}
			path := filepath.Join(dir, filepath.Base(file)+"-"+strings.ReplaceAll(name, "/", "-")+".yaml")
			if err := os.WriteFile(path, []byte(o.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := tool(t, "kubectl-validate", "--version", kubernetes, bad); err == nil {
		t.Errorf("a wrong member is taken: %s", text)
	}
	if text, err := tool(t, "kubectl-validate", "--version", kubernetes, dir); err != nil {
		t.Errorf("%v: %s", err, text)
	}
}

// Every container has no rights, and no secret is in the environment or the arguments.
func TestPod(t *testing.T) {
	for _, file := range values(t) {
		rendered, err := render(t, "-f", file)
		if err != nil {
			t.Fatal(rendered)
		}
		var set struct {
			Spec struct {
				Replicas int
				Template struct {
					Spec struct {
						AutomountServiceAccountToken *bool
						SecurityContext              struct {
							RunAsNonRoot   bool
							SeccompProfile struct{ Type string }
						}
						InitContainers, Containers []container
					}
				}
			}
		}
		if err := yaml.Unmarshal([]byte(objects(t, rendered)["StatefulSet/first-coffer"].text), &set); err != nil {
			t.Fatal(err)
		}
		pod := set.Spec.Template.Spec
		if set.Spec.Replicas != 1 || pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken || !pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.SeccompProfile.Type != "RuntimeDefault" || len(pod.Containers) != 1 {
			t.Errorf("%s: %+v", file, set)
		}
		for _, c := range append(pod.Containers, pod.InitContainers...) {
			s := c.SecurityContext
			if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" || len(s.Capabilities.Add) > 0 || len(c.Env) > 0 {
				t.Errorf("%s: %+v", file, c)
			}
		}
	}
}

type container struct {
	Env             []any
	SecurityContext struct {
		AllowPrivilegeEscalation *bool
		ReadOnlyRootFilesystem   bool
		Capabilities             struct{ Add, Drop []string }
	}
}

// coffer builds the program.
func coffer(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "coffer")
	cmd := exec.CommandContext(t.Context(), "go", "-C", "../..", "build", "-trimpath", "-o", out, "./cmd/coffer")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

// run runs a command that has to succeed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, stderr.String())
	}
	return string(out)
}

// Coffer, built once, does what the pod has it do.
func TestServer(t *testing.T) {
	program := coffer(t)
	t.Run("configurations", func(t *testing.T) { configurations(t, program) })
	t.Run("first start", func(t *testing.T) { firstStart(t, program) })
}

// The configuration of every file is one that Coffer reads.
func configurations(t *testing.T, program string) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	for _, path := range []string{secret, filepath.Join(dir, "ca.pem")} { // coffer env tells clients of the authority
		if err := os.WriteFile(path, []byte("a secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range values(t) {
		rendered, err := render(t, "-f", file)
		if err != nil {
			t.Fatal(rendered)
		}
		config := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(config, []byte(objects(t, rendered)["ConfigMap/first-coffer"].Data["coffer.yaml"]), 0o600); err != nil {
			t.Fatal(err)
		}
		out := run(t, program, "env", "--config", config, "--client-id", "00000000-0000-4000-8000-000000000001", "--client-secret-file", secret)
		if !strings.Contains(out, "AZURE_AUTHORITY_HOST") {
			t.Errorf("%s: %s", file, out)
		}
	}
}

// An installation that init made elsewhere serves on an empty volume, as the pod does it: first restore, then serve,
// and the readiness probe asks by address. Only paths and the port are others.
func firstStart(t *testing.T, program string) {
	dir := t.TempDir()
	made, etc, data := filepath.Join(dir, "made"), filepath.Join(dir, "etc"), filepath.Join(dir, "data")
	run(t, program, "init", "--dir", made, "--domain", "coffer.example.com", "--vault", "main", "--output", "json")
	first := filepath.Join(dir, "first.coffer")
	run(t, program, "backup", "--config", filepath.Join(made, "coffer.yaml"), first)
	for _, path := range []string{etc, data} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"root.key", "ca.pem", "ca.key"} {
		if err := os.Rename(filepath.Join(made, name), filepath.Join(etc, name)); err != nil {
			t.Fatal(err)
		}
	}
	rendered, err := render(t, "-f", "coffer/ci/authority-values.yaml")
	if err != nil {
		t.Fatal(rendered)
	}
	text := objects(t, rendered)["ConfigMap/first-coffer"].Data["coffer.yaml"]
	text = strings.NewReplacer("/var/lib/coffer", data, "0.0.0.0:8443", "127.0.0.1:0").Replace(text)
	config := filepath.Join(etc, "coffer.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var done []struct{ Records int }
	restored := run(t, program, "restore", "--config", config, "--if-empty", "-o", "json", first)
	if err := json.Unmarshal([]byte("["+restored+"]"), &done); err != nil || len(done) != 1 || done[0].Records == 0 {
		t.Fatalf("%s, %v", restored, err)
	}
	if again := run(t, program, "restore", "--config", config, "--if-empty", first); again != "" {
		t.Errorf("the second start restores again: %s", again)
	}
	probe(t, program, config)
}

// probe starts the server and asks as the readiness probe does.
func probe(t *testing.T, program, config string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "serve", "--config", config)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Signal(os.Interrupt) }()
	serving := regexp.MustCompile(`msg=serving address=(\S+)`)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		found := serving.FindStringSubmatch(lines.Text())
		if found == nil {
			continue
		}
		// kubelet does not verify the certificate of a probe either.
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		answer, err := client.Get("https://" + found[1] + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s", answer.Status)
		}
		return
	}
	t.Fatal("the server does not serve")
}
