package graph

import (
	"slices"
	"strings"
)

// A term is one condition of a $filter: FIELD eq 'x', startswith(FIELD,'x'),
// FIELD/any(c:c eq 'x'), or FIELD eq true. All terms of a filter have to hold.
type term struct {
	op    string // eq, startswith or any
	field string
	value string
	bare  bool // value is true or false, not a text
}

// String writes the term as it can be read again.
func (t term) String() string {
	value := "'" + strings.ReplaceAll(t.value, "'", "''") + "'"
	if t.bare {
		value = t.value
	}
	switch t.op {
	case "startswith":
		return "startswith(" + t.field + "," + value + ")"
	case "any":
		return t.field + "/any(x:x eq " + value + ")"
	}
	return t.field + " eq " + value
}

// The bounds of a filter.
const (
	maxFilter = 4096 // bytes
	maxTerms  = 16
)

// parseFilter reads a $filter. Whatever is not one of the four forms, joined by and, is
// refused: a condition that was ignored would show too much.
func parseFilter(text string) ([]term, error) {
	p := parser{rest: text}
	if len(text) > maxFilter {
		return nil, unsupportedQuery("The $filter is longer than %d characters.", maxFilter)
	}
	var terms []term
	for p.next(); p.token != ""; p.next() {
		t, ok := p.term()
		if !ok || len(terms) == maxTerms {
			return nil, unsupportedFilter()
		}
		terms = append(terms, t)
		if p.next(); p.token == "" && !p.failed {
			return terms, nil
		}
		if !p.word("and") {
			break
		}
	}
	return nil, unsupportedFilter()
}

func unsupportedFilter() error {
	return unsupportedQuery("Unsupported or invalid query filter clause specified. This server has: PROPERTY eq 'x', startswith(PROPERTY,'x'), PROPERTY/any(c:c eq 'x'), and several of them joined by and.")
}

// A parser goes through a filter. The token is empty at the end, and when bad.
type parser struct {
	rest   string
	token  string // a name, one of ( ) : , / or a quote, when it is a text
	text   string // of a quoted text, without its quotes
	failed bool
}

// next reads a token.
func (p *parser) next() {
	p.rest = strings.TrimLeft(p.rest, " ")
	p.token, p.text = "", ""
	if p.rest == "" || p.failed {
		return
	}
	switch c := p.rest[0]; {
	case strings.IndexByte("():,/", c) >= 0:
		p.token, p.rest = p.rest[:1], p.rest[1:]
	case c == '\'':
		p.quoted()
	default:
		length := strings.IndexFunc(p.rest, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_'
		})
		if length < 0 {
			length = len(p.rest)
		}
		p.token, p.rest, p.failed = p.rest[:length], p.rest[length:], length == 0
	}
}

// quoted reads a text, in which two quotes stand for one.
func (p *parser) quoted() {
	for at := 1; at < len(p.rest); at++ {
		if p.rest[at] != '\'' {
			continue
		}
		if at+1 < len(p.rest) && p.rest[at+1] == '\'' {
			at++
			continue
		}
		p.token, p.text, p.rest = "'", strings.ReplaceAll(p.rest[1:at], "''", "'"), p.rest[at+1:]
		return
	}
	p.failed = true
}

func (p *parser) word(word string) bool { return strings.EqualFold(p.token, word) }

// expect reads a token and compares it.
func (p *parser) expect(word string) bool {
	p.next()
	return p.word(word)
}

// name takes the token as a name.
func (p *parser) name() (string, bool) {
	first := p.token
	return first, first != "" && !strings.Contains("():,/'", first)
}

// term reads one; the first token of it is read already.
func (p *parser) term() (t term, ok bool) {
	if t.field, ok = p.name(); !ok {
		return t, false
	}
	p.next()
	switch {
	case p.token == "(" && strings.EqualFold(t.field, "startswith"):
		return p.startsWith()
	case p.token == "/":
		t.op = "any"
		ok = p.expect("any") && p.expect("(") && p.lambda() && p.value(&t) && p.expect(")")
		return t, ok && !t.bare
	case p.word("eq"):
		t.op = "eq"
		return t, p.value(&t)
	}
	return t, false
}

func (p *parser) startsWith() (t term, ok bool) {
	t.op = "startswith"
	p.next()
	if t.field, ok = p.name(); !ok {
		return t, false
	}
	ok = p.expect(",") && p.value(&t) && p.expect(")")
	return t, ok && !t.bare
}

// lambda reads "c:c eq", whatever the variable is called.
func (p *parser) lambda() bool {
	p.next()
	variable, ok := p.name()
	if !ok || !p.expect(":") {
		return false
	}
	p.next()
	return p.token == variable && p.expect("eq")
}

func (p *parser) value(t *term) bool {
	p.next()
	switch {
	case p.token == "'":
		t.value = p.text
		return true
	case p.word("true"), p.word("false"):
		t.value, t.bare = strings.ToLower(p.token), true
		return true
	}
	return false
}

// A property is what of an object a filter can ask for.
type property[T any] struct {
	name string
	ops  string           // the operators that it has
	get  func(T) []string // the values
	flag bool             // true or false
}

// compile makes a condition of a $filter. An empty one is none.
func compile[T any](text string, properties []property[T]) (func(T) bool, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	terms, err := parseFilter(text)
	if err != nil {
		return nil, err
	}
	var conditions []func(T) bool
	for _, t := range terms {
		at := slices.IndexFunc(properties, func(p property[T]) bool { return strings.EqualFold(p.name, t.field) })
		if at < 0 || !slices.Contains(strings.Fields(properties[at].ops), t.op) || properties[at].flag != t.bare {
			return nil, unsupportedQuery("Unsupported or invalid query filter clause specified for property '%s' of the resource.", clip(t.field))
		}
		conditions = append(conditions, func(item T) bool { return slices.ContainsFunc(properties[at].get(item), t.fits) })
	}
	return func(item T) bool {
		for _, fits := range conditions {
			if !fits(item) {
				return false
			}
		}
		return true
	}, nil
}

// fits compares without regard to case, as the service does.
func (t term) fits(value string) bool {
	if t.op == "startswith" {
		return strings.HasPrefix(strings.ToLower(value), strings.ToLower(t.value))
	}
	return strings.EqualFold(value, t.value)
}
