package graph

import (
	"net/http"

	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

// me is for users; tools that run as an application go on with another question when they
// are refused (recorded).
func (d *Door) me(r request) (answer, error) {
	u, isUser, err := d.Tenant.Me(r.ctx, r.caller)
	if err != nil {
		return answer{}, err
	}
	if !isUser {
		return answer{}, fail(http.StatusBadRequest, "Request_BadRequest", "/me request is only valid with delegated authentication flow.")
	}
	return r.userAnswer(http.StatusOK, u, nil)
}

func (r request) userAnswer(status int, u tenant.User, err error) (answer, error) {
	out := userOf(u)
	out.Context = r.base + "/$metadata#users/$entity"
	return answer{status, out}, err
}

func (d *Door) organization(r request) (answer, error) {
	if err := d.Tenant.CheckCaller(r.ctx, r.caller); err != nil {
		return answer{}, err
	}
	return r.collection("organization", []any{map[string]any{
		"id": d.Tenant.TenantID(), "displayName": "Coffer", "tenantType": "AAD",
		"verifiedDomains": []any{map[string]any{"name": "coffer.local", "isDefault": true, "isInitial": true, "type": "Managed", "capabilities": ""}},
	}}), nil
}

func (d *Door) listUsers(r request) (answer, error) {
	f, err := parseFilter(r.query.Get("$filter"))
	if err != nil {
		return answer{}, err
	}
	known := map[string]func(tenant.User) []string{
		"":                  func(tenant.User) []string { return []string{""} },
		"userprincipalname": func(u tenant.User) []string { return []string{u.Name} },
		"displayname":       func(u tenant.User) []string { return []string{u.DisplayName} },
		"id":                func(u tenant.User) []string { return []string{u.ID} },
		"mail":              func(tenant.User) []string { return nil },
	}
	values := known[f.property]
	if values == nil {
		return answer{}, unsupported(r.query.Get("$filter"))
	}
	found, err := d.Tenant.ListUsers(r.ctx, r.caller, func(u tenant.User) bool { return f.holds(values(u)...) })
	var out []any
	for _, u := range found {
		out = append(out, userOf(u))
	}
	return r.collection("users", out), err
}

// listGroups is the list of what there is none of.
func (d *Door) listGroups(r request) (answer, error) {
	return r.collection("groups", nil), d.Tenant.CheckCaller(r.ctx, r.caller)
}

type userInput struct {
	Name        string  `json:"userPrincipalName"`
	DisplayName *string `json:"displayName"`
	Enabled     *bool   `json:"accountEnabled"`
	Password    *struct {
		Password string `json:"password"`
	} `json:"passwordProfile"`
}

func (d *Door) createUser(r request) (answer, error) {
	var body userInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	in, password := tenant.User{Name: body.Name}, ""
	if body.DisplayName != nil {
		in.DisplayName = *body.DisplayName
	}
	if body.Password != nil {
		password = body.Password.Password
	}
	u, err := d.Tenant.CreateUser(r.ctx, r.caller, in, password)
	return r.userAnswer(http.StatusCreated, u, err)
}

func (d *Door) getUser(r request) (answer, error) {
	u, err := d.Tenant.FindUser(r.ctx, r.caller, r.id)
	return r.userAnswer(http.StatusOK, u, err)
}

func (d *Door) patchUser(r request) (answer, error) {
	var body userInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	in := tenant.UserChange{DisplayName: body.DisplayName, Enabled: body.Enabled}
	if body.Password != nil {
		in.Password = &body.Password.Password
	}
	return nothing, d.Tenant.ChangeUser(r.ctx, r.caller, r.id, in)
}

func (d *Door) deleteUser(r request) (answer, error) {
	return nothing, d.Tenant.DeleteUser(r.ctx, r.caller, r.id)
}
