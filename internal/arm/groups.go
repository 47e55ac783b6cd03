package arm

import (
	"net/http"
	"regexp"
	"strings"

	"coffer/internal/httpd"
	"coffer/internal/vault"
)

func (d *Door) group(g vault.Group) groupResource {
	return groupResource{
		ID: d.Vaults.GroupID(g.Name), Name: g.Name, Type: "Microsoft.Resources/resourceGroups", Location: g.Location, Tags: g.Tags, Properties: provisioningState{"Succeeded"},
	}
}

func (d *Door) listGroups(r request) (answer, error) {
	groups, err := d.Vaults.ListGroups(r.ctx, r.caller)
	var out []groupResource
	for _, g := range groups {
		out = append(out, d.group(g))
	}
	return ok(listOf(out)), err
}

func (d *Door) putGroup(r request) (answer, error) {
	var body groupInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	location, err := d.location(body.Location)
	if err != nil {
		return answer{}, err
	}
	if err := checkTags(body.Tags); err != nil {
		return answer{}, err
	}
	g, made, err := d.Vaults.PutGroup(r.ctx, r.caller, vault.Group{Name: r.params["{group}"], Location: location, Tags: body.Tags})
	if made {
		return answer{status: http.StatusCreated, body: d.group(g)}, err
	}
	return ok(d.group(g)), err
}

// patchGroup changes the tags, which is all that can be changed.
func (d *Door) patchGroup(r request) (answer, error) {
	var body groupInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	if err := checkTags(body.Tags); err != nil {
		return answer{}, err
	}
	g, err := d.Vaults.PatchGroup(r.ctx, r.caller, r.params["{group}"], body.Tags)
	return ok(d.group(g)), err
}

// checkTags applies the control plane's bounds (documented).
func checkTags(tags map[string]string) error {
	if len(tags) > 50 {
		return fail(http.StatusBadRequest, "InvalidTags", "A resource can have 50 tags.")
	}
	for name, value := range tags {
		if name == "" || len(name) > 512 || len(value) > 256 || strings.ContainsAny(name, `<>%&\?/`) {
			return fail(http.StatusBadRequest, "InvalidTagNameCharacters", "The name of a tag has 1 to 512 characters without <>%%&\\?/, its value up to 256.")
		}
	}
	return nil
}

func (d *Door) getGroup(r request) (answer, error) {
	g, err := d.Vaults.GetGroup(r.ctx, r.caller, r.params["{group}"])
	return ok(d.group(g)), err
}

func (d *Door) headGroup(r request) (answer, error) {
	_, err := d.Vaults.GetGroup(r.ctx, r.caller, r.params["{group}"])
	return answer{status: http.StatusNoContent}, err
}

// deleteGroup answers that it is done, or else where the client can ask whether it is.
func (d *Door) deleteGroup(r request) (answer, error) {
	op, err := d.Vaults.DeleteGroup(r.ctx, r.caller, r.params["{group}"])
	if err != nil || op.Done {
		return answer{status: http.StatusOK}, err
	}
	return accepted(r, d.deletion(op.Token)), nil
}

func (d *Door) deletion(token string) string {
	return "/subscriptions/" + d.Vaults.SubscriptionID() + "/operationresults/" + token
}

// accepted is the answer of a long operation that is under way. Clients wait as long as
// Retry-After says, and half a minute if it says nothing, or 0: so what is done at once is
// never answered by it.
func accepted(r request, path string) answer {
	return answer{status: http.StatusAccepted, header: map[string]string{"Location": r.base + path + "?api-version=" + r.version, "Retry-After": "1"}}
}

func (d *Door) groupResult(r request) (answer, error) {
	op, err := d.Vaults.DeletionDone(r.ctx, r.caller, r.params["{token}"])
	if err != nil || op.Done {
		return answer{status: http.StatusOK}, err
	}
	return accepted(r, d.deletion(r.params["{token}"])), nil
}

// resourceTerm is a term of a filter of resources. By the type alone tools find a vault's
// group from its name; the command-line tool has the others.
var resourceTerm = regexp.MustCompile(`(?i)^\s*(resourceType|resourceGroup|name|location|tagName|tagValue)\s+eq\s+'([^']*)'\s*(\sand\s|$)`)

// parseResourceFilter takes a filter apart into what each member has to be.
func parseResourceFilter(filter string) (map[string]string, bool) {
	terms := map[string]string{}
	for more := strings.TrimSpace(filter) != ""; more; {
		found := resourceTerm.FindStringSubmatch(filter)
		if found == nil {
			return nil, false
		}
		name := strings.ToLower(found[1])
		if _, twice := terms[name]; twice {
			return nil, false
		}
		terms[name] = found[2]
		filter, more = filter[len(found[0]):], found[3] != ""
	}
	_, named := terms["tagname"]
	_, valued := terms["tagvalue"]
	return terms, named || !valued
}

// fitsFilter reports whether a vault is one that the filter is about.
func fitsFilter(terms map[string]string, v vault.Vault) bool {
	for name, is := range map[string]string{"resourcetype": vaultType, "resourcegroup": v.Group, "name": v.Name, "location": v.Location} {
		if want, asked := terms[name]; asked && !strings.EqualFold(want, is) && (name != "location" || shortLocation(want) != is) {
			return false
		}
	}
	tag, asked := terms["tagname"]
	if !asked {
		return true
	}
	value, valued := terms["tagvalue"]
	has, tagged := v.Tags[tag]
	return tagged && (!valued || has == value)
}

// listResources lists all resources; vaults are the only ones.
func (d *Door) listResources(r request) (answer, error) {
	terms, valid := parseResourceFilter(r.query.Get("$filter"))
	if !valid {
		return answer{}, fail(http.StatusBadRequest, "InvalidFilterInQueryString", "The $filter is not supported; join terms such as resourceType eq 'Microsoft.KeyVault/vaults' by and: of resourceType, resourceGroup, name, location, tagName, and tagValue beside it.")
	}
	vaults, err := d.Vaults.ListVaults(r.ctx, r.caller, r.params["{group}"])
	var out []genericResource
	for _, v := range vaults {
		if fitsFilter(terms, v) {
			out = append(out, genericResource{ID: d.Vaults.VaultID(v.Group, v.Name), Name: v.Name, Type: vaultType, Location: v.Location, Tags: tags(v.Tags)})
		}
	}
	return ok(listOf(out)), err
}

func tags(t map[string]string) map[string]string {
	if t == nil {
		return map[string]string{}
	}
	return t
}
