// Command manage is the control plane by the official Go clients: every method of the one
// for vaults, with pages, pollers and refusals, and role definitions and assignments at
// every kind of scope.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"
)

const group = "rg"

var ctx = context.Background()

// world is what all parts use.
type world struct {
	credential            azcore.TokenCredential
	tenant, subscription  string
	me                    string // the object id of the caller
	vaults                *armkeyvault.VaultsClient
	groups                *armresources.ResourceGroupsClient
	called                map[string]bool
	vaultScope, groupPath string
}

func main() {
	log.SetFlags(0)
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	must(err)
	w := &world{credential: credential, tenant: os.Getenv("AZURE_TENANT_ID"), called: map[string]bool{}}
	w.me = w.objectID()
	w.subscriptions()
	w.groupPath = "/subscriptions/" + w.subscription + "/resourceGroups/" + group
	w.vaultScope = w.groupPath + "/providers/Microsoft.KeyVault/vaults/managed-1"
	w.vaults, err = armkeyvault.NewVaultsClient(w.subscription, credential, nil)
	must(err)
	w.makeGroup()
	w.makeVaults()
	w.changeVaults()
	w.listVaults()
	w.refuseVaults()
	w.roles()
	w.deleteVaults()
	w.deleteGroup()
	w.report("VaultsClient", reflect.TypeOf(w.vaults))
	fmt.Println("manage done")
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func check(ok bool, what string, values ...any) {
	if !ok {
		log.Fatalf("failed: %s %+v", what, values)
	}
}

func refused(err error, status int, code string) {
	var answer *azcore.ResponseError
	check(errors.As(err, &answer) && answer.StatusCode == status && answer.ErrorCode == code, fmt.Sprintf("want %d %s, got %v", status, code, err))
}

// objectID is in the token; nothing else tells it to an application.
func (w *world) objectID() string {
	token, err := w.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}})
	must(err)
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(token.Token, ".")[1])
	must(err)
	var claims struct {
		OID string `json:"oid"`
	}
	must(json.Unmarshal(body, &claims))
	return claims.OID
}

// report says which methods the client has, and which were called.
func (w *world) report(name string, client reflect.Type) {
	fmt.Printf("%s: %d methods\n", name, client.NumMethod())
	for i := range client.NumMethod() {
		if method := client.Method(i).Name; w.called[method] {
			fmt.Printf("called %s.%s\n", name, method)
		}
	}
}

func (w *world) call(method string) *armkeyvault.VaultsClient {
	w.called[method] = true
	return w.vaults
}

// pages reads all pages, and says how many they were.
func pages[T any](pager *runtime.Pager[T], each func(T)) (n int) {
	for ; pager.More(); n++ {
		page, err := pager.NextPage(ctx)
		must(err)
		each(page)
	}
	return n
}

func (w *world) subscriptions() {
	tenants, err := armsubscriptions.NewTenantsClient(w.credential, nil)
	must(err)
	pages(tenants.NewListPager(nil), func(page armsubscriptions.TenantsClientListResponse) {
		check(len(page.Value) == 1 && *page.Value[0].TenantID == w.tenant, "tenants", page)
	})
	client, err := armsubscriptions.NewClient(w.credential, nil)
	must(err)
	pages(client.NewListPager(nil), func(page armsubscriptions.ClientListResponse) {
		check(len(page.Value) == 1 && *page.Value[0].State == armsubscriptions.SubscriptionStateEnabled, "subscriptions", page)
		w.subscription = *page.Value[0].SubscriptionID
	})
	one, err := client.Get(ctx, w.subscription, nil)
	must(err)
	check(*one.TenantID == w.tenant && *one.ID == "/subscriptions/"+w.subscription, "subscription", one)
	_, err = client.Get(ctx, "00000000-0000-0000-0000-000000000001", nil)
	refused(err, 404, "SubscriptionNotFound")
	east := false
	pages(client.NewListLocationsPager(w.subscription, nil), func(page armsubscriptions.ClientListLocationsResponse) {
		for _, l := range page.Value {
			east = east || *l.Name == "eastus" && *l.DisplayName == "East US"
		}
	})
	check(east, "locations")
}

func (w *world) makeGroup() {
	var err error
	w.groups, err = armresources.NewResourceGroupsClient(w.subscription, w.credential, nil)
	must(err)
	providers, err := armresources.NewProvidersClient(w.subscription, w.credential, nil)
	must(err)
	provider, err := providers.Get(ctx, "Microsoft.KeyVault", nil)
	must(err)
	check(*provider.RegistrationState == "Registered", "provider", *provider.RegistrationState)
	_, err = providers.Register(ctx, "Microsoft.KeyVault", nil)
	must(err)
	_, err = w.vaults.BeginCreateOrUpdate(ctx, group, "managed-1", w.parameters(), nil)
	refused(err, 404, "ResourceGroupNotFound")
	made, err := w.groups.CreateOrUpdate(ctx, group, armresources.ResourceGroup{Location: to.Ptr("East US"), Tags: map[string]*string{"a": to.Ptr("b")}}, nil)
	must(err)
	check(*made.Location == "eastus" && *made.Tags["a"] == "b" && *made.Properties.ProvisioningState == "Succeeded", "group", made)
	_, err = w.groups.CreateOrUpdate(ctx, group, armresources.ResourceGroup{Location: to.Ptr("westus")}, nil)
	refused(err, 409, "InvalidResourceGroupLocation")
	there, err := w.groups.CheckExistence(ctx, group, nil)
	must(err)
	check(there.Success, "group exists")
	there, err = w.groups.CheckExistence(ctx, "nothing", nil)
	must(err)
	check(!there.Success, "another group does not")
	changed, err := w.groups.Update(ctx, group, armresources.ResourceGroupPatchable{Tags: map[string]*string{"c": to.Ptr("d")}}, nil)
	must(err)
	check(*changed.Tags["c"] == "d", "group tags", changed.Tags)
	_, err = w.groups.Get(ctx, "nothing", nil)
	refused(err, 404, "ResourceGroupNotFound")
}

func (w *world) parameters() armkeyvault.VaultCreateOrUpdateParameters {
	return armkeyvault.VaultCreateOrUpdateParameters{Location: to.Ptr("eastus"), Tags: map[string]*string{"a": to.Ptr("b")}, Properties: &armkeyvault.VaultProperties{
		SKU:      &armkeyvault.SKU{Family: to.Ptr(armkeyvault.SKUFamilyA), Name: to.Ptr(armkeyvault.SKUNamePremium)},
		TenantID: &w.tenant, SoftDeleteRetentionInDays: to.Ptr[int32](7), EnableRbacAuthorization: to.Ptr(false), AccessPolicies: []*armkeyvault.AccessPolicyEntry{w.entry(armkeyvault.SecretPermissionsGet)},
	}}
}

func (w *world) entry(secrets ...armkeyvault.SecretPermissions) *armkeyvault.AccessPolicyEntry {
	return &armkeyvault.AccessPolicyEntry{TenantID: &w.tenant, ObjectID: &w.me, Permissions: &armkeyvault.Permissions{Secrets: to.SliceOfPtrs(secrets...)}}
}

func (w *world) put(name string, parameters armkeyvault.VaultCreateOrUpdateParameters) (armkeyvault.VaultsClientCreateOrUpdateResponse, error) {
	poller, err := w.call("BeginCreateOrUpdate").BeginCreateOrUpdate(ctx, group, name, parameters, nil)
	if err != nil {
		return armkeyvault.VaultsClientCreateOrUpdateResponse{}, err
	}
	check(poller.Done(), "there is nothing to wait for")
	return poller.PollUntilDone(ctx, nil)
}

func (w *world) available(name string) (bool, armkeyvault.Reason) {
	answer, err := w.call("CheckNameAvailability").CheckNameAvailability(ctx, armkeyvault.VaultCheckNameAvailabilityParameters{Name: &name, Type: to.Ptr("Microsoft.KeyVault/vaults")}, nil)
	must(err)
	if answer.Reason == nil {
		return *answer.NameAvailable, ""
	}
	return *answer.NameAvailable, *answer.Reason
}

func (w *world) makeVaults() {
	free, _ := w.available("managed-1")
	check(free, "the name is free")
	_, reason := w.available("1-")
	check(reason == armkeyvault.ReasonAccountNameInvalid, "a name that is none", reason)
	for _, name := range []string{"managed-1", "managed-2", "managed-3"} {
		made, err := w.put(name, w.parameters())
		must(err)
		p := made.Properties
		check(*made.Name == name && *made.Type == "Microsoft.KeyVault/vaults" && *made.Tags["a"] == "b" && *made.SystemData.CreatedByType == armkeyvault.CreatedByTypeApplication, "vault", made)
		check(strings.HasPrefix(*p.VaultURI, "https://"+name+".vault.azure.net") && *p.SKU.Name == armkeyvault.SKUNamePremium && *p.SoftDeleteRetentionInDays == 7 && *p.EnableSoftDelete && !*p.EnableRbacAuthorization, "properties", p)
	}
	free, reason = w.available("managed-1")
	check(!free && reason == armkeyvault.ReasonAlreadyExists, "the name is taken", reason)
	parameters := w.parameters() // the default of the newest version
	parameters.Properties.EnableRbacAuthorization, parameters.Properties.AccessPolicies = nil, nil
	made, err := w.put("managed-4", parameters)
	must(err)
	check(*made.Properties.EnableRbacAuthorization, "role assignments are the default")
}

func (w *world) policies(kind armkeyvault.AccessPolicyUpdateKind, entry *armkeyvault.AccessPolicyEntry) []*armkeyvault.AccessPolicyEntry {
	parameters := armkeyvault.VaultAccessPolicyParameters{Properties: &armkeyvault.VaultAccessPolicyProperties{AccessPolicies: []*armkeyvault.AccessPolicyEntry{entry}}}
	answer, err := w.call("UpdateAccessPolicy").UpdateAccessPolicy(ctx, group, "managed-1", kind, parameters, nil)
	must(err)
	got, err := w.call("Get").Get(ctx, group, "managed-1", nil)
	must(err)
	check(reflect.DeepEqual(got.Properties.AccessPolicies, answer.Properties.AccessPolicies), "the answer is what holds", answer)
	return got.Properties.AccessPolicies
}

func (w *world) changeVaults() {
	held := w.policies(armkeyvault.AccessPolicyUpdateKindAdd, w.entry(armkeyvault.SecretPermissionsSet))
	check(len(held) == 1 && len(held[0].Permissions.Secrets) == 2, "added", held)
	held = w.policies(armkeyvault.AccessPolicyUpdateKindRemove, w.entry(armkeyvault.SecretPermissionsGet))
	check(len(held) == 1 && len(held[0].Permissions.Secrets) == 1 && *held[0].Permissions.Secrets[0] == armkeyvault.SecretPermissionsSet, "removed", held)
	held = w.policies(armkeyvault.AccessPolicyUpdateKindReplace, w.entry(armkeyvault.SecretPermissionsList))
	check(len(held) == 1 && *held[0].Permissions.Secrets[0] == armkeyvault.SecretPermissionsList, "replaced", held)
	held = w.policies(armkeyvault.AccessPolicyUpdateKindRemove, w.entry(armkeyvault.SecretPermissionsList))
	check(len(held) == 0, "nothing is left", held)
	patched, err := w.call("Update").Update(ctx, group, "managed-1", armkeyvault.VaultPatchParameters{Tags: map[string]*string{"x": to.Ptr("y")}, Properties: &armkeyvault.VaultPatchProperties{
		EnabledForDeployment: to.Ptr(true), NetworkACLs: &armkeyvault.NetworkRuleSet{DefaultAction: to.Ptr(armkeyvault.NetworkRuleActionDeny), IPRules: []*armkeyvault.IPRule{{Value: to.Ptr("10.1.0.0/24")}}},
	}}, nil)
	must(err)
	p := patched.Properties
	check(*patched.Tags["x"] == "y" && patched.Tags["a"] == nil && *p.EnabledForDeployment && *p.NetworkACLs.IPRules[0].Value == "10.1.0.0/24" && *p.SKU.Name == armkeyvault.SKUNamePremium, "patched", p)
	parameters := w.parameters()
	parameters.Properties.EnablePurgeProtection = to.Ptr(true)
	updated, err := w.put("managed-2", parameters)
	must(err)
	check(*updated.Properties.EnablePurgeProtection, "purge protection", updated.Properties)
}

func (w *world) listVaults() {
	var names []string
	n := pages(w.call("NewListByResourceGroupPager").NewListByResourceGroupPager(group, &armkeyvault.VaultsClientListByResourceGroupOptions{Top: to.Ptr[int32](3)}), func(page armkeyvault.VaultsClientListByResourceGroupResponse) {
		for _, v := range page.Value {
			names = append(names, *v.Name)
		}
	})
	w.all(names)
	check(n == 2, "pages of three", n)
	names = nil
	n = pages(w.call("NewListBySubscriptionPager").NewListBySubscriptionPager(&armkeyvault.VaultsClientListBySubscriptionOptions{Top: to.Ptr[int32](1)}), func(page armkeyvault.VaultsClientListBySubscriptionResponse) {
		for _, v := range page.Value {
			names = append(names, *v.Name)
		}
	})
	w.all(names)
	check(n == 4, "pages of one", n)
	names = nil
	pages(w.call("NewListPager").NewListPager(nil), func(page armkeyvault.VaultsClientListResponse) {
		for _, v := range page.Value {
			names = append(names, *v.Name)
		}
	})
	w.all(names)
	resources, err := armresources.NewClient(w.subscription, w.credential, nil)
	must(err)
	names = nil
	pages(resources.NewListByResourceGroupPager(group, nil), func(page armresources.ClientListByResourceGroupResponse) {
		for _, v := range page.Value {
			names = append(names, *v.Name)
		}
	})
	w.all(names)
}

func (w *world) all(names []string) {
	slices.Sort(names)
	check(slices.Equal(names, []string{"managed-1", "managed-2", "managed-3", "managed-4"}), "every vault", names)
}

func (w *world) refuseVaults() {
	change := func(name string, change func(*armkeyvault.VaultCreateOrUpdateParameters)) error {
		parameters := w.parameters()
		change(&parameters)
		_, err := w.put(name, parameters)
		return err
	}
	refused(change("managed-1", func(p *armkeyvault.VaultCreateOrUpdateParameters) { p.Location = to.Ptr("westus") }), 409, "InvalidResourceLocation")
	refused(change("managed-9", func(p *armkeyvault.VaultCreateOrUpdateParameters) { p.Location = to.Ptr("nowhere") }), 400, "LocationNotAvailableForResourceType")
	refused(change("managed-9", func(p *armkeyvault.VaultCreateOrUpdateParameters) { p.Properties.EnableSoftDelete = to.Ptr(false) }), 400, "BadRequest")
	refused(change("managed-2", func(p *armkeyvault.VaultCreateOrUpdateParameters) {
		p.Properties.EnablePurgeProtection = to.Ptr(false)
	}), 400, "BadRequest")
	refused(change("managed-1", func(p *armkeyvault.VaultCreateOrUpdateParameters) {
		p.Properties.SoftDeleteRetentionInDays = to.Ptr[int32](8)
	}), 400, "BadRequest")
	refused(change("a--b", func(*armkeyvault.VaultCreateOrUpdateParameters) {}), 400, "VaultNameNotValid")
	_, err := w.vaults.Get(ctx, group, "nothing", nil)
	refused(err, 404, "ResourceNotFound")
	_, err = w.vaults.Get(ctx, "nothing", "managed-1", nil)
	refused(err, 404, "ResourceGroupNotFound")
	_, err = w.vaults.UpdateAccessPolicy(ctx, group, "nothing", armkeyvault.AccessPolicyUpdateKindAdd, armkeyvault.VaultAccessPolicyParameters{Properties: &armkeyvault.VaultAccessPolicyProperties{}}, nil)
	refused(err, 404, "ParentResourceNotFound")
	_, err = w.groups.CreateOrUpdate(ctx, "other", armresources.ResourceGroup{Location: to.Ptr("eastus")}, nil)
	must(err)
	_, err = w.vaults.BeginCreateOrUpdate(ctx, "other", "managed-1", w.parameters(), nil)
	refused(err, 409, "VaultAlreadyExists")
}

func (w *world) deleteVaults() {
	for _, name := range []string{"managed-1", "managed-2"} {
		_, err := w.call("Delete").Delete(ctx, group, name, nil)
		must(err)
	}
	_, err := w.vaults.Delete(ctx, group, "nothing", nil)
	must(err) // 204
	deleted, err := w.call("GetDeleted").GetDeleted(ctx, "managed-1", "eastus", nil)
	must(err)
	check(*deleted.Properties.VaultID == w.vaultScope && *deleted.Properties.Tags["x"] == "y" && deleted.Properties.ScheduledPurgeDate.Sub(*deleted.Properties.DeletionDate).Hours() == 7*24, "deleted", deleted.Properties)
	var names []string
	pages(w.call("NewListDeletedPager").NewListDeletedPager(nil), func(page armkeyvault.VaultsClientListDeletedResponse) {
		for _, v := range page.Value {
			names = append(names, *v.Name)
		}
	})
	slices.Sort(names)
	check(slices.Equal(names, []string{"managed-1", "managed-2"}), "deleted vaults", names)
	free, _ := w.available("managed-1")
	check(!free, "the name of a deleted vault is taken")
	_, err = w.put("managed-1", w.parameters())
	refused(err, 409, "ConflictError")
	recovered := w.parameters()
	recovered.Properties.CreateMode, recovered.Properties.AccessPolicies = to.Ptr(armkeyvault.CreateModeRecover), nil
	back, err := w.put("managed-1", recovered)
	must(err)
	check(*back.Tags["x"] == "y" && *back.Properties.EnabledForDeployment, "recovered as it was", back)
	_, err = w.vaults.Delete(ctx, group, "managed-1", nil)
	must(err)
	_, err = w.call("BeginPurgeDeleted").BeginPurgeDeleted(ctx, "managed-2", "eastus", nil)
	refused(err, 405, "MethodNotAllowed")
	poller, err := w.vaults.BeginPurgeDeleted(ctx, "managed-1", "eastus", nil)
	must(err)
	check(poller.Done(), "nobody waits for a purge", poller)
	_, err = poller.PollUntilDone(ctx, nil)
	must(err)
	_, err = w.vaults.GetDeleted(ctx, "managed-1", "eastus", nil)
	var answer *azcore.ResponseError
	check(errors.As(err, &answer) && answer.StatusCode == 404, "it is purged", err)
}

func (w *world) deleteGroup() {
	poller, err := w.groups.BeginDelete(ctx, group, nil)
	must(err)
	check(poller.Done(), "nobody waits for the deletion of a group", poller)
	_, err = poller.PollUntilDone(ctx, nil)
	must(err)
	_, err = w.vaults.GetDeleted(ctx, "managed-3", "eastus", nil)
	must(err)
	var names []string
	pages(w.groups.NewListPager(nil), func(page armresources.ResourceGroupsClientListResponse) {
		for _, g := range page.Value {
			names = append(names, *g.Name)
		}
	})
	check(!slices.Contains(names, group) && slices.Contains(names, "other"), "groups", names)
}
