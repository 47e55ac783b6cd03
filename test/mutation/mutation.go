// Package mutation makes bad requests of good ones, for the tests of the doors. From the type
// that a body is read into it takes all members there are; each of them is left out, is
// another value of every kind, and stands under another name:
//
//	for body := range mutation.Bodies(wire.SetSecret{}, `{"value":"v"}`) {
//		…
//	}
//
// What a test asserts of the answers is its own: that none is a 5xx, that refusals have the
// protocol's form and repeat nothing, and that what is refused has changed nothing.
package mutation

import (
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
)

// Secret stands for itself in the place of many values: no answer and no log may repeat a text
// that was not asked for. It is a word that nothing else has.
const Secret = "canary-of-a-mutation"

// values stand where a member of any type is.
var values = []string{
	`null`, `true`, `-1`, `1e400`, `9223372036854775808`, `3.5`, `""`, `"\u0000"`, `"\ud800"`, `"ÿ"`, `[]`, `[null]`, `[[[[]]]]`, `{}`, `{"a":{"b":{}}}`, `"` + strings.Repeat("A", 30000) + `"`,
	`"P1D"`, `"P99999999999Y"`, `"-P1D"`, `"AA==\r\n"`, `"../../x"`, `["sign","sign","nonsense"]`, `"` + Secret + `"`, `["` + Secret + `"]`, `"' or '1'='1"`, `"%2e%2e%2fx"`, `"\u202e\ufeff"`,
}

// Bodies yields the mutations of a good body, which is an object that is read into a value of
// the type of into, and bodies that are no object at all.
func Bodies(into any, good string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, path := range Paths(reflect.TypeOf(into)) {
			for _, value := range values {
				if !yield(put(document(good), path, json.RawMessage(value))) {
					return
				}
			}
			if !yield(drop(document(good), path)) || !yield(put(document(good), upper(path), json.RawMessage(`[7]`))) || !yield(twice(good, path)) {
				return
			}
		}
		for _, body := range []string{"", "null", "[]", "{", `"text"`, good[:len(good)-1], good + good, strings.Repeat("[", 20000), strings.Repeat(`{"a":`, 20000), "\xff\xfe{}", "\ufeff{}"} {
			if !yield(body) {
				return
			}
		}
	}
}

// document reads a good body, which is the test's own.
func document(good string) map[string]any {
	var out map[string]any
	if err := json.Unmarshal([]byte(good), &out); err != nil {
		panic(fmt.Sprintf("mutation: %q is no object: %v", good, err))
	}
	return out
}

// Paths are all members of a type, those of the elements of lists too.
func Paths(of reflect.Type) [][]string { return paths(of, nil) }

func paths(of reflect.Type, prefix []string) (out [][]string) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || len(prefix) > 5 {
		return nil
	}
	for i := range of.NumField() {
		field := of.Field(i)
		if field.Anonymous {
			out = append(out, paths(field.Type, prefix)...)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		path := append(slices.Clone(prefix), name)
		out = append(append(out, path), paths(field.Type, path)...)
	}
	return out
}

// parent is the object that a member stands in; objects on the way to it are made.
func parent(document map[string]any, path []string) map[string]any {
	at := document
	for _, name := range path[:len(path)-1] {
		inner, ok := at[name].(map[string]any)
		if list, isList := at[name].([]any); isList && len(list) > 0 {
			inner, ok = list[0].(map[string]any)
		}
		if !ok {
			inner = map[string]any{}
			at[name] = inner
		}
		at = inner
	}
	return at
}

// put sets a member of a document.
func put(document map[string]any, path []string, value json.RawMessage) string {
	at, name := parent(document, path), path[len(path)-1]
	at[name] = value
	text, err := json.Marshal(document)
	if err != nil { // a value that Go does not write is sent as it is
		at[name] = "\x01"
		text, _ = json.Marshal(document)
		return strings.Replace(string(text), `"\u0001"`, string(value), 1)
	}
	return string(text)
}

// drop leaves a member out.
func drop(document map[string]any, path []string) string {
	delete(parent(document, path), path[len(path)-1])
	text, _ := json.Marshal(document)
	return string(text)
}

// twice has the outermost member once more, as something else.
func twice(good string, path []string) string {
	name, _ := json.Marshal(path[0])
	return strings.TrimSuffix(strings.TrimSpace(good), "}") + "," + string(name) + ":" + `"` + Secret + `"}`
}

// upper is a path whose last name is in capitals.
func upper(path []string) []string {
	out := slices.Clone(path)
	out[len(out)-1] = strings.ToUpper(out[len(out)-1])
	return out
}
