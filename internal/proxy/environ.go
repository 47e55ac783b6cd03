package proxy

import (
	"net"
	"slices"
	"strings"
)

// An Env is what the child is told.
type Env struct {
	Proxy     string // URL with the credential
	Address   net.Addr
	Files     Files
	ConfigDir string // a private directory for the command-line tool
	TenantID  string
	ClientID  string
	Secret    string

	// Where the program finds its managed identity; empty: not this way.
	IdentityEndpoint, IdentityHeader string // as in App Service
	MSIEndpoint                      string // as in Cloud Shell
}

// removed are prefixes of variables that could steer the child to a real cloud, or a
// real credential to Coffer.
var removed = []string{"AZURE_", "IDENTITY_", "MSI_", "ARM_"}

// replaced are further variables that are taken away before ours are set.
var replaced = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "JAVA_TOOL_OPTIONS",
}

// Environ returns the child's environment: the inherited one without everything that
// belongs to a cloud, and with what leads the child to Coffer.
func Environ(inherited []string, e Env) []string {
	out := slices.DeleteFunc(slices.Clone(inherited), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		name = strings.ToUpper(name)
		return slices.Contains(replaced, name) || slices.ContainsFunc(removed, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	})
	set := func(value string, names ...string) {
		for _, name := range names {
			if value != "" {
				out = append(out, name+"="+value)
			}
		}
	}
	set(e.Proxy, "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
	set("127.0.0.1,localhost,::1", "NO_PROXY", "no_proxy")
	set(e.Files.SSLCert, "SSL_CERT_FILE")
	set(e.Files.Requests, "REQUESTS_CA_BUNDLE")
	set(e.Files.Curl, "CURL_CA_BUNDLE")
	set(e.Files.Node, "NODE_EXTRA_CA_CERTS")
	set(javaOptions(inherited, e), "JAVA_TOOL_OPTIONS")
	set(e.ConfigDir, "AZURE_CONFIG_DIR")
	set("false", "AZURE_CORE_COLLECT_TELEMETRY")
	set(e.TenantID, "AZURE_TENANT_ID")
	set(e.ClientID, "AZURE_CLIENT_ID")
	set(e.Secret, "AZURE_CLIENT_SECRET")
	set(e.IdentityEndpoint, "IDENTITY_ENDPOINT")
	set(e.IdentityHeader, "IDENTITY_HEADER")
	set(e.MSIEndpoint, "MSI_ENDPOINT")
	return out
}

// javaOptions names the trust store and the proxy. The credential is not in it: Java
// prints the variable when it starts. The libraries for Azure read it from HTTPS_PROXY,
// which they look at only when the proxies of the system are to be used.
func javaOptions(inherited []string, e Env) string {
	host, port, err := net.SplitHostPort(e.Address.String())
	if err != nil || e.Files.Java == "" {
		return Lookup(inherited, "JAVA_TOOL_OPTIONS")
	}
	options := []string{
		"-Djavax.net.ssl.trustStore=" + e.Files.Java, "-Djavax.net.ssl.trustStorePassword=" + javaPassword, "-Djavax.net.ssl.trustStoreType=PKCS12",
		"-Dhttps.proxyHost=" + host, "-Dhttps.proxyPort=" + port, "-Dhttp.proxyHost=" + host, "-Dhttp.proxyPort=" + port,
		"-Dhttp.nonProxyHosts=localhost|127.*|[::1]", "-Djdk.http.auth.tunneling.disabledSchemes=", "-Djava.net.useSystemProxies=true",
	}
	if before := Lookup(inherited, "JAVA_TOOL_OPTIONS"); before != "" {
		options = append([]string{before}, options...)
	}
	return strings.Join(options, " ")
}

// Lookup returns the value of a variable in an environment; the last one counts.
func Lookup(environ []string, name string) string {
	value := ""
	for _, entry := range environ {
		if n, v, ok := strings.Cut(entry, "="); ok && n == name {
			value = v
		}
	}
	return value
}
