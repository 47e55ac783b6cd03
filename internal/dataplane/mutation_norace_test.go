//go:build !race

package dataplane_test

import "time"

// requestBound is what one request may cost.
const requestBound = time.Second
