package graph

// A RouteRow is what tests see of the route table.
type RouteRow struct {
	Method, Pattern string
	Changes         bool
}

// Routes returns the route table.
func Routes() (out []RouteRow) {
	for _, r := range routes {
		out = append(out, RouteRow{r.method, r.pattern, r.changes})
	}
	return out
}

// ParseFilter reads a filter; holds says whether it holds of a value.
func ParseFilter(text string) (property string, holds func(...string) bool, err error) {
	f, err := parseFilter(text)
	return f.property, f.holds, err
}
