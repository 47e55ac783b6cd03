package compat_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A suite is a program that calls every public method of some clients, pollers and
// exceptions included. It takes the list of the methods from the client, so that a newer
// client with one more fails, and names each that it called.
type suite struct {
	name    string
	program func(*testing.T) (dir string, args []string)
	last    string         // what it prints when it is through
	least   map[string]int // methods of a client that there are at least
}

func suites() []suite {
	python3 := func(name string) func(*testing.T) (string, []string) {
		return func(t *testing.T) (string, []string) {
			return t.TempDir(), []string{python(t), script(t, "python/"+name+".py")}
		}
	}
	return []suite{
		{"python certificates", python3("certificates"), "certificates done", map[string]int{"CertificateClient": 30}},
		{"python secrets and keys", python3("secrets_keys"), "secrets and keys done", map[string]int{"SecretClient": 12, "KeyClient": 20, "CryptographyClient": 6}},
		{"python control plane", python3("manage"), "manage done", map[string]int{"VaultsOperations": 12}},
		{"javascript", func(t *testing.T) (string, []string) { return javascript(t), []string{"node", "every.mjs"} }, "every method done",
			map[string]int{"CertificateClient": 27, "SecretClient": 12, "KeyClient": 20, "CryptographyClient": 8}},
		{"java", func(t *testing.T) (string, []string) { return t.TempDir(), java(t, "Every") }, "every method done",
			map[string]int{"CertificateClient": 55, "SecretClient": 13, "KeyClient": 21, "CryptographyClient": 9}},
		{"go control plane", func(t *testing.T) (string, []string) { return t.TempDir(), []string{built(t, "./manage")} }, "manage done", map[string]int{"VaultsClient": 12}},
	}
}

func TestEveryMethod(t *testing.T) {
	for _, s := range suites() {
		t.Run(s.name, func(t *testing.T) {
			dir, args := s.program(t)
			out := command(t, dir, "", 0, demo, append([]string{binary, "run", "--"}, args...)...)
			if !strings.Contains(out, s.last) {
				t.Errorf("it did not come to its end: %s", out)
			}
			for client, least := range s.least {
				complete(t, out, client, least)
			}
		})
	}
}

// complete compares the methods that were called with the number that the client has.
func complete(t *testing.T, out, client string, least int) {
	t.Helper()
	names := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^called `+client+`\.(.+)$`).FindAllStringSubmatch(out, -1) {
		names[found[1]] = true
	}
	total := regexp.MustCompile(`(?m)^` + client + `: (\d+) methods$`).FindStringSubmatch(out)
	if total == nil {
		t.Fatalf("%s does not say how many methods it has: %s", client, out)
	}
	if n, _ := strconv.Atoi(total[1]); n < least || len(names) != n {
		t.Errorf("%s: %d methods were called, it has %d, known are %d", client, len(names), n, least)
	}
	t.Logf("%s: %d methods", client, len(names))
}

// java compiles the Java programs and returns the command that starts one.
func java(t *testing.T, class string) []string {
	t.Helper()
	need(t, "java", "javac", "mvn")
	dir, fresh := cache(t, "java", "java/pom.xml")
	path := filepath.Join(dir, "classpath")
	if fresh {
		command(t, ".", "", 0, nil, "mvn", "-q", "-B", "-f", "java/pom.xml", "-Dmaven.repo.local="+filepath.Join(dir, "m2"),
			"dependency:build-classpath", "-Dmdep.outputFile="+path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	libraries := strings.TrimSpace(string(text))
	sources, err := filepath.Glob("java/*.java")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%v, %v", sources, err)
	}
	classes := t.TempDir()
	command(t, ".", "", 0, nil, append([]string{"javac", "-d", classes, "-cp", libraries}, sources...)...)
	return []string{"java", "-javaagent:" + agent(t, libraries), "-cp", classes + string(os.PathListSeparator) + libraries, class}
}

// agent finds the library that may instrument classes: it has to be named on its own.
func agent(t *testing.T, libraries string) string {
	t.Helper()
	for _, library := range filepath.SplitList(libraries) {
		if strings.HasPrefix(filepath.Base(library), "byte-buddy-agent-") {
			return library
		}
	}
	t.Fatal("byte-buddy-agent is not in the class path")
	return ""
}
