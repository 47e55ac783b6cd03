package arm

import (
	"net/http"
	"slices"
	"strings"

	"coffer/internal/vault"
)

func (d *Door) listTenants(r request) (answer, error) {
	if _, err := d.Vaults.Sees(r.ctx, r.caller); err != nil {
		return answer{}, err
	}
	id := d.Tenant.TenantID()
	return ok(listOf([]tenantResource{{
		ID: "/tenants/" + id, TenantID: id, CountryCode: "US", DisplayName: "Coffer", Domains: []string{}, DefaultDomain: "coffer.local", TenantCategory: "Home", TenantType: "AAD",
	}})), nil
}

func (d *Door) subscription() subscriptionResource {
	id := d.Vaults.SubscriptionID()
	return subscriptionResource{
		ID: "/subscriptions/" + id, AuthorizationSource: "RoleBased", ManagedByTenants: []string{}, SubscriptionID: id, TenantID: d.Tenant.TenantID(),
		DisplayName: "Coffer", State: "Enabled", Policies: subscriptionPolicies{LocationPlacementID: "Public_2014-09-01", QuotaID: "PayAsYouGo_2014-09-01", SpendingLimit: "Off"},
	}
}

// listSubscriptions shows the subscription to whoever has a role in it.
func (d *Door) listSubscriptions(r request) (answer, error) {
	sees, err := d.Vaults.Sees(r.ctx, r.caller)
	if err != nil {
		return answer{}, err
	}
	out := subscriptionList{Value: []subscriptionResource{}, Count: countDetail{Type: "Total"}}
	if sees {
		out.Value, out.Count.Value = []subscriptionResource{d.subscription()}, 1
	}
	return ok(out), nil
}

func (d *Door) getSubscription(r request) (answer, error) {
	if sees, err := d.Vaults.Sees(r.ctx, r.caller); err != nil || sees {
		return ok(d.subscription()), err
	}
	return answer{}, d.Vaults.Authorize(r.ctx, r.caller, vault.SubscriptionGet, "/subscriptions/"+d.Vaults.SubscriptionID())
}

func (d *Door) listLocations(r request) (answer, error) {
	if _, err := d.getSubscription(r); err != nil {
		return answer{}, err
	}
	var out []locationResource
	for _, l := range d.locations() {
		name := shortLocation(l)
		out = append(out, locationResource{
			ID: "/subscriptions/" + d.Vaults.SubscriptionID() + "/locations/" + name, Name: name, Type: "Region", DisplayName: l, RegionalDisplayName: l,
			Metadata: locationMetadata{RegionType: "Physical", RegionCategory: "Recommended", GeographyGroup: "Coffer", Longitude: "0", Latitude: "0", PhysicalLocation: l, PairedRegion: []string{}},
		})
	}
	return ok(listOf(out)), nil
}

// locationNames are the regions of the public cloud: tools and templates name them, and
// here they are names and nothing else.
var locationNames = []string{
	"East US", "East US 2", "South Central US", "West US 2", "West US 3", "Australia East", "Southeast Asia", "North Europe", "Sweden Central", "UK South", "West Europe",
	"Central US", "South Africa North", "Central India", "East Asia", "Indonesia Central", "Japan East", "Japan West", "Korea Central", "Malaysia West", "New Zealand North", "Canada Central",
	"Austria East", "Belgium Central", "France Central", "Germany West Central", "Italy North", "Norway East", "Poland Central", "Spain Central", "Switzerland North", "Mexico Central", "UAE North",
	"Brazil South", "Chile Central", "Israel Central", "Qatar Central", "North Central US", "West US", "West Central US", "South Africa West", "Australia Central", "Australia Central 2",
	"Australia Southeast", "Korea South", "South India", "West India", "Canada East", "France South", "Germany North", "Norway West", "Switzerland West", "UK West", "UAE Central", "Brazil Southeast",
	"Sweden South", "Jio India West", "Jio India Central", "Denmark East", "Global",
}

func (d *Door) locations() []string {
	if d.Region == "" {
		return locationNames
	}
	return append([]string{d.Region}, locationNames...)
}

// shortLocation is the form in which a location is kept: "East US" is eastus.
func shortLocation(name string) string { return strings.ToLower(strings.ReplaceAll(name, " ", "")) }

// location reads a location in either of its forms.
func (d *Door) location(name string) (string, error) {
	short := shortLocation(name)
	if name == "" || slices.ContainsFunc(d.locations(), func(l string) bool { return shortLocation(l) == short }) {
		return short, nil
	}
	return "", fail(http.StatusBadRequest, "LocationNotAvailableForResourceType", "The provided location '%s' is not available. List the locations at /subscriptions/%s/locations.", clip(name), d.Vaults.SubscriptionID())
}

// providers are the namespaces that are here; each is always registered.
func (d *Door) providers() []providerResource {
	kinds := map[string][]string{
		"Microsoft.KeyVault": {
			"vaults", "vaults/secrets", "vaults/accessPolicies", "deletedVaults", "locations", "locations/deletedVaults", "locations/operationResults", "checkNameAvailability", "operations",
		},
		"Microsoft.Authorization": {"roleAssignments", "roleDefinitions"},
		"Microsoft.Resources":     {"subscriptions", "resourceGroups", "tenants", "resources"},
	}
	versions := map[string][]string{
		"Microsoft.KeyVault":      {"2026-02-01", "2025-05-01", "2024-11-01", "2023-07-01", "2023-02-01", "2022-11-01", "2022-07-01", "2021-10-01", "2019-09-01", "2018-02-14", "2016-10-01"},
		"Microsoft.Authorization": {"2022-04-01", "2020-04-01-preview", "2018-01-01-preview", "2015-07-01"},
		"Microsoft.Resources":     {"2022-12-01", "2022-09-01", "2021-04-01", "2020-06-01", "2019-11-01", "2015-11-01"},
	}
	var out []providerResource
	for _, namespace := range []string{"Microsoft.Authorization", "Microsoft.KeyVault", "Microsoft.Resources"} {
		p := providerResource{
			ID: "/subscriptions/" + d.Vaults.SubscriptionID() + "/providers/" + namespace, Namespace: namespace, RegistrationPolicy: "RegistrationFree", RegistrationState: "Registered",
		}
		if namespace == "Microsoft.KeyVault" {
			p.RegistrationPolicy = "RegistrationRequired"
		}
		for _, kind := range kinds[namespace] {
			p.ResourceTypes = append(p.ResourceTypes, providerType{ResourceType: kind, Locations: d.locations(), APIVersions: versions[namespace], Capabilities: "None"})
		}
		out = append(out, p)
	}
	return out
}

func (d *Door) provider(namespace string) (providerResource, error) {
	for _, p := range d.providers() {
		if strings.EqualFold(p.Namespace, namespace) {
			return p, nil
		}
	}
	return providerResource{}, fail(http.StatusNotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid. This server has Microsoft.KeyVault, Microsoft.Authorization and Microsoft.Resources.", clip(namespace))
}

func (d *Door) listProviders(r request) (answer, error) {
	err := d.Vaults.Authorize(r.ctx, r.caller, vault.ProviderGet, "/subscriptions/"+d.Vaults.SubscriptionID())
	return ok(listOf(d.providers())), err
}

func (d *Door) getProvider(r request) (answer, error) {
	if err := d.Vaults.Authorize(r.ctx, r.caller, vault.ProviderGet, "/subscriptions/"+d.Vaults.SubscriptionID()); err != nil {
		return answer{}, err
	}
	p, err := d.provider(r.params["{namespace}"])
	return ok(p), err
}

func (d *Door) registerProvider(r request) (answer, error) {
	if err := d.Vaults.Authorize(r.ctx, r.caller, vault.ProviderRegister, "/subscriptions/"+d.Vaults.SubscriptionID()); err != nil {
		return answer{}, err
	}
	p, err := d.provider(r.params["{namespace}"])
	return ok(p), err
}

func (d *Door) unregisterProvider(r request) (answer, error) {
	if _, err := d.registerProvider(r); err != nil {
		return answer{}, err
	}
	return answer{}, fail(http.StatusConflict, "CannotUnregisterProvider", "The namespace '%s' is part of this server and cannot be unregistered.", clip(r.params["{namespace}"]))
}
