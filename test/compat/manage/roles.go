package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

const (
	secretsOfficer = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
	secretsUser    = "4633458b-17de-408a-b874-0445c86b69e6"
	ownRole        = "11111111-2222-4333-8444-555555555555"
)

// roles are definitions and assignments, by which the vault managed-4 is used.
func (w *world) roles() {
	definitions, err := armauthorization.NewRoleDefinitionsClient(w.credential, nil)
	must(err)
	w.builtIn(definitions)
	w.custom(definitions)
	assignments, err := armauthorization.NewRoleAssignmentsClient(w.subscription, w.credential, nil)
	must(err)
	for i, scope := range []string{"/subscriptions/" + w.subscription, w.groupPath, w.vault4(), w.vault4() + "/secrets/s"} {
		w.assign(assignments, scope, fmt.Sprintf("00000000-0000-4000-8000-00000000000%d", i))
	}
	w.assignmentErrors(assignments)
}

func (w *world) vault4() string {
	return w.groupPath + "/providers/Microsoft.KeyVault/vaults/managed-4"
}

func (w *world) role(id string) string {
	return "/subscriptions/" + w.subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + id
}

func (w *world) builtIn(client *armauthorization.RoleDefinitionsClient) {
	n := 0
	pages(client.NewListPager("/subscriptions/"+w.subscription, &armauthorization.RoleDefinitionsClientListOptions{Filter: to.Ptr("type eq 'BuiltInRole'")}), func(page armauthorization.RoleDefinitionsClientListResponse) {
		n += len(page.Value)
	})
	check(n >= 17, "built-in roles", n)
	pages(client.NewListPager(w.vault4(), &armauthorization.RoleDefinitionsClientListOptions{Filter: to.Ptr("roleName eq 'Key Vault Secrets User'")}), func(page armauthorization.RoleDefinitionsClientListResponse) {
		check(len(page.Value) == 1 && *page.Value[0].Name == secretsUser && len(page.Value[0].Properties.Permissions[0].DataActions) == 2, "by its name", page)
	})
	one, err := client.Get(ctx, "/subscriptions/"+w.subscription, secretsOfficer, nil)
	must(err)
	byID, err := client.GetByID(ctx, "providers/Microsoft.Authorization/roleDefinitions/"+secretsOfficer, nil)
	must(err)
	check(*one.Properties.RoleName == "Key Vault Secrets Officer" && *byID.Properties.RoleName == *one.Properties.RoleName, "a role by its id", one)
}

func (w *world) custom(client *armauthorization.RoleDefinitionsClient) {
	definition := armauthorization.RoleDefinition{Properties: &armauthorization.RoleDefinitionProperties{
		RoleName: to.Ptr("Secret Counter"), RoleType: to.Ptr("CustomRole"), Description: to.Ptr("counts secrets"), AssignableScopes: to.SliceOfPtrs("/subscriptions/" + w.subscription),
		Permissions: []*armauthorization.Permission{{DataActions: to.SliceOfPtrs("Microsoft.KeyVault/vaults/secrets/*"), NotDataActions: to.SliceOfPtrs("Microsoft.KeyVault/vaults/secrets/getSecret/action")}},
	}}
	made, err := client.CreateOrUpdate(ctx, "/subscriptions/"+w.subscription, ownRole, definition, nil)
	must(err)
	check(*made.ID == w.role(ownRole) && *made.Properties.RoleType == "CustomRole", "a custom role", made)
	definition.Properties.Description = to.Ptr("counts them still")
	changed, err := client.CreateOrUpdate(ctx, "/subscriptions/"+w.subscription, ownRole, definition, nil)
	must(err)
	check(*changed.Properties.Description == "counts them still", "a custom role is changed", changed)
	_, err = client.Delete(ctx, "/subscriptions/"+w.subscription, ownRole, nil)
	must(err)
	_, err = client.Get(ctx, "/subscriptions/"+w.subscription, ownRole, nil)
	refused(err, 404, "RoleDefinitionDoesNotExist")
}

func (w *world) parametersOf(role string) armauthorization.RoleAssignmentCreateParameters {
	return armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
		PrincipalID: &w.me, RoleDefinitionID: to.Ptr(w.role(role)), PrincipalType: to.Ptr(armauthorization.PrincipalTypeServicePrincipal),
	}}
}

// assign makes an assignment, uses the vault by it, and takes it away: then it holds no longer.
func (w *world) assign(client *armauthorization.RoleAssignmentsClient, scope, name string) {
	refused(w.setSecret(), 403, "Forbidden")
	made, err := client.Create(ctx, scope, name, w.parametersOf(secretsOfficer), nil)
	must(err)
	check(*made.Name == name && *made.ID == scope+"/providers/Microsoft.Authorization/roleAssignments/"+name, "assignment", made)
	must(w.setSecret())
	again, err := client.Create(ctx, scope, name, w.parametersOf(secretsOfficer), nil)
	must(err)
	check(*again.ID == *made.ID, "the same once more", again)
	_, err = client.Create(ctx, scope, "99999999-0000-4000-8000-000000000000", w.parametersOf(secretsOfficer), nil)
	refused(err, 409, "RoleAssignmentExists")
	got, err := client.GetByID(ctx, *made.ID, nil)
	must(err)
	check(*got.Properties.PrincipalID == w.me && *got.Properties.Scope == scope, "by its id", got)
	found := false
	pages(client.NewListForScopePager(scope, &armauthorization.RoleAssignmentsClientListForScopeOptions{Filter: to.Ptr("atScope()")}), func(page armauthorization.RoleAssignmentsClientListForScopeResponse) {
		for _, a := range page.Value {
			found = found || *a.ID == *made.ID
		}
	})
	check(found, "it is in the list of its scope", scope)
	if scope != w.vault4() && scope != w.groupPath { // once by the id and once by scope and name
		_, err = client.DeleteByID(ctx, *made.ID, nil)
	} else {
		_, err = client.Delete(ctx, scope, name, nil)
	}
	must(err)
	refused(w.setSecret(), 403, "Forbidden")
	_, err = client.Get(ctx, scope, name, nil)
	refused(err, 404, "RoleAssignmentNotFound")
	_, err = client.Delete(ctx, scope, name, nil)
	must(err) // 204
}

func (w *world) setSecret() error {
	client, err := azsecrets.NewClient("https://managed-4.vault.azure.net", w.credential, nil)
	must(err)
	_, err = client.SetSecret(ctx, "s", azsecrets.SetSecretParameters{Value: to.Ptr(time.Now().String())}, nil)
	return err
}

func (w *world) assignmentErrors(client *armauthorization.RoleAssignmentsClient) {
	const name = "00000000-0000-4000-8000-000000000009"
	_, err := client.Create(ctx, w.vault4(), name, w.parametersOf(ownRole), nil)
	refused(err, 400, "RoleDefinitionDoesNotExist")
	unknown := w.parametersOf(secretsUser)
	unknown.Properties.PrincipalID = to.Ptr("00000000-0000-4000-8000-00000000abcd")
	_, err = client.Create(ctx, w.vault4(), name, unknown, nil)
	refused(err, 400, "PrincipalNotFound")
	for _, pager := range []func() int{
		func() int {
			return pages(client.NewListForSubscriptionPager(nil), func(armauthorization.RoleAssignmentsClientListForSubscriptionResponse) {})
		},
		func() int {
			return pages(client.NewListForResourceGroupPager(group, nil), func(armauthorization.RoleAssignmentsClientListForResourceGroupResponse) {})
		},
		func() int {
			return pages(client.NewListForResourcePager(group, "Microsoft.KeyVault", "vaults", "managed-4", nil), func(armauthorization.RoleAssignmentsClientListForResourceResponse) {})
		},
	} {
		check(pager() == 1, "one page of assignments")
	}
	_, err = client.Create(ctx, w.groupPath+"-nothing", name, w.parametersOf(secretsUser), nil)
	var answer *azcore.ResponseError
	check(errors.As(err, &answer) && answer.StatusCode == 404, "a group that is not there", err)
}
