package dataplane

import (
	"cmp"
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
	{"GET", "secrets", vault.SecretList, false, (*Door).listSecrets, ""},
	{"POST", "secrets/restore", vault.SecretRestore, true, (*Door).restoreSecret, ""},
	{"POST", "secrets/{name}/backup", vault.SecretBackup, false, (*Door).backupSecret, ""},
	{"GET", "secrets/{name}/versions", vault.SecretListVersions, false, (*Door).listSecretVersions, ""},
	{"PUT", "secrets/{name}", vault.SecretSet, true, (*Door).setSecret, ""},
	{"GET", "secrets/{name}", vault.SecretGet, false, (*Door).getSecret, ""},
	{"GET", "secrets/{name}/{version}", vault.SecretGet, false, (*Door).getSecret, ""},
	{"PATCH", "secrets/{name}", vault.SecretPropertiesUpdate, true, (*Door).updateSecret, ""},
	{"PATCH", "secrets/{name}/{version}", vault.SecretPropertiesUpdate, true, (*Door).updateSecret, ""},
	{"DELETE", "secrets/{name}", vault.SecretDelete, false, (*Door).deleteSecret, ""},
	{"GET", "deletedsecrets", vault.SecretListDeleted, false, (*Door).listDeletedSecrets, since2016},
	{"GET", "deletedsecrets/{name}", vault.SecretGetDeleted, false, (*Door).getDeletedSecret, since2016},
	{"POST", "deletedsecrets/{name}/recover", vault.SecretRecover, false, (*Door).recoverDeletedSecret, since2016},
	{"DELETE", "deletedsecrets/{name}", vault.SecretPurge, false, (*Door).purgeDeletedSecret, since2016},
	{"GET", "keys", vault.KeyList, false, (*Door).listKeys, ""},
	{"POST", "keys/restore", vault.KeyRestore, true, (*Door).restoreKey, ""},
	{"POST", "keys/{name}/create", vault.KeyCreate, true, (*Door).createKey, ""},
	{"POST", "keys/{name}/backup", vault.KeyBackup, false, (*Door).backupKey, ""},
	{"POST", "keys/{name}/rotate", vault.KeyRotate, false, (*Door).rotateKey, since73},
	{"GET", "keys/{name}/rotationpolicy", vault.KeyRotationPolicyGet, false, (*Door).getRotationPolicy, since73},
	{"PUT", "keys/{name}/rotationpolicy", vault.KeyRotationPolicySet, true, (*Door).setRotationPolicy, since73},
	{"POST", "keys/{name}/release", vault.KeyRelease, true, (*Door).releaseKey, since73},
	{"POST", "keys/{name}/encrypt", vault.KeyEncrypt, true, operate((*vault.Service).Encrypt), ""},
	{"POST", "keys/{name}/decrypt", vault.KeyDecrypt, true, operate((*vault.Service).Decrypt), ""},
	{"POST", "keys/{name}/wrapkey", vault.KeyWrap, true, operate((*vault.Service).WrapKey), ""},
	{"POST", "keys/{name}/unwrapkey", vault.KeyUnwrap, true, operate((*vault.Service).UnwrapKey), ""},
	{"POST", "keys/{name}/sign", vault.KeySign, true, operate((*vault.Service).Sign), ""},
	{"POST", "keys/{name}/verify", vault.KeyVerify, true, (*Door).verify, ""},
	{"POST", "keys/{name}/{version}/release", vault.KeyRelease, true, (*Door).releaseKey, since73},
	{"POST", "keys/{name}/{version}/encrypt", vault.KeyEncrypt, true, operate((*vault.Service).Encrypt), ""},
	{"POST", "keys/{name}/{version}/decrypt", vault.KeyDecrypt, true, operate((*vault.Service).Decrypt), ""},
	{"POST", "keys/{name}/{version}/wrapkey", vault.KeyWrap, true, operate((*vault.Service).WrapKey), ""},
	{"POST", "keys/{name}/{version}/unwrapkey", vault.KeyUnwrap, true, operate((*vault.Service).UnwrapKey), ""},
	{"POST", "keys/{name}/{version}/sign", vault.KeySign, true, operate((*vault.Service).Sign), ""},
	{"POST", "keys/{name}/{version}/verify", vault.KeyVerify, true, (*Door).verify, ""},
	{"GET", "keys/{name}/versions", vault.KeyListVersions, false, (*Door).listKeyVersions, ""},
	{"PUT", "keys/{name}", vault.KeyImport, true, (*Door).importKey, ""},
	{"GET", "keys/{name}", vault.KeyGet, false, (*Door).getKey, ""},
	{"GET", "keys/{name}/{version}", vault.KeyGet, false, (*Door).getKey, ""},
	{"PATCH", "keys/{name}", vault.KeyPropertiesUpdate, true, (*Door).updateKey, ""},
	{"PATCH", "keys/{name}/{version}", vault.KeyPropertiesUpdate, true, (*Door).updateKey, ""},
	{"DELETE", "keys/{name}", vault.KeyDelete, false, (*Door).deleteKey, ""},
	{"GET", "deletedkeys", vault.KeyListDeleted, false, (*Door).listDeletedKeys, since2016},
	{"GET", "deletedkeys/{name}", vault.KeyGetDeleted, false, (*Door).getDeletedKey, since2016},
	{"POST", "deletedkeys/{name}/recover", vault.KeyRecover, false, (*Door).recoverDeletedKey, since2016},
	{"DELETE", "deletedkeys/{name}", vault.KeyPurge, false, (*Door).purgeDeletedKey, since2016},
}

// The api-versions that brought routes and members (documented).
const (
	since2016 = "2016-10-01"         // contacts, issuers, soft delete
	since70   = "7.0"                // backup and restore of certificates
	since73   = "7.3-preview"        // rotation and release of keys
	since2025 = "2025-06-01-preview" // outContentType and previousVersion of secrets
)

// words are the patterns of the routes, taken apart.
var words = func() [][]string {
	var out [][]string
	for _, r := range routes {
		out = append(out, strings.Split(r.pattern, "/"))
	}
	return out
}()

// match finds the route of a request. What fits nothing is 405, as in the service
// (recorded); where a version of a secret or key should stand and something else does,
// the service takes that for an operation, and says so (recorded).
func match(r *http.Request) (*route, vault.Ref, error) {
	segments, err := split(r.URL)
	if err != nil {
		return nil, vault.Ref{}, err
	}
	method := methodOf(r)
	for i := range routes {
		if routes[i].method != method {
			continue
		}
		if ref, ok := fits(words[i], segments); ok {
			return &routes[i], ref, operationError(method, segments[0], ref)
		}
	}
	if plain(segments[0]) && method == http.MethodPost && len(segments) == 3 && segments[1] == "" {
		return nil, vault.Ref{}, &vault.Error{Code: vault.CodeBadParameter, Message: "Operation not specified"}
	}
	return nil, vault.Ref{}, &methodError{method: method}
}

// plain reports whether a collection is that of secrets or of keys.
func plain(collection string) bool {
	return strings.EqualFold(collection, "secrets") || strings.EqualFold(collection, "keys")
}

func operationError(method, collection string, ref vault.Ref) error {
	if !plain(collection) || ref.Version == "" || versionForm(ref.Version) {
		return nil
	}
	return &vault.Error{Code: vault.CodeBadParameter, Message: fmt.Sprintf("Method %s does not allow operation '%s'", method, clip(ref.Version))}
}

// versionForm reports whether a text is 32 hex digits.
func versionForm(text string) bool {
	return len(text) == 32 && strings.Trim(strings.ToLower(text), "0123456789abcdef") == ""
}

// methodOf is the method of a request, or the one that a client that cannot send it has
// put into a header of a POST (documented, in two spellings).
func methodOf(r *http.Request) string {
	if r.Method != http.MethodPost {
		return r.Method
	}
	switch named := cmp.Or(r.Header.Get("X-HTTP-METHOD"), r.Header.Get("X-HTTP-REQUEST")); named {
	case http.MethodPatch, http.MethodPut, http.MethodDelete:
		return named
	}
	return r.Method
}

// split takes the path apart before it is unescaped, so that an escaped slash stays in
// its segment and is refused there. One slash at the end is ignored: clients ask for
// the current version with an empty one. So are slashes too many at the beginning
// (documented requests have two).
func split(u *url.URL) ([]string, error) {
	segments := strings.Split(strings.TrimLeft(u.EscapedPath(), "/"), "/")
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
		case segments[i] == "" && word == "{version}": // the current one: keys/web//sign
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
