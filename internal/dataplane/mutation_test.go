package dataplane_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"coffer/internal/dataplane"
)

// A table of bad requests, generated from route × member × mutation. The members come
// from the wire types by reflection, the routes from the route table; what is expected
// of each stands in mutation_table_test.go. A member without an expectation fails, and
// so does an expectation without a member.

// A shape is what a wire type looks like in JSON.
type shape struct {
	kind    string // object, list, map, string, int or bool
	members []member
}

// A member is a member of an object, with its name, or the element of a list or map.
type member struct {
	name string
	*shape
}

// shapeOf walks a wire type.
func shapeOf(t *testing.T, typ reflect.Type) *shape {
	t.Helper()
	switch typ.Kind() {
	case reflect.Pointer:
		return shapeOf(t, typ.Elem())
	case reflect.String:
		return &shape{kind: "string"}
	case reflect.Bool:
		return &shape{kind: "bool"}
	case reflect.Int, reflect.Int64:
		return &shape{kind: "int"}
	case reflect.Slice:
		return &shape{kind: "list", members: []member{{"[]", shapeOf(t, typ.Elem())}}}
	case reflect.Map:
		return &shape{kind: "map", members: []member{{"{}", shapeOf(t, typ.Elem())}}}
	case reflect.Struct:
		out := &shape{kind: "object"}
		for field := range typ.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" || field.Anonymous {
				t.Fatalf("%v.%s has no name in JSON", typ, field.Name)
			}
			out.members = append(out.members, member{name, shapeOf(t, field.Type)})
		}
		return out
	}
	t.Fatalf("%v: no mutation is known for this kind of member", typ)
	return nil
}

// join is the path of a member: policy.lifetime_actions[].trigger, tags{}.
func join(path, name string) string {
	if path == "" || name == "[]" || name == "{}" {
		return path + name
	}
	return path + "." + name
}

// each calls fn for all members, down to the leaves.
func (s *shape) each(path string, fn func(path string, in *shape, m member)) {
	for _, m := range s.members {
		fn(join(path, m.name), s, m)
		m.each(join(path, m.name), fn)
	}
}

// A row is a line of the table.
type row struct {
	value    string // of a leaf, as JSON
	alone    bool   // is left out unless it is its turn, and then its neighbours are
	outcomes string // a letter per mutation
}

// A rendering writes a body of valid values, but for the pieces in the place of one
// member.
type rendering struct {
	rows   map[string]row
	target string
	pieces []piece
}

// A piece is a name with a value. The elements of a list have no name.
type piece struct{ name, value string }

func (r rendering) text(s *shape, path string) string {
	if len(s.members) == 0 {
		return r.rows[path].value
	}
	var parts []string
	for _, m := range s.members {
		for _, p := range r.of(s, path, m) {
			if s.kind != "list" {
				p.value = `"` + p.name + `":` + p.value
			}
			parts = append(parts, p.value)
		}
	}
	if s.kind == "list" {
		return "[" + strings.Join(parts, ",") + "]"
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// of is what stands for one member.
func (r rendering) of(in *shape, path string, m member) []piece {
	at := join(path, m.name)
	if at == r.target {
		return r.pieces
	}
	turn := r.rows[r.target].alone && slices.ContainsFunc(in.members, func(n member) bool { return join(path, n.name) == r.target })
	if r.rows[at].alone || turn {
		return nil
	}
	return []piece{{m.label(), r.text(m.shape, at)}}
}

// label is the name under which a member is sent.
func (m member) label() string {
	if m.name == "{}" {
		return "a"
	}
	return m.name
}

// The mutations, in the order of the letters of a row.
var mutationNames = []string{"missing", "null", "wrong type", "empty", "huge", "twice", "wrong case"}

// mutate returns what to send for a member, once or several times; nothing for a
// mutation that the member cannot have.
func mutate(mutation string, m member, valid string) [][]piece {
	one := func(value string) [][]piece { return [][]piece{{{m.label(), value}}} }
	switch mutation {
	case "missing":
		return [][]piece{{}}
	case "null":
		return one("null")
	case "wrong type":
		return wrongTypes(m, valid)
	case "empty":
		if text, ok := map[string]string{"string": `""`, "int": "0", "list": "[]", "map": "{}", "object": "{}"}[m.kind]; ok {
			return one(text)
		}
	case "huge":
		if text := huge(m, valid); text != "" {
			return one(text)
		}
	case "twice":
		return [][]piece{{{m.label(), valid}, {m.label(), valid}}}
	case "wrong case":
		if m.name != "[]" && m.name != "{}" {
			return [][]piece{{{strings.ToUpper(m.name), valid}}}
		}
	}
	return nil
}

// wrongTypes are the values of all other kinds, and one of them as the second of two
// and under the name in capitals: both are read, so both are refused.
func wrongTypes(m member, valid string) [][]piece {
	var out [][]piece
	for _, other := range []struct{ kind, value string }{
		{"string", `"` + secretWord + `"`}, {"int", "7"}, {"bool", "true"}, {"list", `["` + secretWord + `"]`}, {"object", `{"a":7}`},
	} {
		if other.kind != m.kind && (m.kind != "map" || other.kind != "object") {
			out = append(out, []piece{{m.label(), other.value}})
		}
	}
	for _, value := range map[string][]string{"int": {"1.5", "1e30", "1e2"}, "object": {"[]"}, "map": {"[]"}, "list": {"{}"}}[m.kind] {
		out = append(out, []piece{{m.label(), value}})
	}
	if m.kind == "list" { // there are no lists of lists
		out = append(out, []piece{{m.label(), "[[]]"}})
	}
	wrong := out[0][0].value
	out = append(out, []piece{{m.label(), valid}, {m.label(), wrong}})
	if m.name != "[]" && m.name != "{}" {
		out = append(out, []piece{{strings.ToUpper(m.name), wrong}})
	}
	return out
}

// The sizes of what is huge. The body of it stays below the limit of a body, which is
// another test's.
const (
	hugeText = 100_000
	hugeList = 1_000
)

func huge(m member, valid string) string {
	switch m.kind {
	case "string":
		return `"` + strings.Repeat("a", hugeText) + `"`
	case "int":
		return "1000000000000000000"
	case "list":
		element := strings.TrimSuffix(strings.TrimPrefix(valid, "["), "]")
		return "[" + strings.Repeat(element+",", hugeList-1) + element + "]"
	case "map":
		return "{" + strings.TrimSuffix(numbered(`"v"`), ",") + "}"
	case "object":
		return "{" + numbered("[]") + strings.TrimPrefix(valid, "{")
	}
	return ""
}

// numbered are many members that nobody knows.
func numbered(value string) string {
	var b strings.Builder
	for i := range hugeList {
		b.WriteString(`"x` + strings.Repeat("y", i%7) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + `":` + value + ",")
	}
	return b.String()
}

func TestMutations(t *testing.T) {
	table := mutationTable()
	var known []string
	for route := range table {
		known = append(known, route)
	}
	slices.Sort(known)
	if routes := dataplane.BodyRoutes(); !slices.Equal(routes, known) {
		t.Fatalf("the routes with a body are\n%q\nand the table has\n%q", routes, known)
	}
	w := newMutationWorld(t)
	before := w.quiet.state()
	for _, route := range known {
		t.Run(strings.ReplaceAll(route, "/", "."), func(t *testing.T) { w.on(t).walk(route, table[route], before) })
	}
	w.noSecretIn(w.server.AuditLog())
}

// walk sends all mutations of one route: those that are to be refused to the quiet
// vault, in which nothing may change, and the others to the busy one.
func (w *mutationWorld) walk(route string, target mutationTarget, before string) {
	rows := target.rows(w.t)
	body := shapeOf(w.t, reflect.TypeOf(target.body))
	if !w.complete(route, body, rows) {
		return
	}
	var since []string // the members since nothing had changed
	w.accepted(route, target, "nothing is wrong", rendering{rows: rows}.text(body, ""))
	body.each("", func(path string, _ *shape, m member) {
		valid := rendering{rows: rows, target: path}.text(m.shape, path)
		for i, mutation := range mutationNames {
			w.try(route, target, path+" "+mutation, rows[path].outcomes[i], bodies(body, rows, path, mutate(mutation, m, valid)))
		}
		if since = append(since, path); len(since) == compareEvery {
			w.unchanged(route, since, before)
			since = nil
		}
	})
	w.unchanged(route, since, before)
}

// complete checks that every member has an expectation, and every expectation a member.
func (w *mutationWorld) complete(route string, body *shape, rows map[string]row) bool {
	w.t.Helper()
	unused := maps.Clone(rows)
	whole := true
	body.each("", func(path string, _ *shape, _ member) {
		if r, ok := rows[path]; !ok || len(r.outcomes) != len(mutationNames) {
			w.t.Errorf("%s %s has no expectation for each of %q", route, path, mutationNames)
			whole = false
		}
		delete(unused, path)
	})
	for path := range unused {
		w.t.Errorf("%s has no member %s", route, path)
		whole = false
	}
	return whole
}

// compareEvery is after how many members the whole state is compared: some hundred
// refused requests that all may have changed nothing.
const compareEvery = 10

func (w *mutationWorld) unchanged(route string, paths []string, before string) {
	w.t.Helper()
	if after := w.quiet.state(); after != before {
		w.t.Fatalf("%s: a refused request with one of %q changed something:\n%s\n%s", route, paths, before, after)
	}
}

func bodies(body *shape, rows map[string]row, path string, mutated [][]piece) []string {
	var out []string
	for _, pieces := range mutated {
		out = append(out, rendering{rows, path, pieces}.text(body, ""))
	}
	return out
}

// try sends one mutation of one member and checks the answer.
func (w *mutationWorld) try(route string, target mutationTarget, what string, outcome byte, bodies []string) {
	w.t.Helper()
	if (outcome == '.') != (len(bodies) == 0) {
		w.t.Errorf("%s %s: the outcome %c for %d bodies", route, what, outcome, len(bodies))
		return
	}
	for _, text := range bodies {
		switch outcome {
		case 'a':
			w.accepted(route, target, what, text)
		case 'b':
			w.refused(route, target, what, text, "BadParameter")
		case 'm':
			w.refused(route, target, what, text, "Malformed backup blob")
		default:
			w.t.Errorf("%s %s: %c is no outcome", route, what, outcome)
		}
	}
}

func (w *mutationWorld) accepted(route string, target mutationTarget, what, text string) {
	w.t.Helper()
	method, _, _ := strings.Cut(route, " ")
	d, path, values := target.place(w, w.busy)
	a := d.do(method, path, values.Replace(text))
	if a.status != target.status {
		w.t.Errorf("%s %s: want %d, got %d %s\nfor %.400s", route, what, target.status, a.status, a.text, text)
	}
	w.noSecretIn(a.text)
	// What was made has to be readable; what was changed has been read for the answer.
	if rest, ok := strings.CutPrefix(path, "/certificates/n"); ok {
		name, _, _ := strings.Cut(rest, "/")
		w.want(d.do("GET", "/certificates/n"+name+newestVersion, ""), 200, "")
	}
}

func (w *mutationWorld) refused(route string, target mutationTarget, what, text, code string) {
	w.t.Helper()
	method, _, _ := strings.Cut(route, " ")
	d, path, values := target.place(w, w.quiet)
	a := d.do(method, path, values.Replace(text))
	if a.status != 400 || a.code() != code {
		w.t.Errorf("%s %s: want 400 %s, got %d %.400s\nfor %.400s", route, what, code, a.status, a.text, text)
	}
	w.errorForm(a)
	if strings.HasSuffix(what, " wrong type") {
		if top, _, _ := strings.Cut(strings.NewReplacer("[]", "", "{}", "").Replace(what), " "); !strings.HasPrefix(a.message(), "Property "+top+" has invalid value") {
			w.t.Errorf("%s %s: %q does not say where\nfor %.400s", route, what, a.message(), text)
		}
	}
}
