package server

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"coffer/internal/arm"
	"coffer/internal/graph"
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
	GraphHosts       []string // of the directory
	GraphAudiences   []string // what tokens for it may have
	LegacyHosts      []string // of its predecessor, which is not served
	TenantDomain     string   // what the directory shows as the tenant's domain
	Location         string   // region that vaults report
	Health           bool     // /healthz is served on other hosts
	Issuer           func(tenantID string) string
	Authority        func(tenantID string) string // what the challenge names
}

// PublicNames are those of the public cloud, for `coffer run`: programs use them
// without any configuration, and reach Coffer through its proxy.
func PublicNames() Names {
	const resource = "https://vault.azure.net"
	return Names{
		VaultSuffix: "vault.azure.net", VaultResource: resource, VaultAudiences: []string{resource, resource + "/"},
		Resources: []string{
			resource, "https://management.azure.com", "https://management.core.windows.net", "https://graph.microsoft.com", "https://graph.windows.net", graph.AppID,
		},
		GraphHosts: []string{"graph.microsoft.com"}, LegacyHosts: []string{"graph.windows.net"},
		GraphAudiences: []string{"https://graph.microsoft.com", "https://graph.microsoft.com/", graph.AppID}, TenantDomain: "coffer.local",
		LoginHosts:       []string{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"},
		ControlHosts:     []string{"management.azure.com", "management.core.windows.net"},
		ControlAudiences: []string{"https://management.azure.com", "https://management.azure.com/", "https://management.core.windows.net", "https://management.core.windows.net/"},
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
	vaults, login, control := "vault."+domain, "login."+domain, "management."+domain
	resources := []string{at(vaults), at(control)}
	if at(vaults) != "https://"+vaults {
		resources = append(resources, "https://"+vaults)
	}
	names := Names{
		VaultSuffix: vaults, VaultResource: at(vaults), Resources: resources, LoginHosts: []string{login}, Location: "local", Health: true,
		ControlHosts: []string{control}, ControlAudiences: []string{at(control), at(control) + "/"},
		Cloud: arm.Cloud{
			Name: "Coffer", ResourceManager: at(control), Login: at(login) + "/adfs", Graph: at("graph."+domain) + "/", Portal: at("portal." + domain), Audience: at(control),
			VaultSuffix: strings.TrimPrefix(at(vaults), "https://"), Tenant: "adfs", IdentityKind: "ADFS",
		},
		Issuer:    func(tenantID string) string { return at(login) + "/" + tenantID + "/" },
		Authority: func(string) string { return at(login) + "/adfs" },
	}
	for _, resource := range slices.DeleteFunc(slices.Clone(resources), func(r string) bool { return r == at(control) }) {
		names.VaultAudiences = append(names.VaultAudiences, resource, resource+"/")
	}
	directory := "graph." + domain
	names.GraphHosts, names.GraphAudiences, names.TenantDomain = []string{directory}, []string{graph.AppID}, domain
	for _, resource := range slices.Compact([]string{at(directory), "https://" + directory}) {
		names.Resources = append(names.Resources, resource)
		names.GraphAudiences = append(names.GraphAudiences, resource, resource+"/")
	}
	names.Resources = append(names.Resources, graph.AppID)
	return names
}

// IsVault reports whether a host, folded, is that of a vault.
func (n Names) IsVault(host string) bool {
	label, ok := strings.CutSuffix(host, "."+n.VaultSuffix)
	return ok && label != "" && !strings.Contains(label, ".")
}

// ownAudiences are the audiences of doors that are addresses of this installation. Others,
// such as the directory's well-known id, are also those of services elsewhere.
func (n Names) ownAudiences() (own []string) {
	for _, audience := range slices.Concat(n.VaultAudiences, n.ControlAudiences, n.GraphAudiences) {
		u, err := url.Parse(audience)
		if err == nil && u.Scheme == "https" && (u.Hostname() == n.VaultSuffix || slices.Contains(n.ControlHosts, u.Hostname()) || slices.Contains(n.GraphHosts, u.Hostname())) {
			own = append(own, audience)
		}
	}
	return own
}

// VaultURI is the address of a vault, with a slash at the end.
func (n Names) VaultURI(name string) string {
	_, port, _ := strings.Cut(strings.TrimPrefix(n.VaultResource, "https://"), ":")
	return "https://" + name + "." + n.VaultSuffix + portSuffix(port) + "/"
}

// Serves reports whether a door answers for the host, folded.
func (n Names) Serves(host string) bool {
	return slices.Contains(n.LoginHosts, host) || slices.Contains(n.ControlHosts, host) || slices.Contains(n.GraphHosts, host) || slices.Contains(n.LegacyHosts, host) || n.IsVault(host)
}
