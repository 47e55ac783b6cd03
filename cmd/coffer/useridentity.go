package main

import (
	"context"

	"github.com/spf13/cobra"

	"coffer/internal/client"
)

var identityColumns = client.Columns("ISSUER", "issuer", "SUBJECT", "issuerAssignedId")

const federated = "federated" // the kind of such an identity

// An identityFlag names somebody whom an outside issuer knows.
type identityFlag struct{ issuer, subject string }

func (f *identityFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.issuer, "issuer", "", "the `url` that the tokens have as iss")
	cmd.Flags().StringVar(&f.subject, "subject", "", "the `text` that they have as sub, or as the issuer's user_claim")
}

func (f *identityFlag) check() error {
	if f.issuer == "" || f.subject == "" {
		return client.Usagef("--issuer and --subject are needed")
	}
	return nil
}

func (f *identityFlag) identity() client.Object {
	return client.Object{"signInType": federated, "issuer": f.issuer, "issuerAssignedId": f.subject}
}

func (f *identityFlag) is(identity client.Object) bool {
	return identity.Text("issuer") == f.issuer && identity.Text("issuerAssignedId") == f.subject
}

// identitiesOf are those of outside issuers.
func identitiesOf(user client.Object) []client.Object {
	out := []client.Object{}
	all, _ := user["identities"].([]any)
	for _, one := range all {
		if identity, ok := one.(map[string]any); ok && identity["signInType"] == federated {
			out = append(out, identity)
		}
	}
	return out
}

func (r *remote) identityList() *cobra.Command {
	return r.onUser("list USER", "List whom outside issuers know as a user", "  coffer user federate list jane@coffer.example.com", nil, func(_ context.Context, cmd *cobra.Command, _ *client.Directory, user client.Object) error {
		return r.print(cmd, identitiesOf(user), identityColumns)
	})
}

func (r *remote) identityAdd() *cobra.Command {
	return r.onIdentity("add", "Let somebody whom an outside issuer knows be a user", func(ctx context.Context, cmd *cobra.Command, d *client.Directory, user client.Object, f identityFlag) error {
		if err := d.Patch(ctx, userPath(user), client.Object{"identities": append(identitiesOf(user), f.identity())}); err != nil {
			return err
		}
		return r.print(cmd, f.identity(), identityColumns)
	})
}

func (r *remote) identityDelete() *cobra.Command {
	return r.onIdentity("delete", "Let them be that user no more", func(ctx context.Context, cmd *cobra.Command, d *client.Directory, user client.Object, f identityFlag) error {
		kept := []client.Object{}
		for _, identity := range identitiesOf(user) {
			if !f.is(identity) {
				kept = append(kept, identity)
			}
		}
		if len(kept) == len(identitiesOf(user)) {
			return client.NotFoundf("coffer user federate list shows what there is", "the user has no such identity")
		}
		if err := d.Patch(ctx, userPath(user), client.Object{"identities": kept}); err != nil {
			return err
		}
		say(cmd, "coffer: %s is %s no more", client.Printable(f.subject), client.Printable(user.Text("userPrincipalName")))
		return nil
	})
}

// onIdentity makes a verb that changes the identities of a user.
func (r *remote) onIdentity(verb, short string, fn func(context.Context, *cobra.Command, *client.Directory, client.Object, identityFlag) error) *cobra.Command {
	var f identityFlag
	cmd := r.onUser(verb+" USER", short, "  coffer user federate "+verb+" jane@coffer.example.com --issuer https://sts.windows.net/TENANT/ --subject OBJECT-ID",
		func(*cobra.Command) error { return f.check() },
		func(ctx context.Context, cmd *cobra.Command, d *client.Directory, user client.Object) error {
			return fn(ctx, cmd, d, user, f)
		})
	f.add(cmd)
	return cmd
}
