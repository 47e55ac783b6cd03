package server

import (
	"net/http"
	"sync"
	"time"

	"coffer/internal/httpd"
)

// A drain counts the requests under way, so that nothing is closed under them: a change
// that was begun gets its result line.
type drain struct {
	mu      sync.Mutex
	count   int
	closing bool
	empty   chan struct{} // closed when closing and the last request has ended
}

// guard counts the requests of a door, and refuses new ones once wait was called.
func (d *drain) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !d.enter() {
			unavailable(w, "The server is stopping; try again in a second.")
			return
		}
		defer d.leave()
		next.ServeHTTP(w, r)
	})
}

func unavailable(w http.ResponseWriter, message string) {
	w.Header().Set("Retry-After", "1")
	httpd.WriteJSON(w, http.StatusServiceUnavailable, map[string]map[string]string{"error": {"code": "ServiceUnavailable", "message": message}})
}

func (d *drain) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closing {
		d.count++
	}
	return !d.closing
}

func (d *drain) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count--; d.count == 0 && d.closing {
		close(d.empty)
	}
}

// wait refuses further requests and reports whether all have ended within the limit.
func (d *drain) wait(limit time.Duration) bool {
	d.mu.Lock()
	if !d.closing {
		d.closing, d.empty = true, make(chan struct{})
		if d.count == 0 {
			close(d.empty)
		}
	}
	d.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-d.empty:
		return true
	case <-timer.C:
		return false
	}
}
