package proxy_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coffer/internal/proxy"
)

func TestEnviron(t *testing.T) {
	t.Attr("conformance", "id-2.1-1")
	t.Attr("conformance", "id-2.1-2")
	t.Attr("conformance", "id-2.1-3")
	inherited := []string{
		"PATH=/bin", "AZURE_CLIENT_SECRET=real", "azure_tenant_id=real", "ARM_SUBSCRIPTION_ID=real", "MSI_ENDPOINT=real", "IDENTITY_HEADER=real",
		"https_proxy=http://other", "ALL_PROXY=socks5://other", "NO_PROXY=*", "SSL_CERT_FILE=/old", "JAVA_TOOL_OPTIONS=-Xmx1g", "HOME=/home/me",
	}
	got := proxy.Environ(inherited, proxy.Env{
		Proxy: "http://run:hidden@127.0.0.1:9", Address: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}, ConfigDir: "/private", TenantID: "t", ClientID: "c", Secret: "s",
		IdentityEndpoint: "http://127.0.0.1:9/msi/token", IdentityHeader: "h", MSIEndpoint: "http://127.0.0.1:9/msi/x/token",
		Files: proxy.Files{SSLCert: "/a", Requests: "/b", Curl: "/c", Node: "/d", Java: "/e"},
	})
	for _, want := range []string{
		"PATH=/bin", "HOME=/home/me", "HTTPS_PROXY=http://run:hidden@127.0.0.1:9", "https_proxy=http://run:hidden@127.0.0.1:9", "HTTP_PROXY=http://run:hidden@127.0.0.1:9",
		"http_proxy=http://run:hidden@127.0.0.1:9", "NO_PROXY=127.0.0.1,localhost,::1", "no_proxy=127.0.0.1,localhost,::1", "SSL_CERT_FILE=/a", "REQUESTS_CA_BUNDLE=/b",
		"CURL_CA_BUNDLE=/c", "NODE_EXTRA_CA_CERTS=/d", "AZURE_CONFIG_DIR=/private", "AZURE_TENANT_ID=t", "AZURE_CLIENT_ID=c", "AZURE_CLIENT_SECRET=s", "AZURE_CORE_COLLECT_TELEMETRY=false",
		"IDENTITY_ENDPOINT=http://127.0.0.1:9/msi/token", "IDENTITY_HEADER=h", "MSI_ENDPOINT=http://127.0.0.1:9/msi/x/token",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing", want)
		}
	}
	seen := map[string]bool{}
	for _, entry := range got {
		name, value, _ := strings.Cut(entry, "=")
		if seen[name] {
			t.Errorf("%s stands twice", name)
		}
		seen[name] = true
		if strings.Contains(value, "real") || strings.Contains(value, "other") || name == "ALL_PROXY" {
			t.Errorf("%s was left", entry)
		}
		if name == "JAVA_TOOL_OPTIONS" && (strings.Contains(value, "hidden") || !strings.HasPrefix(value, "-Xmx1g ") || !strings.Contains(value, "-Djavax.net.ssl.trustStore=/e")) {
			t.Errorf("%s", entry)
		}
	}
}

// The files keep what their variable named before.
func TestFiles(t *testing.T) {
	t.Attr("conformance", "id-2.1-4")
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine.pem")
	if err := os.WriteFile(mine, []byte("MINE"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := proxy.WriteFiles(dir, []string{"REQUESTS_CA_BUNDLE=" + mine}, []byte("COFFER\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{files.Requests: "MINE\nCOFFER\n", files.Node: "COFFER\n"} {
		if text, err := os.ReadFile(path); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	if text, _ := os.ReadFile(files.SSLCert); !strings.HasSuffix(string(text), "COFFER\n") {
		t.Error("SSL_CERT_FILE lacks the authority")
	}
	if _, err := proxy.WriteFiles(dir, []string{"SSL_CERT_FILE=" + filepath.Join(dir, "none")}, nil); err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("a file that does not exist: %v", err)
	}
}

func TestClassify(t *testing.T) {
	for host, want := range map[string]proxy.Class{
		"demo.vault.azure.net": proxy.Served, "DEMO.Vault.Azure.NET.:443": proxy.Served, "login.microsoftonline.com": proxy.Served, "graph.microsoft.com": proxy.Served,
		"vault.azure.net": proxy.Refused, "a.b.vault.azure.net": proxy.Refused, ".vault.azure.net": proxy.Refused, "x.managedhsm.azure.net": proxy.Refused,
		"device.login.microsoftonline.com": proxy.Refused, "login.chinacloudapi.cn": proxy.Refused, "a.privatelink.vaultcore.azure.net": proxy.Refused, "autologon.microsoftazuread-sso.com": proxy.Refused,
		"169.254.169.254": proxy.Metadata, "169.254.169.254:80": proxy.Metadata, "example.com": proxy.Open, "notvault.azure.net": proxy.Open, "evil-login.microsoftonline.com.example.com": proxy.Open,
		"127.0.0.1:80": proxy.Open, "[::1]:80": proxy.Open, "": proxy.Open,
	} {
		if got := proxy.Classify(host); got != want {
			t.Errorf("%q is %d, want %d", host, got, want)
		}
	}
}

// FuzzClassify checks that no spelling of a name below a reserved domain is open.
func FuzzClassify(f *testing.F) {
	for _, seed := range []string{"demo", "a.b", "", "x-", "é", "A"} {
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, label string, upper bool) {
		if strings.ContainsAny(label, ":[]") {
			return // no host
		}
		for _, domain := range []string{".vault.azure.net", ".login.microsoftonline.com", ".managedhsm.azure.net"} {
			host := label + domain
			if upper {
				host = strings.ToUpper(host)
			}
			for _, spelling := range []string{host, host + ".", host + "..:443", host + ":443"} {
				if proxy.Classify(spelling) == proxy.Open {
					t.Errorf("%q is open", spelling)
				}
			}
		}
	})
}
