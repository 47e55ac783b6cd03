package dataplane

import "coffer/internal/gate"

// A RouteRow is what tests see of the route table.
type RouteRow struct {
	Method, Pattern string
	Operation       gate.Operation
	Built           bool
}

// Routes returns the route table.
func Routes() []RouteRow {
	var out []RouteRow
	for _, r := range routes {
		out = append(out, RouteRow{r.method, r.pattern, r.operation, r.handle != nil})
	}
	return out
}
