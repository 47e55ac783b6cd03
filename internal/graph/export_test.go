package graph

import "strings"

// A Row is a route, as tests see it.
type Row struct {
	Method, Pattern  string
	ByOwner, ByAdmin bool
}

// Rows is the route table.
func Rows() (out []Row) {
	for _, r := range routes {
		out = append(out, Row{r.method, r.pattern, r.right == owner, r.right == administrator})
	}
	return out
}

// ReadFilter reads a $filter and writes it again.
func ReadFilter(text string) (string, error) {
	terms, err := parseFilter(text)
	var out []string
	for _, t := range terms {
		out = append(out, t.String())
	}
	return strings.Join(out, " and "), err
}
