package compat_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
			out := command(t, t.TempDir(), "", 0, env, binary, "run", "--", "bash", script(t, "az/page.sh"), interpreter+" "+program)
			if !strings.Contains(out, "page done") {
				t.Error(out)
			}
			t.Log(strings.TrimSpace(out))
			out = command(t, t.TempDir(), "", 0, env, binary, "run", "--", "bash", script(t, "az/keyvault.sh"))
			if !strings.Contains(out, "keyvault done") {
				t.Error(out)
			}
			t.Log(strings.TrimSpace(out))
			out = command(t, t.TempDir(), "", 0, env, binary, "run", "--", "bash", script(t, "az/login.sh"))
			if !strings.Contains(out, "login done") {
				t.Error(out)
			}
			out = command(t, t.TempDir(), "", 0, env, binary, "run", "--identity="+release.identity, "--", "bash", script(t, "az/identity.sh"))
			if !strings.Contains(out, "identity done") {
				t.Error(out)
			}
		})
	}
}
