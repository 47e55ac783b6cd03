//go:build race

package dataplane_test

import "time"

// The race detector makes everything about ten times as slow, so a tenth of the
// iterations is asked for, and the bound of a request is a loose one.
const (
	requestBound  = 5 * time.Second
	manyRounds    = 99_000
	severalRounds = 49_000
	someRounds    = 33_000
)
