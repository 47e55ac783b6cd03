package coffer_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "coffer"

// A room is one package of the module, without its tests.
type room struct {
	internal, external []string // imports, sorted, of this module and of others
	netHTTP            bool
	granter, inits     bool
}

// rooms reads the imports of every package but those of other modules below.
func rooms(t *testing.T) map[string]*room {
	t.Helper()
	out := map[string]*room{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			_, other := os.Stat(filepath.Join(name, "go.mod"))
			if name != "." && (other == nil || strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := path.Dir(filepath.ToSlash(name))
		if out[dir] == nil {
			out[dir] = &room{}
		}
		out[dir].read(file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("only %d packages were found", len(out))
	}
	return out
}

func (r *room) read(file *ast.File) {
	sealName := ""
	for _, spec := range file.Imports {
		name := strings.Trim(spec.Path.Value, `"`)
		if name == module+"/internal/seal" {
			sealName = "seal"
			if spec.Name != nil {
				sealName = spec.Name.Name
			}
		}
		first, _, _ := strings.Cut(name, "/")
		switch {
		case first == module:
			r.internal = add(r.internal, strings.TrimPrefix(name, module+"/"))
		case strings.Contains(first, "."):
			r.external = add(r.external, name)
		case name == "net/http":
			r.netHTTP = true
		}
	}
	r.granter = r.granter || sealName == "." // what comes by its bare name cannot be told apart
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == sealName && n.Sel.Name == "Granter" {
				r.granter = true
			}
		case *ast.FuncDecl:
			r.inits = r.inits || n.Recv == nil && n.Name.Name == "init"
		}
		return true
	})
}

func add(list []string, name string) []string {
	if at, found := slices.BinarySearch(list, name); !found {
		return slices.Insert(list, at, name)
	}
	return list
}

// table reads the rows of the table under a heading of ARCHITECTURE.md.
func table(t *testing.T, heading string) [][]string {
	t.Helper()
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("ARCHITECTURE.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var rows [][]string
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	if len(rows) == 0 {
		t.Fatalf("the table under %q is empty", heading)
	}
	return rows
}

var quoted = regexp.MustCompile("`([^`]+)`")

func names(cell string) []string {
	var out []string
	for _, match := range quoted.FindAllStringSubmatch(cell, -1) {
		out = add(out, match[1])
	}
	return out
}

func cell(names []string) string {
	if len(names) == 0 {
		return "–"
	}
	return "`" + strings.Join(names, "` `") + "`"
}

// The import table and the code say the same, both ways.
func TestImportTable(t *testing.T) {
	code, told := rooms(t), map[string][]string{}
	for _, row := range table(t, "Imports") {
		told[names(row[0])[0]] = names(row[1])
	}
	for _, dir := range slices.Sorted(maps.Keys(code)) {
		if said, ok := told[dir]; !ok || !slices.Equal(said, code[dir].internal) {
			t.Errorf("the table should have the row\n| `%s` | %s |", dir, cell(code[dir].internal))
		}
		delete(told, dir)
	}
	for dir := range told {
		t.Errorf("the table has a row for %s, which does not exist", dir)
	}
}

// The third-party table names every module with the rooms that import it, and go.mod
// has no others.
func TestThirdPartyTable(t *testing.T) {
	used := map[string][]string{}
	direct := directModules(t)
	for dir, r := range rooms(t) {
		for _, name := range r.external {
			of := moduleOf(name, direct)
			if of == "" {
				t.Errorf("%s imports %s, of no module that go.mod requires directly", dir, name)
			}
			used[of] = add(used[of], dir)
		}
	}
	told := map[string]bool{}
	for _, row := range table(t, "Third-party modules") {
		of := names(row[0])[0]
		told[of] = true
		if said := names(row[1]); !slices.Equal(said, used[of]) {
			t.Errorf("the table should have the row\n| `%s` | %s | reason |", of, cell(used[of]))
		}
		if len(row) < 3 || row[2] == "" {
			t.Errorf("%s is there without a reason", of)
		}
	}
	for _, of := range direct {
		if !told[of] {
			t.Errorf("the table should have the row\n| `%s` | %s | reason |", of, cell(used[of]))
		}
		delete(told, of)
	}
	for of := range told {
		t.Errorf("the table has %s, which go.mod does not require directly", of)
	}
}

func directModules(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) == 2 && strings.HasPrefix(fields[1], "v") {
			out = append(out, fields[0])
		}
	}
	return out
}

func moduleOf(name string, modules []string) string {
	best := ""
	for _, of := range modules {
		if (name == of || strings.HasPrefix(name, of+"/")) && len(of) > len(best) {
			best = of
		}
	}
	return best
}

// The rules of the house that imports can show.
func TestRules(t *testing.T) {
	mayHTTP := []string{"internal/httpd", "internal/arm", "internal/client", "internal/dataplane", "internal/entra", "internal/graph", "internal/oidc", "internal/proxy", "internal/seal/azure", "internal/server", "coffertest", "certificates"}
	mayGrant := []string{"internal/seal", "internal/gate", "internal/server"}
	onlyBy := map[string][]string{
		"internal/audit":      {"cmd/coffer", "coffertest", "internal/gate", "internal/server"}, // two hand the gate its sink, and the command reads logs
		"internal/seal/azure": {"internal/server"}, "internal/seal/passphrase": {"internal/server"}, "internal/seal/pkcs11": {"internal/server"},
		"internal/store": {"internal/archive", "internal/gate", "internal/jobs", "internal/server", "internal/store/bolt", "internal/store/postgres", "internal/store/storetest", "internal/tenant", "internal/vault"},
	}
	for dir, r := range rooms(t) {
		if r.netHTTP && !slices.Contains(mayHTTP, dir) {
			t.Errorf("%s imports net/http", dir)
		}
		if r.granter && !slices.Contains(mayGrant, dir) {
			t.Errorf("%s names seal.Granter: only the gate grants", dir)
		}
		if r.inits {
			t.Errorf("%s has an init function", dir)
		}
		for of, by := range onlyBy {
			if slices.Contains(r.internal, of) && !slices.Contains(by, dir) {
				t.Errorf("%s imports %s", dir, of)
			}
		}
	}
}

// Files stay short enough to be read.
func TestFileLength(t *testing.T) {
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != "." {
			return firstOf(err, filepath.SkipDir)
		}
		if strings.HasSuffix(name, ".go") {
			text, err := os.ReadFile(name)
			if lines := strings.Count(string(text), "\n"); lines > 600 {
				t.Errorf("%s has %d lines", name, lines)
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("no error")
}
