//go:build race

package dataplane_test

import "time"

// requestBound is what one request may cost; the race detector makes everything about
// ten times as slow.
const requestBound = 10 * time.Second
