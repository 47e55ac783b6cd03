package graph

import (
	"net/http"
	"strconv"

	"coffer/internal/tenant"
)

var userProperties = []property[tenant.User]{
	{name: "id", ops: "eq", get: func(u tenant.User) []string { return []string{u.ID} }},
	{name: "userPrincipalName", ops: "eq startswith", get: func(u tenant.User) []string { return []string{u.Name} }},
	{name: "displayName", ops: "eq startswith", get: func(u tenant.User) []string { return []string{u.DisplayName} }},
	{name: "mail", ops: "eq startswith", get: func(tenant.User) []string { return nil }},
	{name: "accountEnabled", ops: "eq", flag: true, get: func(u tenant.User) []string { return []string{strconv.FormatBool(u.Enabled)} }},
}

// userBody is what is taken of a user; nil members are left as they are.
type userBody struct {
	UserPrincipalName *string `json:"userPrincipalName"`
	DisplayName       *string `json:"displayName"`
	AccountEnabled    *bool   `json:"accountEnabled"`
	PasswordProfile   *struct {
		Password *string `json:"password"`
	} `json:"passwordProfile"`
	Identities *[]identity `json:"identities"`
}

// edit reads what is to change. Of the identities those are taken that outside issuers know;
// the one by which a user signs in here is their name, and is changed as such.
func (b userBody) edit() (tenant.UserEdit, error) {
	e := tenant.UserEdit{Name: b.UserPrincipalName, DisplayName: b.DisplayName, Enabled: b.AccountEnabled}
	if b.PasswordProfile != nil {
		e.Password = b.PasswordProfile.Password
	}
	if b.Identities == nil {
		return e, nil
	}
	federated := []tenant.Identity{}
	for _, i := range *b.Identities {
		switch i.SignInType {
		case signInFederated:
			federated = append(federated, tenant.Identity{Issuer: i.Issuer, ID: i.IssuerAssignedID})
		case signInName:
		default:
			return e, badRequest("Invalid value specified for property 'signInType' of resource 'ObjectIdentity': it is federated or userPrincipalName.")
		}
	}
	e.Identities = &federated
	return e, nil
}

func (d *Door) getMe(r request) (answer, error) {
	found, err := d.Tenant.Me(r.ctx, r.caller)
	return d.oneUser(r, http.StatusOK, found), err
}

func (d *Door) listUsers(r request) (answer, error) {
	return list(r, "users", userProperties, func(q tenant.Query[tenant.User]) (tenant.Page[tenant.User], error) {
		return d.Tenant.ListUsers(r.ctx, r.caller, q)
	}, d.showUser)
}

func (d *Door) getUser(r request) (answer, error) {
	found, err := d.Tenant.FindUser(r.ctx, r.caller, r.names["id"])
	return d.oneUser(r, http.StatusOK, found), err
}

func (d *Door) createUser(r request) (answer, error) {
	var body userBody
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	edit, err := body.edit()
	if err != nil {
		return answer{}, err
	}
	made, err := d.Tenant.CreateUser(r.ctx, r.caller, edit)
	out := d.oneUser(r, http.StatusCreated, made)
	out.location = r.root + "/users/" + made.ID
	return out, err
}

func (d *Door) updateUser(r request) (answer, error) {
	var body userBody
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	edit, err := body.edit()
	if err != nil {
		return answer{}, err
	}
	return noContent(d.Tenant.UpdateUser(r.ctx, r.caller, r.names["id"], edit))
}

func (d *Door) deleteUser(r request) (answer, error) {
	return noContent(d.Tenant.DeleteUser(r.ctx, r.caller, r.names["id"]))
}

func (d *Door) oneUser(r request, status int, u tenant.User) answer {
	out := d.showUser(u)
	out.Context = r.context("users/$entity")
	return answer{status: status, body: out}
}
