package server_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/vault"
)

const (
	manyPolicies    = 1024 // the most that a vault has
	manyAssignments = 100  // each is written by itself; TestAllowCost has 2,000
	accessRatio     = 2    // by which a request with them may be slower: one that decoded them would be slower by far more
)

// What decides is found by index and kept decoded, so that a whole request costs the same
// however many access policies its vault has, and role assignments its tenant.
func TestAccessCost(t *testing.T) {
	ctx := context.Background()
	o := options(t.TempDir(), rootKey(t))
	o.Ephemeral = true
	w := newWorld(t, o)
	defer w.Close()
	mine := access.Policy{TenantID: w.Tenant.TenantID(), ObjectID: app.ObjectID, Secrets: []string{"get", "set"}}
	others := []access.Policy{}
	for i := range manyPolicies - 1 {
		others = append(others, access.Policy{TenantID: w.Tenant.TenantID(), ObjectID: fmt.Sprintf("33333333-3333-4333-8333-%012d", i), Secrets: []string{"list"}})
	}
	for name, v := range map[string]vault.Vault{"few": {Policies: []access.Policy{mine}}, "many": {Policies: append(others, mine)}, "roles": {RBAC: ptr(true)}} {
		v.Name, v.TenantID = name, w.Tenant.TenantID()
		if err := w.Vaults.CreateVault(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Tenant.EnsureAssignment(ctx, app.ObjectID, "00482a5a-887f-4fb3-b363-3b7fe8e74483", "/"); err != nil {
		t.Fatal(err)
	}
	token := w.tokenFor(t, "https://login.microsoftonline.com/"+w.Tenant.TenantID()+"/oauth2/token", "https://vault.azure.net")
	for _, name := range []string{"few", "many", "roles"} {
		if status, _, text := w.ask("PUT", "https://"+name+".vault.azure.net/secrets/s?api-version=7.4", token, `{"value":"v"}`); status != 200 {
			t.Fatalf("%s: %d %s", name, status, text)
		}
	}
	get := func(name string) time.Duration {
		return w.least(t, token, "https://"+name+".vault.azure.net/secrets/s?api-version=7.4")
	}
	few, many := get("few"), get("many")
	report(t, fmt.Sprintf("%d access policies", manyPolicies), few, many)
	few = get("roles")
	for i := range manyAssignments {
		if err := w.Tenant.EnsureAssignment(ctx, app.ObjectID, "acdd72a7-3385-48ef-bd42-f606fba81ae7", fmt.Sprintf("/subscriptions/%s/resourceGroups/rg%d", w.Tenant.TenantID(), i)); err != nil {
			t.Fatal(err)
		}
	}
	report(t, fmt.Sprintf("%d role assignments", manyAssignments), few, get("roles"))
}

// least is the shortest time that a request takes: what is beyond it is the machine's.
func (w *world) least(t *testing.T, token, address string) time.Duration {
	t.Helper()
	least := time.Hour
	for range 2000 {
		start := time.Now()
		status, _, text := w.ask("GET", address, token, "")
		if least = min(least, time.Since(start)); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	return least
}

func report(t *testing.T, what string, few, many time.Duration) {
	t.Helper()
	t.Logf("%s: a request takes %v, without them %v", what, many, few)
	if many > accessRatio*few {
		t.Errorf("%s: a request takes %v, and without them %v", what, many, few)
	}
}
