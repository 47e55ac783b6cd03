package proxy

import (
	"net"
	"net/netip"
	"strings"
)

// A Class says what the proxy does with a host.
type Class int

// The classes.
const (
	Open     Class = iota // tunnelled, untouched
	Served                // may be one that a door answers for
	Refused               // belongs to a cloud and is not served: never leaves the machine
	Metadata              // the instance metadata service
)

// metadataHost is where virtual machines find their identity, by plain HTTP.
const metadataHost = "169.254.169.254"

// served are names that doors answer for, or will.
var served = []string{
	"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net",
	"management.azure.com", "management.core.windows.net", "graph.microsoft.com", "graph.windows.net",
}

// vaultSuffix is below which every single label is a vault.
const vaultSuffix = ".vault.azure.net"

// refused are domains that are refused together with everything below them: logins,
// vaults, managed HSMs, control planes and directories of every cloud. So nothing that
// was meant for Coffer can reach a real one by another name.
var refused = []string{
	"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net", "microsoftonline.com",
	"login.microsoftonline.us", "login.microsoftonline.de", "login-us.microsoftonline.com", "login.usgovcloudapi.net", "microsoftonline.us",
	"login.chinacloudapi.cn", "login.partner.microsoftonline.cn", "partner.microsoftonline.cn", "login.sovcloud-identity.fr", "login.sovcloud-identity.de",
	"microsoftazuread-sso.com", "b2clogin.com", "ciamlogin.com",
	"management.azure.com", "management.core.windows.net", "management.chinacloudapi.cn", "management.core.chinacloudapi.cn",
	"management.usgovcloudapi.net", "management.core.usgovcloudapi.net", "management.microsoftazure.de", "management.core.cloudapi.de",
	"graph.microsoft.com", "graph.windows.net", "graph.microsoft.us", "dod-graph.microsoft.us", "graph.microsoft.de",
	"microsoftgraph.chinacloudapi.cn", "graph.chinacloudapi.cn", "graph.cloudapi.de",
	"vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net", "vault.microsoftazure.de", "vaultcore.azure.net", "vaultcore.azure.cn", "vaultcore.usgovcloudapi.net",
	"managedhsm.azure.net", "managedhsm.azure.cn", "managedhsm.usgovcloudapi.net", "managedhsm.microsoftazure.de",
}

// Domains are those that the run's certificate authority has to be able to vouch for.
func Domains() []string {
	return append([]string{strings.TrimPrefix(vaultSuffix, ".")}, served...)
}

// Fold returns a host as it is compared: lower case, without port and trailing dots.
func Fold(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimRight(strings.Trim(host, "[]"), "."))
}

// Classify tells what the proxy does with a host; it folds the host itself.
func Classify(host string) Class {
	host = Fold(host)
	if address, err := netip.ParseAddr(host); err == nil {
		if address.Unmap().String() == metadataHost {
			return Metadata
		}
		return Open
	}
	for _, name := range served {
		if host == name {
			return Served
		}
	}
	if label, ok := strings.CutSuffix(host, vaultSuffix); ok && label != "" && !strings.Contains(label, ".") {
		return Served
	}
	for _, domain := range refused {
		if host == domain || strings.HasSuffix(host, "."+domain) {
			return Refused
		}
	}
	return Open
}
