//go:build !linux

package idle

// giveWay does nothing: threads of this system have no priority of their own that every
// process may lower.
func giveWay() {}
