package graph

import (
	"net/http"
	"strings"
)

// A filter is what a $filter asks for: one comparison with one text. That is all that
// tools send.
type filter struct {
	property string // folded: "displayname", "appid", "identifieruris", …; empty: everything
	prefix   bool   // startswith
	value    string
}

// holds compares with the values of the property, without regard to case.
func (f filter) holds(values ...string) bool {
	for _, value := range values {
		if f.prefix && len(value) >= len(f.value) && strings.EqualFold(value[:len(f.value)], f.value) || !f.prefix && strings.EqualFold(value, f.value) {
			return true
		}
	}
	return false
}

func unsupported(text string) error {
	return fail(http.StatusBadRequest, "Request_UnsupportedQuery", "Unsupported or invalid query filter clause: '%s'. Use one of: PROPERTY eq 'TEXT', startswith(PROPERTY,'TEXT'), PROPERTY/any(x:x eq 'TEXT').", clip(text))
}

// parseFilter reads one of
//
//	property eq 'text'
//	startswith(property,'text')
//	property/any(x:x eq 'text')
//
// where ” in a text is one quote.
func parseFilter(text string) (f filter, err error) {
	rest := strings.TrimSpace(text)
	if rest == "" {
		return f, nil
	}
	folded := lowerASCII(rest)
	switch {
	case strings.HasPrefix(folded, "startswith("):
		inner, ok := strings.CutSuffix(rest[len("startswith("):], ")")
		property, value, found := strings.Cut(inner, ",")
		if !ok || !found {
			return f, unsupported(text)
		}
		f.property, f.prefix = strings.ToLower(strings.TrimSpace(property)), true
		rest = strings.TrimSpace(value)
	case strings.Contains(folded, "/any("):
		at := strings.Index(folded, "/any(")
		inner, ok := strings.CutSuffix(rest[at+len("/any("):], ")")
		name, comparison, found := strings.Cut(inner, ":")
		name = strings.TrimSpace(name)
		value, equal := cutEq(comparison, name)
		if !ok || !found || !equal || !isWord(name) {
			return f, unsupported(text)
		}
		f.property = strings.ToLower(strings.TrimSpace(rest[:at]))
		rest = value
	default:
		property, _, _ := strings.Cut(rest, " ")
		value, equal := cutEq(rest, property)
		if !equal {
			return f, unsupported(text)
		}
		f.property = strings.ToLower(property)
		rest = value
	}
	value, ok := quoted(rest)
	if !ok || !isWord(f.property) {
		return filter{}, unsupported(text)
	}
	f.value = value
	return f, nil
}

// cutEq returns what stands behind NAME eq.
func cutEq(text, name string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), name)
	if !ok || name == "" {
		return "", false
	}
	words := strings.TrimLeft(rest, " ")
	if len(words) < 3 || !strings.EqualFold(words[:2], "eq") || words[2] != ' ' || words == rest {
		return "", false
	}
	return strings.TrimSpace(words[3:]), true
}

// quoted reads a text in single quotes, whole.
func quoted(text string) (string, bool) {
	if len(text) < 2 || text[0] != '\'' || text[len(text)-1] != '\'' {
		return "", false
	}
	inner := text[1 : len(text)-1]
	if strings.Contains(strings.ReplaceAll(inner, "''", ""), "'") {
		return "", false
	}
	return strings.ReplaceAll(inner, "''", "'"), true
}

// lowerASCII keeps the length, whatever the text holds.
func lowerASCII(text string) string {
	out := []byte(text)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return string(out)
}

func isWord(text string) bool {
	return text != "" && strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}
