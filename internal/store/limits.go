package store

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// CheckKey says whether a key may be written, for the engines.
func CheckKey(key Key) error {
	switch {
	case len(key) > MaxKey:
		return fmt.Errorf("%w: key of %d bytes; at most %d", ErrTooLarge, len(key), MaxKey)
	case key == "" || strings.ContainsRune(string(key), 0):
		return fmt.Errorf("store: %q cannot be a key: a key is not empty and has no NUL", key)
	}
	return nil
}

// CheckBody says whether a body may be written at key, for the engines.
func CheckBody(key Key, body []byte) error {
	if len(body) > MaxBody {
		return fmt.Errorf("%w: body of %d bytes at %q; at most %d", ErrTooLarge, len(body), key, MaxBody)
	}
	return nil
}

// Millis is a time in whole milliseconds since 1970, rounded down, as engines keep due
// times; times that do not fit are the first and the last one that does.
func Millis(at time.Time) int64 {
	switch seconds := at.Unix(); {
	case seconds < math.MinInt64/1000:
		return math.MinInt64
	case seconds >= math.MaxInt64/1000:
		return math.MaxInt64
	}
	return at.UnixMilli()
}

// Compare orders due rows by time, then key.
func (d Due) Compare(other Due) int {
	if c := d.At.Compare(other.At); c != 0 {
		return c
	}
	return strings.Compare(string(d.Key), string(other.Key))
}
