//go:build !unix

package dataplane_test

import (
	"testing"
	"time"
)

var processStart = time.Now()

// cpuTime is the time of the clock, where nothing better is at hand.
func cpuTime(*testing.T) time.Duration { return time.Since(processStart) }
