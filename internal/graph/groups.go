package graph

import (
	"net/http"

	"coffer/internal/tenant"
)

var groupProperties = []property[tenant.Group]{
	{name: "id", ops: "eq", get: func(g tenant.Group) []string { return []string{g.ID} }},
	{name: "displayName", ops: "eq startswith", get: func(g tenant.Group) []string { return []string{g.DisplayName} }},
	{name: "mailNickname", ops: "eq startswith", get: func(g tenant.Group) []string { return []string{g.MailNickname} }},
	{name: "securityEnabled", ops: "eq", flag: true, get: func(tenant.Group) []string { return []string{"true"} }},
	{name: "mailEnabled", ops: "eq", flag: true, get: func(tenant.Group) []string { return []string{"false"} }},
}

// group is a group as it is shown: every one is of security, and has no mail.
type group struct {
	entity
	ID              string   `json:"id"`
	DisplayName     string   `json:"displayName"`
	Description     *string  `json:"description"`
	MailNickname    string   `json:"mailNickname"`
	MailEnabled     bool     `json:"mailEnabled"`
	SecurityEnabled bool     `json:"securityEnabled"`
	GroupTypes      []string `json:"groupTypes"`
	CreatedDateTime *string  `json:"createdDateTime"`
}

func showGroup(g tenant.Group) group {
	return group{ID: g.ID, DisplayName: g.DisplayName, Description: orNull(g.Description), MailNickname: g.MailNickname, SecurityEnabled: true, GroupTypes: []string{}, CreatedDateTime: date(g.Created)}
}

// groupBody is what is taken of a group; nil members are left as they are.
type groupBody struct {
	DisplayName     *string  `json:"displayName"`
	Description     *string  `json:"description"`
	MailNickname    *string  `json:"mailNickname"`
	MailEnabled     *bool    `json:"mailEnabled"`
	SecurityEnabled *bool    `json:"securityEnabled"`
	GroupTypes      []string `json:"groupTypes"`
	MembershipRule  *string  `json:"membershipRule"`
	Owners          []string `json:"owners@odata.bind"`
	Members         []string `json:"members@odata.bind"`
}

// edit refuses what would be another kind of group than this server has.
func (b groupBody) edit() (tenant.GroupEdit, error) {
	if b.MailEnabled != nil && *b.MailEnabled || b.SecurityEnabled != nil && !*b.SecurityEnabled || len(b.GroupTypes) > 0 || b.MembershipRule != nil {
		return tenant.GroupEdit{}, badRequest("This server has security groups with assigned members alone: securityEnabled is true, mailEnabled is false, groupTypes is empty.")
	}
	if b.Members != nil {
		return tenant.GroupEdit{}, badRequest("'members@odata.bind' is not supported: add members by POST to members/$ref.")
	}
	return tenant.GroupEdit{DisplayName: b.DisplayName, Description: b.Description, MailNickname: b.MailNickname}, nil
}

func (d *Door) listGroups(r request) (answer, error) {
	return list(r, "groups", groupProperties, func(q tenant.Query[tenant.Group]) (tenant.Page[tenant.Group], error) {
		return d.Tenant.ListGroups(r.ctx, r.caller, q)
	}, showGroup)
}

func (d *Door) getGroup(r request) (answer, error) {
	found, err := d.Tenant.FindGroup(r.ctx, r.caller, r.names["id"])
	return d.oneGroup(r, http.StatusOK, found), err
}

func (d *Door) oneGroup(r request, status int, g tenant.Group) answer {
	out := showGroup(g)
	out.Context = r.context("groups/$entity")
	return answer{status: status, body: out}
}

func (d *Door) createGroup(r request) (answer, error) {
	var body groupBody
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	edit, err := body.edit()
	if err != nil {
		return answer{}, err
	}
	owners := []string{}
	for _, address := range body.Owners {
		id, err := referred(address)
		if err != nil {
			return answer{}, err
		}
		owners = append(owners, id)
	}
	made, err := d.Tenant.CreateGroup(r.ctx, r.caller, edit, owners)
	out := d.oneGroup(r, http.StatusCreated, made)
	out.location = r.root + "/groups/" + made.ID
	return out, err
}

func (d *Door) updateGroup(r request) (answer, error) {
	var body groupBody
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	edit, err := body.edit()
	if err != nil {
		return answer{}, err
	}
	if body.Owners != nil {
		return answer{}, badRequest("Owners are changed at owners/$ref.")
	}
	return noContent(d.Tenant.UpdateGroup(r.ctx, r.caller, r.names["id"], edit))
}

func (d *Door) deleteGroup(r request) (answer, error) {
	return noContent(d.Tenant.DeleteGroup(r.ctx, r.caller, r.names["id"]))
}

func (d *Door) listMembers(r request) (answer, error) {
	return list(r, "directoryObjects", nil, func(q tenant.Query[tenant.Object]) (tenant.Page[tenant.Object], error) {
		return d.Tenant.ListMembers(r.ctx, r.caller, r.names["id"], q)
	}, d.showObject)
}

func (d *Door) addMember(r request) (answer, error) {
	id, err := r.reference()
	if err != nil {
		return answer{}, err
	}
	return noContent(d.Tenant.AddMember(r.ctx, r.caller, r.names["id"], id))
}

func (d *Door) removeMember(r request) (answer, error) {
	return noContent(d.Tenant.RemoveMember(r.ctx, r.caller, r.names["id"], r.names["sub"]))
}

func (d *Door) listGroupOwners(r request) (answer, error) {
	found, err := d.Tenant.ListGroupOwners(r.ctx, r.caller, r.names["id"])
	if err != nil {
		return answer{}, err
	}
	return whole(r, "directoryObjects", nil, found, d.showObject)
}

func (d *Door) addGroupOwner(r request) (answer, error) {
	id, err := r.reference()
	if err != nil {
		return answer{}, err
	}
	return noContent(d.Tenant.AddGroupOwner(r.ctx, r.caller, r.names["id"], id))
}

func (d *Door) removeGroupOwner(r request) (answer, error) {
	return noContent(d.Tenant.RemoveGroupOwner(r.ctx, r.caller, r.names["id"], r.names["sub"]))
}
