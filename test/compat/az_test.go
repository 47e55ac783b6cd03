package compat_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The releases of the command-line tool: one of the time when `az keyvault create` made a
// vault with access policies, and a new one, which has to be told. They look for a managed identity in different ways.
var azReleases = []struct{ name, flags, certificate, identity string }{
	{"old", "", "-p", "cloudshell"},
	{"new", "--enable-rbac-authorization false", "--certificate", "appservice"},
}

// az installs a release and returns the folder of its command.
func az(t *testing.T, name string) string {
	need(t, "python3", "bash", "openssl")
	list := "az/requirements-" + name + ".txt"
	dir, fresh := cache(t, "az-"+name, list)
	if fresh {
		command(t, ".", "", 0, nil, "python3", "-m", "venv", filepath.Join(dir, "venv"))
		command(t, ".", "", 0, nil, filepath.Join(dir, "venv", "bin", "python"), "-m", "pip", "install", "--quiet", "--no-deps", "-r", list)
	}
	return filepath.Join(dir, "venv", "bin")
}

// The public quickstart's page runs as printed, in both of its forms, and so do the
// commands of the group keyvault, and all ways to sign in.
func TestAz(t *testing.T) {
	interpreter, program := python(t), script(t, "../../examples/python/quickstart.py")
	for _, release := range azReleases {
		t.Run(release.name, func(t *testing.T) {
			env := []string{"PATH=" + az(t, release.name) + ":" + os.Getenv("PATH"), "CREATE_FLAGS=" + release.flags, "CERTIFICATE=" + release.certificate}
			out := command(t, t.TempDir(), "", 0, env, binary, "run", "--verbose", "--", "bash", script(t, "az/page.sh"), interpreter+" "+program)
			if !strings.Contains(out, "page done") {
				t.Error(out)
			}
			quick(t, out)
			out = command(t, t.TempDir(), "", 0, env, binary, "run", "--", "bash", script(t, "az/keyvault.sh"))
			if !strings.Contains(out, "keyvault done") {
				t.Error(out)
			}
			t.Log(strings.TrimSpace(out))
			out = command(t, t.TempDir(), "", 0, env, binary, "run", "--", "bash", script(t, "az/login.sh"))
			if !strings.Contains(out, "login done") {
				t.Error(out)
			}
			out = command(t, t.TempDir(), "", 0, env, binary, "run", "--", "bash", script(t, "az/groups.sh"))
			if !strings.Contains(out, "groups done") {
				t.Error(out)
			}
			out = command(t, t.TempDir(), "", 0, env, binary, "run", "--identity="+release.identity, "--", "bash", script(t, "az/identity.sh"))
			if !strings.Contains(out, "identity done") {
				t.Error(out)
			}
		})
	}
}

// The tool signs in at an installation on a domain of its own, without anything of the cloud:
// told where it is by one document, or asking for it.
func TestAzOnOwnDomain(t *testing.T) {
	issuer, issuerCA, _ := workloads(t)
	for _, release := range azReleases {
		t.Run(release.name, func(t *testing.T) {
			env, vault := own(t, issuer, issuerCA)
			domain := strings.TrimPrefix(vault, "https://main.vault.")
			env = append(env, "PATH="+az(t, release.name)+":"+os.Getenv("PATH"), "DOMAIN="+domain)
			if out := command(t, t.TempDir(), "", 0, env, "bash", script(t, "az/domain.sh")); !strings.Contains(out, "domain done") {
				t.Error(out)
			}
		})
	}
}

var answered = regexp.MustCompile(`(?m)^coffer: (\d+) (\S+) (\S+) \(\d+ bytes, ([\d.]+) ms\)$`)

// quick adds up the time that all answers took: the page is there in two forms, each of
// which may take a second, most of it for a key. It names the answers that make a client
// wait, which are those of certificates that are made.
func quick(t *testing.T, out string) {
	t.Helper()
	var spent, keys time.Duration
	answers := answered.FindAllStringSubmatch(out, -1)
	for _, a := range answers {
		ms, err := strconv.ParseFloat(a[4], 64)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Duration(ms * float64(time.Millisecond))
		spent += took
		if a[1] != strconv.Itoa(http.StatusAccepted) {
			continue
		}
		t.Logf("202 with Retry-After: %s %s", a[2], a[3])
		switch {
		case strings.Contains(a[3], "/certificates/"):
			keys += took
		default:
			t.Errorf("%s %s makes a client wait", a[2], a[3])
		}
	}
	t.Logf("%d answers took %v in all, of which %v to make keys", len(answers), spent, keys)
	if len(answers) < 60 || spent > 2*time.Second || spent-keys > time.Second/2 {
		t.Errorf("%d answers took %v in all, of which %v to make keys", len(answers), spent, keys)
	}
}
