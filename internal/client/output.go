package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// A Column is a part of an answer that a table shows.
type Column struct {
	Title string
	Path  string // of members, with dots: attributes.enabled
}

// Columns makes columns of pairs: a title and a path.
func Columns(pairs ...string) []Column {
	var out []Column
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, Column{pairs[i], pairs[i+1]})
	}
	return out
}

// Print writes an answer to w. As json it is the service's own form, with the members
// name and version where the answer has an id with them. As table it is the columns: a
// row for each item of a list, or a line for each column of a single object.
func Print(w io.Writer, format string, value any, columns []Column) error {
	plain, err := plainForm(value)
	if err != nil {
		return err
	}
	if format == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(plain)
	}
	var text bytes.Buffer
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	list, ok := plain.([]any)
	if ok {
		printRows(table, list, columns)
	} else {
		for _, c := range columns {
			if text := c.text(plain); text != "" {
				fmt.Fprintf(table, "%s\t%s\n", c.Title, text)
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func printRows(w io.Writer, list []any, columns []Column) {
	var titles []string
	for _, c := range columns {
		titles = append(titles, c.Title)
	}
	fmt.Fprintln(w, strings.Join(titles, "\t"))
	for _, item := range list {
		var cells []string
		for _, c := range columns {
			cells = append(cells, c.text(item))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
}

// plainForm is the value as JSON has it.
func plainForm(value any) (any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var plain any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&plain); err != nil {
		return nil, err
	}
	if list, ok := plain.([]any); ok {
		for _, item := range list {
			identify(item)
		}
	} else if plain == nil { // a list of nothing
		plain = []any{}
	} else {
		identify(plain)
	}
	return plain, nil
}

// Names are those of the items of a list, as json has them.
func Names(list any) ([]string, error) {
	plain, err := plainForm(list)
	if err != nil {
		return nil, err
	}
	items, _ := plain.([]any)
	var out []string
	for _, item := range items {
		if name, _ := lookup(item, "name").(string); name != "" {
			out = append(out, name)
		}
	}
	return out, nil
}

// WithMember is the JSON of an object with a member more.
func WithMember(object any, name string, value any) ([]byte, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	if members[name], err = json.Marshal(value); err != nil {
		return nil, err
	}
	return json.Marshal(members)
}

// identify sets the name and the version beside an id that has them.
func identify(item any) {
	object, ok := item.(map[string]any)
	if !ok || object["name"] != nil {
		return
	}
	for _, path := range []string{"id", "kid", "key.kid"} {
		id, _ := lookup(object, path).(string)
		if of := ParseID(id); of.Name != "" {
			object["name"] = of.Name
			if of.Version != "" {
				object["version"] = of.Version
			}
			return
		}
	}
}

// An ObjectID is what the id of an object of a vault says.
type ObjectID struct{ VaultURL, Collection, Name, Version string }

// collections are the words before a name in an id, and how many there are of them.
var collections = []string{"certificates/issuers", "certificates", "secrets", "keys", "deletedcertificates", "deletedsecrets", "deletedkeys"}

// ParseID takes an id apart: https://HOST/secrets/NAME/VERSION. What is no such id gives
// an empty one.
func ParseID(id string) ObjectID {
	rest, ok := strings.CutPrefix(id, "https://")
	if !ok {
		return ObjectID{}
	}
	host, path, _ := strings.Cut(rest, "/")
	for _, collection := range collections {
		if tail, ok := strings.CutPrefix(path, collection+"/"); ok {
			name, version, _ := strings.Cut(tail, "/")
			if name == "" || strings.Contains(version, "/") {
				return ObjectID{}
			}
			return ObjectID{"https://" + host, collection, name, version}
		}
	}
	return ObjectID{}
}

func lookup(item any, path string) any {
	for member := range strings.SplitSeq(path, ".") {
		object, ok := item.(map[string]any)
		if !ok {
			return nil
		}
		item = object[member]
	}
	return item
}

// times are members with seconds since 1970.
var times = map[string]bool{"exp": true, "nbf": true, "created": true, "updated": true, "deletedDate": true, "scheduledPurgeDate": true}

// text is what a table shows of an item.
func (c Column) text(item any) string {
	value := lookup(item, c.Path)
	last := c.Path[strings.LastIndex(c.Path, ".")+1:]
	if number, ok := value.(json.Number); ok && times[last] {
		if seconds, err := number.Int64(); err == nil {
			return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
		}
	}
	return cell(value)
}

func cell(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return Printable(value)
	case []any:
		var words []string
		for _, item := range value {
			words = append(words, cell(item))
		}
		return strings.Join(words, ",")
	case map[string]any:
		var words []string
		for _, name := range slices.Sorted(maps.Keys(value)) {
			words = append(words, Printable(name)+"="+cell(value[name]))
		}
		return strings.Join(words, ",")
	}
	return fmt.Sprint(value)
}

// Printable escapes what could forge a line or steer a terminal: others can have sent it.
func Printable(text string) string {
	clean := !strings.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) })
	if clean {
		return text
	}
	quoted := strconv.Quote(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
