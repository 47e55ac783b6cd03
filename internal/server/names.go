package server

import (
	"net"
	"slices"
	"strings"

	"coffer/internal/arm"
)

// Names are the hosts, audiences and issuers of an installation.
type Names struct {
	VaultSuffix    string   // of vault hosts: exactly one label stands before it
	VaultResource  string   // what the challenge names
	VaultAudiences []string // what tokens for a vault may have
	Resources      []string // what tokens are issued for
	LoginHosts     []string // the first is the one that documents name
	// ControlHosts are those of the control plane, ControlAudiences what tokens for it may
	// have, and Cloud what its metadata document says.
	ControlHosts     []string
	ControlAudiences []string
	Cloud            arm.Cloud
	// GraphHosts are those of the directory, GraphAudiences what tokens for it may have, and
	// LegacyGraph the hosts of its older interface.
	GraphHosts     []string
	GraphAudiences []string
	LegacyGraph    []string
	Location       string // region that vaults report
	Health         bool   // /healthz is served on other hosts
	Issuer         func(tenantID string) string
	Authority      func(tenantID string) string // what the challenge names
}

// PublicNames are those of the public cloud, for `coffer run`: programs use them
// without any configuration, and reach Coffer through its proxy.
func PublicNames() Names {
	const resource = "https://vault.azure.net"
	return Names{
		VaultSuffix: "vault.azure.net", VaultResource: resource, VaultAudiences: []string{resource, resource + "/"},
		Resources: []string{
			resource, "https://management.azure.com", "https://management.core.windows.net", "https://graph.microsoft.com", "https://graph.windows.net",
		},
		LoginHosts:       []string{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"},
		ControlHosts:     []string{"management.azure.com", "management.core.windows.net"},
		ControlAudiences: []string{"https://management.azure.com", "https://management.azure.com/", "https://management.core.windows.net", "https://management.core.windows.net/"},
		GraphHosts:       []string{"graph.microsoft.com", "graph.windows.net"},
		GraphAudiences:   []string{"https://graph.microsoft.com", "https://graph.microsoft.com/"}, LegacyGraph: []string{"graph.windows.net"},
		Cloud: arm.Cloud{
			Name: "AzureCloud", ResourceManager: "https://management.azure.com/", Login: "https://login.microsoftonline.com/", Graph: "https://graph.microsoft.com/",
			Portal: "https://portal.azure.com", Audience: "https://management.core.windows.net/", VaultSuffix: resource[len("https://"):], Tenant: "common", IdentityKind: "AAD",
		},
		Location:  "local",
		Issuer:    func(tenantID string) string { return "https://sts.windows.net/" + tenantID + "/" },
		Authority: func(tenantID string) string { return "https://login.microsoftonline.com/" + tenantID },
	}
}

// DomainNames are those of an installation on its own domain and port. Clients compare
// the resource with the vault's host and port, so the port is part of it unless it is
// 443; their libraries ask the public cloud about every authority but one whose tenant
// is called adfs.
func DomainNames(domain, port string) Names {
	domain = strings.ToLower(domain)
	at := func(host string) string {
		if port == "" || port == "443" {
			return "https://" + host
		}
		return "https://" + net.JoinHostPort(host, port)
	}
	vaults, login, control, graph := "vault."+domain, "login."+domain, "management."+domain, "graph."+domain
	resources := []string{at(vaults)}
	if at(vaults) != "https://"+vaults {
		resources = append(resources, "https://"+vaults)
	}
	names := Names{
		VaultSuffix: vaults, VaultResource: at(vaults), Resources: resources, LoginHosts: []string{login}, Location: "local", Health: true,
		ControlHosts: []string{control}, ControlAudiences: []string{at(control), at(control) + "/"},
		GraphHosts: []string{graph}, GraphAudiences: []string{at(graph), at(graph) + "/"},
		Cloud: arm.Cloud{
			Name: "Coffer", ResourceManager: at(control), Login: at(login) + "/adfs", Graph: at(graph) + "/", Portal: at("portal." + domain), Audience: at(control),
			VaultSuffix: strings.TrimPrefix(at(vaults), "https://"), Tenant: "adfs", IdentityKind: "ADFS",
		},
		Issuer:    func(tenantID string) string { return at(login) + "/" + tenantID + "/" },
		Authority: func(string) string { return at(login) + "/adfs" },
	}
	for _, resource := range resources {
		names.VaultAudiences = append(names.VaultAudiences, resource, resource+"/")
	}
	names.Resources = append(names.Resources, at(control), at(graph))
	return names
}

// IsVault reports whether a host, folded, is that of a vault.
func (n Names) IsVault(host string) bool {
	label, ok := strings.CutSuffix(host, "."+n.VaultSuffix)
	return ok && label != "" && !strings.Contains(label, ".")
}

// VaultURI is the address of a vault, with a slash at the end.
func (n Names) VaultURI(name string) string {
	_, port, _ := strings.Cut(strings.TrimPrefix(n.VaultResource, "https://"), ":")
	return "https://" + name + "." + n.VaultSuffix + portSuffix(port) + "/"
}

// Serves reports whether a door answers for the host, folded.
func (n Names) Serves(host string) bool {
	return slices.Contains(n.LoginHosts, host) || slices.Contains(n.ControlHosts, host) || slices.Contains(n.GraphHosts, host) || n.IsVault(host)
}
