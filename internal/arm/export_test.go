package arm

// A RouteRow is what tests see of the route table.
type RouteRow struct{ Method, Pattern string }

// Routes returns the route table.
func Routes() (out []RouteRow) {
	for _, r := range routes {
		out = append(out, RouteRow{r.method, r.pattern})
	}
	return out
}
