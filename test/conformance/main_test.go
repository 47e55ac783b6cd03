package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const table = `| id | statement | status | proof |
| --- | --- | --- | --- |
| cert-1-1 | a | same | TestA |
| cert-1-2 | b | differs: on purpose, see [deviations](deviations.md) | TestA/b |
| cert-1-3 | c | not built: later |  |
`

const passing = `{"Action":"attr","Package":"p","Test":"TestA","Key":"conformance","Value":"cert-1-1"}
{"Action":"attr","Package":"p","Test":"TestA/b","Key":"conformance","Value":"cert-1-2"}
{"Action":"pass","Package":"p","Test":"TestA/b"}
{"Action":"pass","Package":"p","Test":"TestA"}
`

func files(t *testing.T, doc, results string) []string {
	t.Helper()
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, "doc.md"), filepath.Join(dir, "run.json")}
	for i, text := range []string{doc, results} {
		if err := os.WriteFile(paths[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

func TestCheck(t *testing.T) {
	for name, test := range map[string]struct{ doc, results, want string }{
		"good":          {table, passing, ""},
		"failed":        {table, strings.Replace(passing, `"pass","Package":"p","Test":"TestA"}`, `"fail","Package":"p","Test":"TestA"}`, 1), "cert-1-1: no test"},
		"not run":       {table, strings.Split(passing, "\n")[0] + "\n", "cert-1-2: no test"},
		"unknown claim": {table, passing + strings.Replace(strings.Split(passing, "\n")[0], "cert-1-1", "cert-9-9", 1), "cert-9-9: claimed by"},
		"wrong proof":   {strings.Replace(table, "TestA |", "TestZ |", 1), passing, "cert-1-1: the proof is"},
		"two of one":    {table + "| cert-1-1 | a | same | TestA |\n", passing, "there are two rows"},
		"no rows":       {"# nothing", passing, "there are 0 rows"},
		"no claims":     {table, "", "0 claims"},
		"no row":        {table + "| cert | a |\n", passing, "is no row"},
		"tight row":     {table + "|cert-1-4 | a | same | |\n", passing, "is no row"},
		"no reason":     {strings.Replace(table, ", see [deviations](deviations.md)", "", 1), passing, "cert-1-2: a row that differs"},
		"not built":     {strings.Replace(table, "not built: later |  |", "not built: later | TestA |", 1), passing + strings.Replace(strings.Split(passing, "\n")[0], "cert-1-1", "cert-1-3", 1), "cert-1-3: not built, and claimed"},
		"one failed": {strings.Replace(table, "| TestA |", "| TestA TestB |", 1), passing + strings.Replace(strings.Split(passing, "\n")[0], "TestA", "TestB", 1) +
			`
{"Action":"fail","Package":"p","Test":"TestB"}
`, "cert-1-1: no test"},
		"status": {strings.Replace(table, "| same |", "| fine |", 1), passing, "the status is"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := run(&out, files(t, test.doc, test.results), false, false)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("want %q, got %v", test.want, err)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	paths := files(t, strings.ReplaceAll(table, "TestA", "nothing"), passing)
	if err := run(&strings.Builder{}, paths, true, false); err != nil {
		t.Fatal(err)
	}
	if err := run(&strings.Builder{}, paths, false, false); err != nil {
		t.Errorf("after -write: %v", err)
	}
}

func TestPrint(t *testing.T) {
	const failing = `{"Action":"build-output","ImportPath":"q","Output":"q.go:1:1: expected 'package'\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"fine\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"broken\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
`
	var out strings.Builder
	if err := run(&out, files(t, table, failing), false, true); err == nil {
		t.Error("nothing was claimed, and nothing is wrong")
	}
	if out.String() != "q.go:1:1: expected 'package'\nbroken\n" {
		t.Errorf("%q", out.String())
	}
}
