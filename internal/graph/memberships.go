package graph

import (
	"net/http"
	"slices"
	"strings"

	"coffer/internal/tenant"
)

func listMemberships(holder func(request) tenant.Holder) func(*Door, request) (answer, error) {
	return func(d *Door, r request) (answer, error) {
		return list(r, "directoryObjects", groupProperties, func(q tenant.Query[tenant.Group]) (tenant.Page[tenant.Group], error) {
			return d.Tenant.ListMemberships(r.ctx, r.caller, holder(r), q)
		}, func(g tenant.Group) any { return d.showObject(tenant.Object{Group: &g}) })
	}
}

// getMemberGroups answers with ids. Every group is of security, so securityEnabledOnly
// changes nothing.
func getMemberGroups(holder func(request) tenant.Holder) func(*Door, request) (answer, error) {
	return func(d *Door, r request) (answer, error) {
		var body memberGroupsBody
		if err := r.decode(&body); err != nil {
			return answer{}, err
		}
		if body.SecurityEnabledOnly == nil {
			return answer{}, badRequest("The request has to have 'securityEnabledOnly', true or false.")
		}
		return d.memberGroups(r, holder(r), func(string) bool { return true })
	}
}

type memberGroupsBody struct {
	SecurityEnabledOnly *bool `json:"securityEnabledOnly"`
}

// maxGroupIDs bounds of how many groups one request asks (documented).
const maxGroupIDs = 20

// checkMemberGroups answers with those of the ids that are of groups of the holder.
func checkMemberGroups(holder func(request) tenant.Holder) func(*Door, request) (answer, error) {
	return func(d *Door, r request) (answer, error) {
		var body checkGroupsBody
		if err := r.decode(&body); err != nil {
			return answer{}, err
		}
		if body.GroupIDs == nil || len(*body.GroupIDs) > maxGroupIDs {
			return answer{}, badRequest("The request has to have 'groupIds', at most %d of them.", maxGroupIDs)
		}
		return d.memberGroups(r, holder(r), func(id string) bool {
			return slices.ContainsFunc(*body.GroupIDs, func(asked string) bool { return strings.EqualFold(asked, id) })
		})
	}
}

type checkGroupsBody struct {
	GroupIDs *[]string `json:"groupIds"`
}

// memberGroups answers with the ids of the groups, all at once: nobody is in more than a page
// has.
func (d *Door) memberGroups(r request, holder tenant.Holder, wanted func(id string) bool) (answer, error) {
	match := func(g tenant.Group) bool { return wanted(g.ID) }
	found, err := d.Tenant.ListMemberships(r.ctx, r.caller, holder, tenant.Query[tenant.Group]{Match: match, Size: maxPage})
	ids := []string{}
	for _, g := range found.Items {
		ids = append(ids, g.ID)
	}
	return answer{status: http.StatusOK, body: idCollection{r.context("Collection(Edm.String)"), ids}}, err
}

type idCollection struct {
	Context string   `json:"@odata.context"`
	Value   []string `json:"value"`
}
