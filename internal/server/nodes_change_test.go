package server_test

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/tenant"
	"coffer/internal/vault"
)

// A right is something that a caller may do on one node until something changes on another.
type right struct {
	name string
	// give gives it, on node one, and returns how it is used and how it ends.
	give func(t *testing.T, one *clusterNode, to tenant.Application) (use func(*clusterNode) error, end func() error)
}

const secretsUser = "4633458b-17de-408a-b874-0445c86b69e6"

func (n *clusterNode) getSecret(to tenant.Application, in string) error {
	caller := access.Caller{TenantID: n.caller.TenantID, ObjectID: to.ObjectID, AppID: to.AppID}
	_, err := n.Vaults.GetSecret(context.Background(), caller, vault.Ref{Vault: in, Name: "s"})
	return err
}

// policies gives the application an access policy in a vault.
func (n *clusterNode) policies(kind vault.PolicyChange, in string, to string) error {
	_, _, err := n.Vaults.ChangePolicies(context.Background(), n.caller, "rg", in, kind, []access.Policy{
		{TenantID: n.caller.TenantID, ObjectID: to, Secrets: []string{"get"}, Keys: []string{"create", "sign", "update"}}})
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// usePolicy uses the secret by an access policy.
func usePolicy(t *testing.T, one *clusterNode, to tenant.Application) func(*clusterNode) error {
	t.Helper()
	must(t, one.policies(vault.PoliciesAdd, "plain", to.ObjectID))
	return func(n *clusterNode) error { return n.getSecret(to, "plain") }
}

// assign gives a role on the vault with role assignments, and says how to take it away.
func assign(t *testing.T, one *clusterNode, principal string) (end func() error) {
	t.Helper()
	scope := one.Vaults.VaultID("rg", "roles")
	id := "0a1b2c3d-0000-4000-8000-0000000000aa"
	_, _, err := one.Tenant.PutRoleAssignment(t.Context(), one.caller, tenant.RoleAssignment{ID: id, Scope: scope, RoleID: secretsUser, PrincipalID: principal})
	must(t, err)
	return func() error {
		_, err := one.Tenant.DeleteRoleAssignment(context.Background(), one.caller, scope, id)
		return err
	}
}

var rights = []right{
	{"an access policy", func(t *testing.T, one *clusterNode, to tenant.Application) (func(*clusterNode) error, func() error) {
		return usePolicy(t, one, to), func() error { return one.policies(vault.PoliciesRemove, "plain", to.ObjectID) }
	}},
	{"a role assignment", func(t *testing.T, one *clusterNode, to tenant.Application) (func(*clusterNode) error, func() error) {
		return func(n *clusterNode) error { return n.getSecret(to, "roles") }, assign(t, one, to.ObjectID)
	}},
	{"a membership in a group with a role", func(t *testing.T, one *clusterNode, to tenant.Application) (func(*clusterNode) error, func() error) {
		group, err := one.Tenant.CreateGroup(t.Context(), one.caller, tenant.GroupEdit{DisplayName: ptr("g"), MailNickname: ptr("g")}, nil)
		must(t, err)
		must(t, one.Tenant.AddMember(t.Context(), one.caller, group.ID, to.ObjectID))
		assign(t, one, group.ID)
		return func(n *clusterNode) error { return n.getSecret(to, "roles") }, func() error {
			return one.Tenant.RemoveMember(context.Background(), one.caller, group.ID, to.ObjectID)
		}
	}},
	{"a principal that is disabled", func(t *testing.T, one *clusterNode, to tenant.Application) (func(*clusterNode) error, func() error) {
		return usePolicy(t, one, to), func() error {
			return one.Tenant.UpdatePrincipal(context.Background(), one.caller, tenant.Ref{AppID: to.AppID}, tenant.PrincipalEdit{Enabled: ptr(false)})
		}
	}},
	{"a principal that is removed", func(t *testing.T, one *clusterNode, to tenant.Application) (func(*clusterNode) error, func() error) {
		return usePolicy(t, one, to), func() error {
			return one.Tenant.DeletePrincipal(context.Background(), one.caller, tenant.Ref{AppID: to.AppID})
		}
	}},
	{"a secret of an application", func(t *testing.T, one *clusterNode, to tenant.Application) (func(*clusterNode) error, func() error) {
		id, secret, err := one.Tenant.AddSecret(t.Context(), to.AppID, time.Time{})
		must(t, err)
		return func(n *clusterNode) error {
				_, err := n.Tenant.IssueToken(context.Background(), access.Origin{}, tenant.TokenRequest{ClientID: to.AppID, ClientSecret: secret, Scope: "https://vault.azure.net/.default"})
				return err
			}, func() error {
				return one.Tenant.RemovePassword(context.Background(), one.caller, tenant.Ref{AppID: to.AppID}, id)
			}
	}},
	{"a vault that is deleted", func(t *testing.T, one *clusterNode, to tenant.Application) (func(*clusterNode) error, func() error) {
		return usePolicy(t, one, to), func() error {
			_, err := one.Vaults.DeleteVault(context.Background(), one.caller, "rg", "plain")
			return err
		}
	}},
	{"a vault that is closed to the network", func(t *testing.T, one *clusterNode, to tenant.Application) (func(*clusterNode) error, func() error) {
		return usePolicy(t, one, to), func() error {
			_, err := one.Vaults.PatchVault(context.Background(), one.caller, "rg", "plain", vault.VaultInput{PublicAccess: ptr("Disabled")})
			return err
		}
	}},
	{"a secret that is disabled", func(t *testing.T, one *clusterNode, to tenant.Application) (func(*clusterNode) error, func() error) {
		return usePolicy(t, one, to), func() error {
			_, err := one.Vaults.UpdateSecret(context.Background(), one.caller, vault.Ref{Vault: "plain", Name: "s"}, vault.SecretUpdate{Attributes: vault.AttributesInput{Enabled: ptr(false)}})
			return err
		}
	}},
	{"a key that is disabled", func(t *testing.T, one *clusterNode, to tenant.Application) (func(*clusterNode) error, func() error) {
		must(t, one.policies(vault.PoliciesAdd, "plain", to.ObjectID))
		caller := access.Caller{TenantID: one.caller.TenantID, ObjectID: to.ObjectID, AppID: to.AppID}
		key := vault.Ref{Vault: "plain", Name: "k"}
		_, err := one.Vaults.CreateKey(t.Context(), caller, key, vault.NewKey{Kty: "EC", Curve: ptr("P-256")})
		must(t, err)
		digest := sha256.Sum256([]byte("text"))
		return func(n *clusterNode) error {
				_, err := n.Vaults.Sign(context.Background(), caller, key, vault.KeyOperation{Algorithm: "ES256", Value: digest[:]})
				return err
			}, func() error {
				_, err := one.Vaults.UpdateKey(context.Background(), caller, key, vault.KeyUpdate{Attributes: vault.AttributesInput{Enabled: ptr(false)}})
				return err
			}
	}},
}

// What a node has allowed, and has all in its caches, it refuses from the next request on
// after another node has ended it.
func TestRightsEndOnEveryNode(t *testing.T) {
	c := newCluster(t, 2)
	one, two := c.nodes[0], c.nodes[1]
	for _, r := range rights {
		t.Run(r.name, func(t *testing.T) {
			one.putVault(t, "plain")
			one.setSecret(t, "plain", "s", "value")
			one.putVault(t, "roles")
			one.setSecret(t, "roles", "s", "value")
			_, err := one.Vaults.PatchVault(t.Context(), one.caller, "rg", "roles", vault.VaultInput{RBAC: ptr(true)})
			must(t, err)
			to, _, err := one.Tenant.CreateApplication(t.Context(), r.name)
			must(t, err)
			use, end := r.give(t, one, to)
			for _, n := range []*clusterNode{two, one, two} {
				if err := use(n); err != nil {
					t.Fatalf("before: %v", err)
				}
			}
			must(t, end())
			for _, n := range []*clusterNode{two, one} {
				if use(n) == nil {
					t.Error("it is still allowed")
				}
			}
			must(t, one.Tenant.RemoveApplication(t.Context(), to.AppID))
			_, err = two.Vaults.DeleteGroup(t.Context(), two.caller, "rg")
			must(t, err)
			for _, name := range []string{"plain", "roles"} {
				_, err := one.Vaults.PurgeVault(t.Context(), one.caller, "local", name)
				must(t, err)
			}
			one.settle(t)
		})
	}
}

// A token is good on every node from the moment that one has issued it, and so is a user's
// refresh token; a new password ends the latter on all.
func TestTokensAreGoodOnEveryNode(t *testing.T) {
	c := newCluster(t, 2)
	one, two := c.nodes[0], c.nodes[1]
	to, secret, err := one.Tenant.CreateApplication(t.Context(), "x")
	must(t, err)
	issued, err := one.Tenant.IssueToken(t.Context(), access.Origin{}, tenant.TokenRequest{ClientID: to.AppID, ClientSecret: secret, Scope: "https://vault.azure.net/.default"})
	must(t, err)
	caller, err := two.Tenant.Authenticate(t.Context(), issued.Raw, []string{"https://vault.azure.net"})
	if err != nil || caller.ObjectID != to.ObjectID {
		t.Errorf("%+v, %v", caller, err)
	}
	_, err = one.Tenant.CreateUser(t.Context(), one.caller, tenant.UserEdit{Name: ptr("ann@example.com"), DisplayName: ptr("Ann"), Password: ptr("a long password 1")})
	must(t, err)
	signIn := func(n *clusterNode, r tenant.TokenRequest) (tenant.Token, error) {
		r.ClientID, r.Scope = "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "https://vault.azure.net/.default"
		return n.Tenant.IssueToken(t.Context(), access.Origin{}, r)
	}
	first, err := signIn(one, tenant.TokenRequest{Grant: tenant.GrantPassword, Username: "ann@example.com", Password: "a long password 1"})
	must(t, err)
	_, err = signIn(two, tenant.TokenRequest{Grant: tenant.GrantRefresh, RefreshToken: first.User.Refresh})
	must(t, err)
	must(t, one.Tenant.UpdateUser(t.Context(), one.caller, "ann@example.com", tenant.UserEdit{Password: ptr("a long password 2")}))
	if _, err := signIn(two, tenant.TokenRequest{Grant: tenant.GrantRefresh, RefreshToken: first.User.Refresh}); err == nil {
		t.Error("the refresh token outlives the password on another node")
	}
}
