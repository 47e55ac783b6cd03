//go:build !race

package dataplane_test

import "time"

const (
	requestBound  = time.Second // of processors, for one request
	manyRounds    = 999_000     // iterations of key derivation, just below the bound of a file
	severalRounds = 499_000     // the same, for a derivation of two blocks
	someRounds    = 330_000     // a third
)
