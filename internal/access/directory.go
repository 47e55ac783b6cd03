package access

import "strings"

// A Directory says who may use a right on an object of the directory: whoever administers
// the directory, and those named here. The zero Directory names nobody.
type Directory struct {
	Anyone bool     // every principal of the tenant
	Owners []string // object ids
}

func (d Directory) allows(caller Caller) bool {
	if caller.ObjectID == "" {
		return false
	}
	if d.Anyone || caller.Admin {
		return true
	}
	for _, owner := range d.Owners {
		if strings.EqualFold(owner, caller.ObjectID) {
			return true
		}
	}
	return false
}
