package dataplane_test

import (
	"fmt"
	"strings"
	"testing"

	"coffer/internal/wire"
)

// A mutationTarget is a route with a body, and what is expected of its members.
type mutationTarget struct {
	body   any // the wire type
	status int // of success
	place  func(w *mutationWorld, d *door) (*door, string, *strings.Replacer)
	tables []mutationRows
}

// A mutationRows is a part of the table, under a path.
type mutationRows struct{ path, text string }

// mutationTable has all routes with a body.
func mutationTable() map[string]mutationTarget {
	return map[string]mutationTarget{
		"POST certificates/{name}/create": {wire.CreateCertificate{}, 202, fixed("/create"), []mutationRows{{"", createRows}, {"policy", policyRows}}},
		"POST certificates/{name}/import": {wire.ImportCertificate{}, 200, placeImport, []mutationRows{{"", importRows}, {"policy", importPolicyRows}}},
		"PATCH certificates/{name}":       {wire.UpdateCertificate{}, 200, web(false, ""), []mutationRows{{"", updateRows}, {"policy", policyRows}}},
		"PATCH certificates/{name}/{version}": {
			wire.UpdateCertificate{}, 200, web(true, ""), []mutationRows{{"", updateRows}, {"policy", policyRows}}},
		"PATCH certificates/{name}/policy":       {wire.CertificatePolicy{}, 200, web(false, "/policy"), []mutationRows{{"", updatePolicyRows}, {"", policyRows}}},
		"POST certificates/{name}/pending/merge": {wire.MergeCertificate{}, 201, placeMerge, []mutationRows{{"", mergeRows}}},
		"PATCH certificates/{name}/pending":      {wire.UpdateOperation{}, 200, at("/certificates/waiting/pending"), []mutationRows{{"", operationRows}}},
		"POST certificates/restore":              {wire.Backup{}, 200, placeRestore, []mutationRows{{"", restoreRows}}},
		"PUT certificates/contacts":              {wire.Contacts{}, 200, at("/certificates/contacts"), []mutationRows{{"", contactRows}}},
		"PUT certificates/issuers/{issuer}":      {wire.SetIssuer{}, 200, at("/certificates/issuers/ca"), []mutationRows{{"", setIssuerRows}, {"", issuerRows}}},
		"PATCH certificates/issuers/{issuer}":    {wire.SetIssuer{}, 200, at("/certificates/issuers/ca"), []mutationRows{{"", updateIssuerRows}, {"", issuerRows}}},
	}
}

// rows reads the tables of a route: a path, a value, and a letter per mutation.
func (m mutationTarget) rows(t *testing.T) map[string]row {
	t.Helper()
	out := map[string]row{}
	for _, table := range m.tables {
		for line := range strings.Lines(table.text) {
			fields := strings.Fields(line)
			if len(fields) == 0 {
				continue
			}
			path := join(table.path, fields[0])
			if _, twice := out[path]; twice || len(fields) != 3 {
				t.Fatalf("%s: %q", path, line)
			}
			value, alone := strings.CutPrefix(fields[1], "alone:")
			out[path] = row{value, alone, fields[2]}
		}
	}
	return out
}

var noValues = strings.NewReplacer()

// at is a place that is there in both vaults.
func at(path string) func(*mutationWorld, *door) (*door, string, *strings.Replacer) {
	return func(_ *mutationWorld, d *door) (*door, string, *strings.Replacer) {
		return d, path + newestVersion, noValues
	}
}

// fixed is a certificate that is not there.
func fixed(action string) func(*mutationWorld, *door) (*door, string, *strings.Replacer) {
	return func(w *mutationWorld, d *door) (*door, string, *strings.Replacer) {
		return d, "/certificates/" + w.fresh() + action + newestVersion, noValues
	}
}

// web is the certificate web, or its version.
func web(version bool, action string) func(*mutationWorld, *door) (*door, string, *strings.Replacer) {
	return func(w *mutationWorld, d *door) (*door, string, *strings.Replacer) {
		path := "/certificates/web" + action
		if version {
			path += w.versions[d.base]
		}
		return d, path + newestVersion, noValues
	}
}

func placeImport(w *mutationWorld, d *door) (*door, string, *strings.Replacer) {
	return d, "/certificates/" + w.fresh() + "/import" + newestVersion, strings.NewReplacer("$FILE", w.file.pfx)
}

// placeMerge takes an operation of its own for each merge that will succeed.
func placeMerge(w *mutationWorld, d *door) (*door, string, *strings.Replacer) {
	name, x5c := "waiting", w.x5c
	if d.base == w.busy.base {
		name = w.fresh()
		d.wait(name)
		x5c = d.leafFor(name, nil)
	}
	return d, "/certificates/" + name + "/pending/merge" + newestVersion, strings.NewReplacer("$X5C", x5c)
}

// placeRestore takes a vault of its own for each restore that will succeed.
func placeRestore(w *mutationWorld, d *door) (*door, string, *strings.Replacer) {
	if d.base == w.busy.base {
		d = d.at(fmt.Sprintf("restore-%s", w.fresh()))
	}
	return d, "/certificates/restore" + newestVersion, strings.NewReplacer("$BLOB", w.blob)
}

// The tables. The letters are for the mutations missing, null, wrong type, empty, huge,
// twice and wrong case; a is accepted, b is 400 BadParameter, m is 400 Malformed backup
// blob, and a dot is a mutation that the member cannot have. A member that is not
// known is ignored, so a huge object, which has a thousand of them, is accepted, and so
// is whatever stands in a member that is only for the way out. Names are read without
// regard to case, and of two members with one name the second counts.
const (
	createRows = `
policy                                     -                          bbbbaaa
policy.x509_props                          -                          bbbbaaa
attributes                                 -                          aabaaaa
attributes.enabled                         true                       aab..aa
attributes.nbf                             1700000000                 aabaaaa
attributes.exp                             1900000000                 aabaaaa
tags                                       -                          aababaa
tags{}                                     "v"                        aababa.
preserveCertOrder                          true                       aab..aa
`
	// The members of a policy, wherever it is filled or changed.
	policyRows = `
id                                         "anything"                 aabaaaa
key_props                                  -                          aabaaaa
key_props.exportable                       true                       aab..aa
key_props.kty                              "EC"                       bbbbbaa
key_props.key_size                         256                        aabbbaa
key_props.reuse_key                        false                      aab..aa
key_props.crv                              "P-256"                    aabbbaa
secret_props                               -                          aabaaaa
secret_props.contentType                   "application/x-pem-file"   aabbbaa
x509_props.subject                         "CN=a"                     aababaa
x509_props.sans                            -                          aabaaaa
x509_props.sans.emails                     -                          aababaa
x509_props.sans.emails[]                   "a@b.test"                 abbbba.
x509_props.sans.dns_names                  -                          aababaa
x509_props.sans.dns_names[]                "b.test"                   abbbba.
x509_props.sans.upns                       -                          aababaa
x509_props.sans.upns[]                     "a@b.test"                 abbbba.
x509_props.sans.uris                       -                          aababaa
x509_props.sans.uris[]                     "spiffe://b.test/a"        abbbba.
x509_props.sans.ipAddresses                -                          aababaa
x509_props.sans.ipAddresses[]              "192.0.2.1"                abbbba.
x509_props.ekus                            -                          aababaa
x509_props.ekus[]                          "1.3.6.1.5.5.7.3.1"        abbbba.
x509_props.key_usage                       -                          aabaaaa
x509_props.key_usage[]                     "digitalSignature"         abbbba.
x509_props.validity_months                 12                         aabbbaa
x509_props.basic_constraints               -                          aabaaaa
x509_props.basic_constraints.ca            true                       aab..aa
lifetime_actions                           -                          aababaa
lifetime_actions[]                         -                          abbbaa.
lifetime_actions[].trigger                 -                          bbbbaaa
lifetime_actions[].trigger.lifetime_percentage  80                    bbbbbaa
lifetime_actions[].trigger.days_before_expiry   alone:30              bbbbbaa
lifetime_actions[].action                  -                          bbbbaaa
lifetime_actions[].action.action_type      "EmailContacts"            bbbbbaa
issuer                                     -                          aabaaaa
issuer.name                                "Self"                     aabbbaa
issuer.cty                                 "OV-SSL"                   aababaa
issuer.cert_transparency                   true                       aab..aa
attributes                                 -                          aabaaaa
attributes.enabled                         true                       aab..aa
attributes.created                         1700000000                 aabaaaa
attributes.updated                         1700000000                 aabaaaa
`
	// Of a policy that exists, what is not sent stays.
	updateRows = `
policy                                     -                          aabaaaa
policy.x509_props                          -                          aabbaaa
attributes                                 -                          aabaaaa
attributes.enabled                         true                       aab..aa
attributes.nbf                             1700000000                 aabaaaa
attributes.exp                             1900000000                 aabaaaa
tags                                       -                          aababaa
tags{}                                     "v"                        aababa.
`
	updatePolicyRows = `
x509_props                                 -                          aabbaaa
`
	importRows = `
value                                      "$FILE"                    bbbbbaa
pwd                                        "password-of-a-file"       bbbbbaa
policy                                     -                          aabaaaa
attributes                                 -                          aabaaaa
attributes.enabled                         true                       aab..aa
attributes.nbf                             1700000000                 aabaaaa
attributes.exp                             1900000000                 aabaaaa
tags                                       -                          aababaa
tags{}                                     "v"                        aababa.
preserveCertOrder                          true                       aab..aa
`
	// What the certificate says of itself, no policy can say otherwise (recorded), so
	// there is nothing to be wrong with but the type.
	importPolicyRows = `
id                                         "anything"                 aabaaaa
key_props                                  -                          aabaaaa
key_props.exportable                       true                       aab..aa
key_props.kty                              "EC"                       aabbbaa
key_props.key_size                         256                        aabbbaa
key_props.reuse_key                        false                      aab..aa
key_props.crv                              "P-256"                    aabbbaa
secret_props                               -                          aabaaaa
secret_props.contentType                   "application/x-pkcs12"     aabbbaa
x509_props                                 -                          aabaaaa
x509_props.subject                         "CN=a"                     aabaaaa
x509_props.sans                            -                          aabaaaa
x509_props.sans.emails                     -                          aabaaaa
x509_props.sans.emails[]                   "a@b.test"                 aabaaa.
x509_props.sans.dns_names                  -                          aabaaaa
x509_props.sans.dns_names[]                "b.test"                   aabaaa.
x509_props.sans.upns                       -                          aabaaaa
x509_props.sans.upns[]                     "a@b.test"                 aabaaa.
x509_props.sans.uris                       -                          aabaaaa
x509_props.sans.uris[]                     "spiffe://b.test/a"        aabaaa.
x509_props.sans.ipAddresses                -                          aabaaaa
x509_props.sans.ipAddresses[]              "192.0.2.1"                aabaaa.
x509_props.ekus                            -                          aabaaaa
x509_props.ekus[]                          "1.3.6.1.5.5.7.3.1"        aabaaa.
x509_props.key_usage                       -                          aabaaaa
x509_props.key_usage[]                     "digitalSignature"         aabaaa.
x509_props.validity_months                 12                         aabaaaa
x509_props.basic_constraints               -                          aabaaaa
x509_props.basic_constraints.ca            true                       aab..aa
lifetime_actions                           -                          aababaa
lifetime_actions[]                         -                          abbbaa.
lifetime_actions[].trigger                 -                          bbbbaaa
lifetime_actions[].trigger.lifetime_percentage  80                    bbbbbaa
lifetime_actions[].trigger.days_before_expiry   alone:30              bbbbbaa
lifetime_actions[].action                  -                          bbbbaaa
lifetime_actions[].action.action_type      "EmailContacts"            bbbbbaa
issuer                                     -                          aabaaaa
issuer.name                                "Self"                     aabbbaa
issuer.cty                                 "OV-SSL"                   aababaa
issuer.cert_transparency                   true                       aab..aa
attributes                                 -                          aabaaaa
attributes.enabled                         true                       aab..aa
attributes.created                         1700000000                 aabaaaa
attributes.updated                         1700000000                 aabaaaa
`
	mergeRows = `
x5c                                        -                          bbbbbaa
x5c[]                                      "$X5C"                     bbbbba.
attributes                                 -                          aabaaaa
attributes.enabled                         true                       aab..aa
attributes.nbf                             1700000000                 aabaaaa
attributes.exp                             1900000000                 aabaaaa
tags                                       -                          aababaa
tags{}                                     "v"                        aababa.
`
	operationRows = `
cancellation_requested                     true                       bbb..aa
`
	restoreRows = `
value                                      "$BLOB"                    mmbmmaa
`
	contactRows = `
id                                         "anything"                 aabaaaa
contacts                                   -                          bbbabaa
contacts[]                                 -                          aabaaa.
contacts[].email                           "a@b.test"                 aababaa
contacts[].name                            "A"                        aababaa
contacts[].phone                           "1"                        aababaa
`
	setIssuerRows = `
provider                                   "DigiCert"                 bbbbbaa
`
	updateIssuerRows = `
provider                                   "DigiCert"                 aabbbaa
`
	issuerRows = `
credentials                                -                          aabaaaa
credentials.account_id                     "a"                        aababaa
credentials.pwd                            "password-of-an-issuer"    aababaa
org_details                                -                          aabaaaa
org_details.id                             "o"                        aababaa
org_details.admin_details                  -                          aababaa
org_details.admin_details[]                -                          aabaaa.
org_details.admin_details[].first_name     "A"                        aababaa
org_details.admin_details[].last_name      "B"                        aababaa
org_details.admin_details[].email          "a@b.test"                 aababaa
org_details.admin_details[].phone          "1"                        aababaa
attributes                                 -                          aabaaaa
attributes.enabled                         true                       aab..aa
attributes.nbf                             1700000000                 aabaaaa
attributes.exp                             1900000000                 aabaaaa
`
)
