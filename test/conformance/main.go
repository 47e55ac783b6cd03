// Command conformance holds docs/conformance.md against a run of the tests. A row of its
// tables is a statement that a client can observe; a test claims it with
//
//	t.Attr("conformance", "cert-5.3-2")
//
// and the output of go test -json has the claim. The command fails on a row that says
// "same" or "differs" without a claim of a test that passed, on a claim of a row that is
// not there, and on a proof column that does not name exactly the tests that claim.
//
//	go test -json ./... > run.json
//	go run ./test/conformance [-write] docs/conformance.md run.json …
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	write := flag.Bool("write", false, "write the proof column from the claims")
	show := flag.Bool("v", false, "print the output of the tests that failed")
	flag.Parse()
	if err := run(os.Stdout, flag.Args(), *write, *show); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out io.Writer, args []string, write, show bool) error {
	if len(args) < 2 {
		return errors.New("usage: conformance [-write] [-v] docs/conformance.md run.json …")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	r := newResults()
	for _, path := range args[1:] {
		if err := r.read(path); err != nil {
			return err
		}
	}
	if show {
		r.print(out)
	}
	rows, err := parse(string(text))
	if err != nil {
		return err
	}
	if write {
		return os.WriteFile(args[0], []byte(rewrite(string(text), r.claims())), 0o644)
	}
	if problems := check(rows, r); len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	count := map[string]int{}
	for _, row := range rows {
		count[row.word()]++
	}
	fmt.Fprintf(out, "conformance: %d rows, %d same, %d differ on purpose, %d not built\n", len(rows), count["same"], count["differs"], count["not"])
	return nil
}

// A row is one statement.
type row struct {
	id, statement, status string
	proof                 []string
}

// word is the first of the status: same, differs, or not.
func (r row) word() string {
	word, _, _ := strings.Cut(strings.TrimRight(r.status, ":"), " ")
	return strings.TrimRight(word, ":")
}

var rowForm = regexp.MustCompile(`^\| ([a-z]+-[0-9A-Za-z.]+-[0-9]+) \| (.*) \| (.*) \| (.*) \|$`)

func parse(text string) ([]row, error) {
	var rows []row
	for n, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| id ") || strings.HasPrefix(line, "| --- ") {
			continue
		}
		m := rowForm.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("line %d is no row: %s", n+1, line)
		}
		rows = append(rows, row{m[1], m[2], m[3], strings.Fields(m[4])})
	}
	return rows, nil
}

// rewrite puts the tests that claim a row into its last column.
func rewrite(text string, claims map[string][]string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if m := rowForm.FindStringSubmatch(line); m != nil {
			lines[i] = fmt.Sprintf("| %s | %s | %s | %s |", m[1], m[2], m[3], strings.Join(claims[m[1]], " "))
		}
	}
	return strings.Join(lines, "\n")
}

// results are what the tests did.
type results struct {
	claimed map[string][]string // by test
	passed  map[string]bool
	failed  map[string]bool
	output  map[string][]string
	build   []string // what the compiler said
}

func newResults() *results {
	return &results{claimed: map[string][]string{}, passed: map[string]bool{}, failed: map[string]bool{}, output: map[string][]string{}}
}

func (r *results) read(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var event struct{ Action, Package, Test, Key, Value, Output string }
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			continue // what the build prints
		}
		name := event.Package + " " + event.Test
		switch event.Action {
		case "attr":
			if event.Key == "conformance" {
				r.claimed[name] = append(r.claimed[name], event.Value)
			}
		case "pass":
			r.passed[name] = true
		case "fail":
			r.failed[name] = true
		case "output":
			r.output[name] = append(r.output[name], event.Output)
		case "build-output":
			r.build = append(r.build, event.Output)
		}
	}
	return lines.Err()
}

// print shows what the compiler and the tests that failed have printed.
func (r *results) print(out io.Writer) {
	fmt.Fprint(out, strings.Join(r.build, ""))
	var names []string
	for name := range r.failed {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprint(out, strings.Join(r.output[name], ""))
	}
}

// claims are the tests, by row, whether they passed or not.
func (r *results) claims() map[string][]string {
	out := map[string][]string{}
	for name, ids := range r.claimed {
		_, test, _ := strings.Cut(name, " ")
		for _, id := range ids {
			if !slices.Contains(out[id], test) {
				out[id] = append(out[id], test)
			}
		}
	}
	for _, tests := range out {
		slices.Sort(tests)
	}
	return out
}

// proven are the rows that tests have claimed of which at least one passed and none
// failed.
func (r *results) proven() map[string]bool {
	passed, failed := map[string]bool{}, map[string]bool{}
	for name, ids := range r.claimed {
		for _, id := range ids {
			passed[id] = passed[id] || r.passed[name]
			failed[id] = failed[id] || r.failed[name]
		}
	}
	for id := range failed {
		passed[id] = passed[id] && !failed[id]
	}
	return passed
}

func check(rows []row, r *results) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	claims, proven, known := r.claims(), r.proven(), map[string]bool{}
	if len(rows) == 0 || len(claims) == 0 {
		say("there are %d rows and %d claims; both are needed", len(rows), len(claims))
	}
	for _, row := range rows {
		if known[row.id] {
			say("%s: there are two rows of this id", row.id)
		}
		known[row.id] = true
		switch row.word() {
		case "same", "differs":
			if !proven[row.id] {
				say("%s: no test that claims it passed in this run, or one failed", row.id)
			}
			if row.word() == "differs" && !strings.Contains(row.status, "](deviations.md") {
				say("%s: a row that differs says why, and links to deviations.md", row.id)
			}
		case "not":
			if len(claims[row.id]) > 0 {
				say("%s: not built, and claimed by %v", row.id, claims[row.id])
			}
		default:
			say("%s: the status is same, differs: …, or not built: …", row.id)
		}
		if !slices.Equal(row.proof, claims[row.id]) {
			say("%s: the proof is %v, and the row says %v; run it with -write", row.id, claims[row.id], row.proof)
		}
	}
	for id, tests := range claims {
		if !known[id] {
			say("%s: claimed by %v, and there is no such row", id, tests)
		}
	}
	slices.Sort(problems)
	return problems
}
