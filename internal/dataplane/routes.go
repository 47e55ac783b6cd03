package dataplane

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"coffer/internal/gate"
	"coffer/internal/vault"
)

// A route is one line of the table.
type route struct {
	method    string
	pattern   string // segments; {name}, {version} and {issuer} take what is there
	operation gate.Operation
	takesBody bool
	handle    func(*Door, request) (answer, error) // nil: not built yet
	since     string                               // the first api-version that has it; empty: all
}

// routes is everything that the data plane has. Where two patterns fit, the earlier
// one wins, so fixed words stand before placeholders.
var routes = []route{
	{"GET", "certificates/contacts", vault.CertificateContactsGet, false, (*Door).getContacts, since2016},
	{"PUT", "certificates/contacts", vault.CertificateContactsSet, true, (*Door).setContacts, since2016},
	{"DELETE", "certificates/contacts", vault.CertificateContactsDel, false, (*Door).deleteContacts, since2016},
	{"GET", "certificates/issuers", vault.CertificateIssuersList, false, (*Door).listIssuers, since2016},
	{"GET", "certificates/issuers/{issuer}", vault.CertificateIssuerGet, false, (*Door).getIssuer, since2016},
	{"PUT", "certificates/issuers/{issuer}", vault.CertificateIssuerSet, true, (*Door).setIssuer, since2016},
	{"PATCH", "certificates/issuers/{issuer}", vault.CertificateIssuerUpdate, true, (*Door).updateIssuer, since2016},
	{"DELETE", "certificates/issuers/{issuer}", vault.CertificateIssuerDelete, false, (*Door).deleteIssuer, since2016},
	{"POST", "certificates/restore", vault.CertificateRestore, true, (*Door).restoreCertificate, since70},
	{"GET", "certificates", vault.CertificateList, false, (*Door).listCertificates, ""},
	{"POST", "certificates/{name}/create", vault.CertificateCreate, true, (*Door).createCertificate, ""},
	{"POST", "certificates/{name}/import", vault.CertificateImport, true, (*Door).importCertificate, ""},
	{"POST", "certificates/{name}/backup", vault.CertificateBackup, false, (*Door).backupCertificate, since70},
	{"GET", "certificates/{name}/versions", vault.CertificateListVersions, false, (*Door).listCertificateVersions, ""},
	{"GET", "certificates/{name}/policy", vault.CertificatePolicyGet, false, (*Door).getCertificatePolicy, ""},
	{"PATCH", "certificates/{name}/policy", vault.CertificatePolicyUpdate, true, (*Door).updateCertificatePolicy, ""},
	{"GET", "certificates/{name}/pending", vault.CertificatePendingGet, false, (*Door).getCertificateOperation, ""},
	{"PATCH", "certificates/{name}/pending", vault.CertificatePendingUpdate, true, (*Door).updateCertificateOperation, ""},
	{"DELETE", "certificates/{name}/pending", vault.CertificatePendingDelete, false, (*Door).deleteCertificateOperation, ""},
	{"POST", "certificates/{name}/pending/merge", vault.CertificatePendingMerge, true, (*Door).mergeCertificate, ""},
	{"GET", "certificates/{name}", vault.CertificateGet, false, (*Door).getCertificate, ""},
	{"GET", "certificates/{name}/{version}", vault.CertificateGet, false, (*Door).getCertificate, ""},
	{"PATCH", "certificates/{name}", vault.CertificatePropertiesUpdate, true, (*Door).updateCertificate, ""},
	{"PATCH", "certificates/{name}/{version}", vault.CertificatePropertiesUpdate, true, (*Door).updateCertificate, ""},
	{"DELETE", "certificates/{name}", vault.CertificateDelete, false, (*Door).deleteCertificate, ""},
	{"GET", "deletedcertificates", vault.CertificateListDeleted, false, (*Door).listDeletedCertificates, since2016},
	{"GET", "deletedcertificates/{name}", vault.CertificateGetDeleted, false, (*Door).getDeletedCertificate, since2016},
	{"POST", "deletedcertificates/{name}/recover", vault.CertificateRecover, false, (*Door).recoverDeletedCertificate, since2016},
	{"DELETE", "deletedcertificates/{name}", vault.CertificatePurge, false, (*Door).purgeDeletedCertificate, since2016},
	{"GET", "secrets/{name}", vault.SecretGet, false, (*Door).getSecret, ""},
	{"GET", "secrets/{name}/{version}", vault.SecretGet, false, (*Door).getSecret, ""},
	{"PUT", "secrets/{name}", vault.SecretSet, true, refuseManagedSecret(vault.SecretSet), ""},
	{"PATCH", "secrets/{name}", vault.SecretUpdate, true, refuseManagedSecret(vault.SecretUpdate), ""},
	{"PATCH", "secrets/{name}/{version}", vault.SecretUpdate, true, refuseManagedSecret(vault.SecretUpdate), ""},
	{"DELETE", "secrets/{name}", vault.SecretDelete, false, refuseManagedSecret(vault.SecretDelete), ""},
	{"POST", "keys/{name}/create", vault.KeyCreate, true, refuseManagedKey(vault.KeyCreate), ""},
	{"PUT", "keys/{name}", vault.KeyImport, true, refuseManagedKey(vault.KeyImport), ""},
	{"PATCH", "keys/{name}", vault.KeyUpdate, true, refuseManagedKey(vault.KeyUpdate), ""},
	{"PATCH", "keys/{name}/{version}", vault.KeyUpdate, true, refuseManagedKey(vault.KeyUpdate), ""},
	{"DELETE", "keys/{name}", vault.KeyDelete, false, refuseManagedKey(vault.KeyDelete), ""},
	{"GET", "keys/{name}", vault.KeyGet, false, (*Door).getKey, ""},
	{"GET", "keys/{name}/{version}", vault.KeyGet, false, (*Door).getKey, ""},
}

// The api-versions that brought routes (documented).
const (
	since2016 = "2016-10-01" // contacts, issuers, soft delete
	since70   = "7.0"        // backup and restore
)

// words are the patterns of the routes, taken apart.
var words = func() [][]string {
	var out [][]string
	for _, r := range routes {
		out = append(out, strings.Split(r.pattern, "/"))
	}
	return out
}()

// unbuilt are the collections of which more is to come.
var unbuilt = []string{"secrets", "keys", "deletedsecrets", "deletedkeys", "rng"}

// match finds the route of a request. What fits nothing is 405, as in the service
// (recorded).
func match(r *http.Request) (*route, vault.Ref, error) {
	segments, err := split(r.URL)
	if err != nil {
		return nil, vault.Ref{}, err
	}
	for i := range routes {
		if routes[i].method != r.Method {
			continue
		}
		if ref, ok := fits(words[i], segments); ok {
			return &routes[i], ref, nil
		}
	}
	for _, collection := range unbuilt {
		if segments[0] == collection {
			return &route{pattern: collection}, vault.Ref{}, nil
		}
	}
	return nil, vault.Ref{}, &methodError{method: r.Method}
}

// split takes the path apart before it is unescaped, so that an escaped slash stays in
// its segment and is refused there. One slash at the end is ignored: clients ask for
// the current version with an empty one.
func split(u *url.URL) ([]string, error) {
	segments := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	if n := len(segments); n > 1 && segments[n-1] == "" {
		segments = segments[:n-1]
	}
	for i, segment := range segments {
		text, err := url.PathUnescape(segment)
		if err != nil {
			return nil, invalidName(segment)
		}
		segments[i] = text
	}
	return segments, nil
}

func fits(pattern, segments []string) (vault.Ref, bool) {
	if len(pattern) != len(segments) {
		return vault.Ref{}, false
	}
	var ref vault.Ref
	for i, word := range pattern {
		switch {
		case segments[i] == "":
			return vault.Ref{}, false
		case word == "{name}", word == "{issuer}":
			ref.Name = segments[i]
		case word == "{version}":
			ref.Version = segments[i]
		case !strings.EqualFold(word, segments[i]):
			return vault.Ref{}, false
		}
	}
	return ref, true
}

// validRef refuses names and versions that nothing can have.
func validRef(ref vault.Ref) error {
	if ref.Name != "" && !vault.ValidName(ref.Name) {
		return invalidName(ref.Name)
	}
	if ref.Version != "" && !vault.ValidName(ref.Version) {
		return &vault.Error{Code: vault.CodeBadParameter, Message: "The request URI contains an invalid version: " + clip(ref.Version)}
	}
	return nil
}

func invalidName(name string) error {
	return &vault.Error{Code: vault.CodeBadParameter, Message: "The request URI contains an invalid name: " + clip(name)}
}

// clip bounds what an error repeats of a request.
func clip(text string) string {
	if len(text) > 200 {
		return strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}

// A methodError is a route that does not exist.
type methodError struct{ method string }

func (e *methodError) Error() string { return fmt.Sprintf("HTTP %.20s not allowed", e.method) }
