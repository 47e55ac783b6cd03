package entra

import (
	"net/http"
	"strings"
)

// Rows are the routes of a door, as "METHOD path".
func Rows(door http.Handler) (out []string) {
	for _, r := range door.(*Door).routes {
		out = append(out, r.method+" "+strings.Join(r.words, "/"))
	}
	return out
}
