package client

import (
	"net"
	"net/url"
	"strings"
)

// Endpoints are where the servers of one cloud or installation are. Addresses have no
// slash at the end.
type Endpoints struct {
	Authority          string // where tokens come from
	Management         string // the control plane
	ManagementAudience string // what tokens for it are for
	Graph              string // the directory
	VaultSuffix        string // what follows a vault's name and a dot: host, and port unless it is 443
}

// The clouds that have names of their own, by the host that their tokens come from
// (documented).
var clouds = map[string]Endpoints{
	"login.microsoftonline.com": {
		Authority: "https://login.microsoftonline.com", Management: "https://management.azure.com", ManagementAudience: "https://management.azure.com",
		Graph: "https://graph.microsoft.com", VaultSuffix: "vault.azure.net",
	},
	"login.microsoftonline.us": {
		Authority: "https://login.microsoftonline.us", Management: "https://management.usgovcloudapi.net", ManagementAudience: "https://management.usgovcloudapi.net",
		Graph: "https://graph.microsoft.us", VaultSuffix: "vault.usgovcloudapi.net",
	},
	"login.chinacloudapi.cn": {
		Authority: "https://login.chinacloudapi.cn", Management: "https://management.chinacloudapi.cn", ManagementAudience: "https://management.chinacloudapi.cn",
		Graph: "https://microsoftgraph.chinacloudapi.cn", VaultSuffix: "vault.azure.cn",
	},
}

const publicAuthority = "https://login.microsoftonline.com"

// endpoints follow from where tokens come from; a control plane that is named goes before
// the one that would follow.
func (s Settings) endpoints() (Endpoints, error) {
	authority := s.Getenv("AZURE_AUTHORITY_HOST")
	if authority == "" {
		authority = publicAuthority
	}
	authority, err := checkURL("AZURE_AUTHORITY_HOST", authority)
	if err != nil {
		return Endpoints{}, err
	}
	management, source := s.ManagementURL, "--management-url"
	if management == "" {
		management, source = s.Getenv("COFFER_MANAGEMENT_URL"), "COFFER_MANAGEMENT_URL"
	}
	if management != "" {
		if management, err = checkURL(source, management); err != nil {
			return Endpoints{}, err
		}
	}
	host := hostOf(authority)
	if found, ok := clouds[host]; ok && management == "" {
		return found, nil
	}
	out := Endpoints{Authority: authority, Management: management}
	switch domain, ok := strings.CutPrefix(host, "login."); {
	case ok && clouds[host].Authority == "":
		out.follow(domain)
	case management != "" && strings.HasPrefix(hostOf(management), "management."):
		out.follow(strings.TrimPrefix(hostOf(management), "management."))
	default:
		return out, Usagef("AZURE_AUTHORITY_HOST is %s: that tells neither a cloud nor an installation, which has its tokens at https://login.DOMAIN; say --management-url https://management.DOMAIN", authority)
	}
	out.ManagementAudience = out.Management
	return out, nil
}

// follow sets the names of an installation on a domain, which has its port.
func (e *Endpoints) follow(domain string) {
	if e.Management == "" {
		e.Management = "https://management." + domain
	}
	e.Graph, e.VaultSuffix = "https://graph."+domain, "vault."+domain
}

// hostOf is the host of an address with its port, folded.
func hostOf(address string) string { return strings.TrimPrefix(strings.ToLower(address), "https://") }

// CheckAuthority refuses an address where no tokens could come from.
func CheckAuthority(address string) error {
	_, err := checkURL("the address of the authority", address)
	return err
}

// checkURL takes an address of a server, and returns it without a slash at the end.
// Tokens are sent there, so it is https or nothing.
func checkURL(source, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return "", Usagef("%s is %q: it has to be https://HOST, with a port if that is not 443, and nothing behind it", source, address)
	}
	host := strings.ToLower(u.Host)
	if u.Port() == "443" {
		host = strings.TrimSuffix(host, ":443")
	}
	if _, _, err := net.SplitHostPort(u.Host); u.Port() != "" && err != nil {
		return "", Usagef("%s is %q: its port cannot be read", source, address)
	}
	return "https://" + host, nil
}
