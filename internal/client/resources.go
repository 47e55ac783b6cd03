package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
)

// DefaultGroup is the resource group that vaults are made in when none is named; it is
// the one in which coffer run and coffer init make theirs.
const DefaultGroup = "coffer"

// resourcesVersion is the api-version of subscriptions and resource groups.
const resourcesVersion = "2021-04-01"

// A Subscription is one that the caller sees.
type Subscription struct {
	ID       string `json:"subscriptionId"`
	TenantID string `json:"tenantId"`
	Name     string `json:"displayName"`
}

// manage sends one request to the control plane for which there is no client of an SDK
// here, and reads the answer into out.
func (s *Session) manage(ctx context.Context, method, path string, in, out any) error {
	client, err := arm.NewClient("coffer", "v0.0.0", s.credential, s.armOptions())
	if err != nil {
		return err
	}
	request, err := runtime.NewRequest(ctx, method, client.Endpoint()+path+"?api-version="+resourcesVersion)
	if err != nil {
		return err
	}
	if in != nil {
		if err := runtime.MarshalAsJSON(request, in); err != nil {
			return err
		}
	}
	response, err := client.Pipeline().Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if !runtime.HasStatusCode(response, http.StatusOK, http.StatusCreated) {
		return runtime.NewResponseError(response)
	}
	return runtime.UnmarshalAsJSON(response, out)
}

// Subscription is the one that the settings name, or the only one that the caller sees.
func (s *Session) Subscription(ctx context.Context) (Subscription, error) {
	var list struct {
		Value []Subscription `json:"value"`
	}
	if err := s.manage(ctx, http.MethodGet, "/subscriptions", nil, &list); err != nil {
		return Subscription{}, err
	}
	id := s.settings.Subscription
	if id == "" {
		id = s.settings.Getenv("AZURE_SUBSCRIPTION_ID")
	}
	var seen []string
	for _, one := range list.Value {
		if strings.EqualFold(one.ID, id) || id == "" && len(list.Value) == 1 {
			return one, nil
		}
		seen = append(seen, fmt.Sprintf("%s (%s)", one.ID, Printable(one.Name)))
	}
	switch {
	case len(seen) == 0:
		return Subscription{}, &Failure{ExitFailure, "you have no role in any subscription", "an administrator grants one: coffer role assign --role Reader --app APP"}
	case id == "":
		return Subscription{}, Usagef("you see several subscriptions; name one with --subscription: %s", strings.Join(seen, ", "))
	}
	return Subscription{}, NotFoundf("", "there is no subscription %q; you see %s", id, strings.Join(seen, ", "))
}

// EnsureGroup makes a resource group unless it exists. Without a location it is made in
// the first one that the subscription has. The location of the group is returned.
func (s *Session) EnsureGroup(ctx context.Context, subscription, name, location string) (string, error) {
	var group struct {
		Location string `json:"location"`
	}
	path := "/subscriptions/" + subscription + "/resourcegroups/" + url.PathEscape(name)
	err := s.manage(ctx, http.MethodGet, path, nil, &group)
	if err == nil || Describe(err).Code != ExitNotFound {
		return group.Location, err
	}
	if location == "" {
		var list struct {
			Value []struct {
				Name string `json:"name"`
			} `json:"value"`
		}
		if err := s.manage(ctx, http.MethodGet, "/subscriptions/"+subscription+"/locations", nil, &list); err != nil {
			return "", err
		}
		if len(list.Value) == 0 {
			return "", Usagef("name a location for the group %s with --location", name)
		}
		location = list.Value[0].Name
	}
	err = s.manage(ctx, http.MethodPut, path, map[string]string{"location": location}, &group)
	return group.Location, err
}

// FindVault finds a vault by its name, in whichever group it is.
func FindVault(ctx context.Context, vaults *armkeyvault.VaultsClient, name string) (*armkeyvault.Vault, error) {
	found, err := Collect(ctx, vaults.NewListBySubscriptionPager(nil), func(p armkeyvault.VaultsClientListBySubscriptionResponse) []*armkeyvault.Vault { return p.Value })
	if err != nil {
		return nil, err
	}
	for _, v := range found {
		if v.Name != nil && strings.EqualFold(*v.Name, name) {
			return v, nil
		}
	}
	return nil, NotFoundf("coffer vault list shows what there is", "there is no vault %q in the subscription", name)
}

// GroupOf is the resource group in the id of a resource.
func GroupOf(id string) string {
	parsed, err := arm.ParseResourceID(id)
	if err != nil {
		return ""
	}
	return parsed.ResourceGroupName
}

// Collect reads all pages of a list.
func Collect[Page, Item any](ctx context.Context, pager *runtime.Pager[Page], items func(Page) []Item) ([]Item, error) {
	out := []Item{}
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, items(page)...)
	}
	return out, nil
}
