package access

import "net/netip"

// A Network says from where a vault is reached.
type Network struct {
	Disabled bool           // no public access at all
	Deny     bool           // only from the allowed addresses
	Allowed  []netip.Prefix // IPv4 or IPv6
}

// refuses returns why an address does not reach the vault, or nothing. An address that is
// not known reaches nothing that is limited.
func (n *Network) refuses(address netip.Addr) Reason {
	switch {
	case n == nil:
		return ""
	case n.Disabled:
		return ForbiddenByConnection
	case !n.Deny:
		return ""
	}
	for _, prefix := range n.Allowed {
		if prefix.Contains(address.Unmap()) {
			return ""
		}
	}
	return ForbiddenByFirewall
}
