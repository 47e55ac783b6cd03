package main

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"coffer/internal/client"
)

var (
	appColumns        = client.Columns("NAME", "displayName", "CLIENT ID", "appId", "MADE", "createdDateTime")
	appDetails        = client.Columns("NAME", "displayName", "CLIENT ID", "appId", "OBJECT ID", "id", "MADE", "createdDateTime")
	madeAppDetails    = client.Columns("NAME", "displayName", "CLIENT ID", "appId", "TENANT", "tenant", "PRINCIPAL", "principalId", "SECRET", "clientSecret", "ENDS", "endDateTime")
	credentialColumns = client.Columns("ID", "keyId", "KIND", "kind", "NAME", "displayName", "BEGINS WITH", "hint", "ENDS", "endDateTime")
	federatedColumns  = client.Columns("NAME", "name", "ISSUER", "issuer", "SUBJECT", "subject", "AUDIENCES", "audiences", "ID", "id")
)

const appArgument = "the application (its name, client id or object id)"

func appCommand() *cobra.Command {
	r := &remote{}
	credential := noun("credential", "Secrets and certificates of an application",
		"Add, list and delete what an application signs in with.",
		"  coffer app credential add ci --days 90 --secret-file ci.secret\n  coffer app credential list ci\n  coffer app credential delete ci --id ID",
		r.credentialAdd(), r.credentialList(), r.credentialDelete())
	federate := noun("federate", "Tokens of other issuers for an application",
		`Let an application sign in by the tokens of another issuer, such as a cluster or a service
that runs jobs. Under coffer serve the configuration has to name the issuer, too.`,
		"  coffer app federate add ci --name main --issuer https://token.actions.githubusercontent.com --subject repo:me/app:ref:refs/heads/main\n  coffer app federate list ci",
		r.federateAdd(), r.federateList(), r.federateDelete())
	cmd := noun("app", "Applications that sign in, and their credentials",
		`Make applications, and what they sign in with. An application may do nothing before it is
granted something: coffer policy set, or coffer role assign.`,
		`  coffer app create my-program
  coffer policy set --vault demo --app my-program --certificates get,list,create`,
		r.appCreate(), r.appList(), r.appShow(), r.appDelete(), credential, federate)
	r.managementFlags(cmd)
	return cmd
}

// onDirectory calls fn with a client of the directory.
func (r *remote) onDirectory(cmd *cobra.Command, fn func(context.Context, *client.Directory) error) error {
	return r.do(cmd, func(ctx context.Context, s *client.Session) error { return fn(ctx, s.Directory()) })
}

// A secretFlag says how long a client secret lasts and where it goes.
type secretFlag struct {
	days int
	file string
}

func (f *secretFlag) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.days, "days", 730, "how many `days` the secret can be used")
	cmd.Flags().StringVar(&f.file, "secret-file", "", "write the secret to this new `file` with mode 0600 instead of showing it")
}

// addPassword makes a secret for an application. It is shown once and kept nowhere.
func (f *secretFlag) addPassword(ctx context.Context, d *client.Directory, app client.Object, name string) (client.Object, error) {
	if f.days < 1 {
		return nil, client.Usagef("--days is %d: it has to be 1 or more", f.days)
	}
	end := time.Now().UTC().AddDate(0, 0, f.days).Format(time.RFC3339)
	return d.Post(ctx, "applications/"+url.PathEscape(app.Text("id"))+"/addPassword",
		map[string]any{"passwordCredential": map[string]string{"displayName": name, "endDateTime": end}})
}

// deliver takes the secret out of what is printed if a file is to have it.
func (f *secretFlag) deliver(cmd *cobra.Command, shown client.Object, member string) error {
	if f.file == "" || f.file == "-" {
		return nil
	}
	secret := shown.Text(member)
	delete(shown, member)
	return writeOutput(cmd, f.file, []byte(secret), 0o600)
}

func (r *remote) appCreate() *cobra.Command {
	var secret secretFlag
	var none bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make an application that can sign in", Args: oneArg("the application's NAME"),
		Long: `Make an application, its service principal, and a client secret, which is shown once and
kept nowhere. A program signs in with AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and
AZURE_TENANT_ID.`,
		Example: "  coffer app create my-program\n  coffer app create ci --secret-file ci.secret --days 90\n  coffer app create ci --no-secret        # it will have a certificate, or tokens of another issuer",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := mustBeFree(secret.file); err != nil {
				return err
			}
			return r.do(cmd, func(ctx context.Context, s *client.Session) error {
				made, err := makeApp(ctx, s.Directory(), args[0], secret, none)
				if err != nil {
					return err
				}
				if err := secret.deliver(cmd, made, "clientSecret"); err != nil {
					return err
				}
				return r.print(cmd, made, madeAppDetails)
			})
		},
	}
	secret.add(cmd)
	cmd.Flags().BoolVar(&none, "no-secret", false, "make no secret")
	return cmd
}

// makeApp makes the application, its principal and its secret. What it shows is flat, for
// scripts: the two ids, the tenant and the secret.
func makeApp(ctx context.Context, d *client.Directory, name string, secret secretFlag, none bool) (client.Object, error) {
	if name == "" || secret.days < 1 {
		return nil, client.Usagef("an application needs a name, and a secret at least a day")
	}
	app, err := d.Post(ctx, "applications", map[string]string{"displayName": name})
	if err != nil {
		return nil, err
	}
	principal, err := d.Post(ctx, "servicePrincipals", map[string]string{"appId": app.Text("appId")})
	if err != nil {
		return nil, err
	}
	made := client.Object{
		"displayName": app["displayName"], "appId": app["appId"], "id": app["id"], "principalId": principal["id"], "tenant": principal["appOwnerOrganizationId"],
	}
	if none {
		return made, nil
	}
	password, err := secret.addPassword(ctx, d, app, "")
	if err != nil {
		return nil, err
	}
	made["clientSecret"], made["endDateTime"] = password["secretText"], password["endDateTime"]
	return made, nil
}

func (r *remote) appList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the applications", Args: noArgs, Example: "  coffer app list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.onDirectory(cmd, func(ctx context.Context, d *client.Directory) error {
				found, err := d.List(ctx, "applications", "")
				if err != nil {
					return err
				}
				return r.print(cmd, found, appColumns)
			})
		},
	}
}

// onApp makes a verb that finds an application and does something with it.
func (r *remote) onApp(use, short, example string, fn func(context.Context, *cobra.Command, *client.Directory, client.Object) error) *cobra.Command {
	return r.completing(&cobra.Command{
		Use: use, Short: short, Args: oneArg(appArgument), Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.onDirectory(cmd, func(ctx context.Context, d *client.Directory) error {
				app, err := d.Application(ctx, args[0])
				if err != nil {
					return err
				}
				return fn(ctx, cmd, d, app)
			})
		},
	}, r.completeApps)
}

func (r *remote) appShow() *cobra.Command {
	return r.onApp("show APP", "Show an application", "  coffer app show my-program --output json", func(_ context.Context, cmd *cobra.Command, _ *client.Directory, app client.Object) error {
		return r.print(cmd, app, appDetails)
	})
}

func (r *remote) appDelete() *cobra.Command {
	cmd := r.onApp("delete APP", "Remove an application; it can sign in no more", "  coffer app delete my-program --yes", func(ctx context.Context, cmd *cobra.Command, d *client.Directory, app client.Object) error {
		if err := r.confirm(cmd, "Remove the application %s (%s) with its credentials, for ever?", client.Printable(app.Text("displayName")), app.Text("appId")); err != nil {
			return err
		}
		if err := d.Delete(ctx, "applications/"+url.PathEscape(app.Text("id"))); err != nil {
			return err
		}
		say(cmd, "coffer: removed the application %s", app.Text("appId"))
		return nil
	})
	r.yesFlag(cmd)
	return cmd
}

func (r *remote) credentialAdd() *cobra.Command {
	var secret secretFlag
	var name, certificate string
	cmd := r.onApp("add APP", "Add a client secret, or a certificate with --certificate",
		"  coffer app credential add ci --days 90 --secret-file ci.secret\n  coffer app credential add ci --certificate ci.pem",
		func(ctx context.Context, cmd *cobra.Command, d *client.Directory, app client.Object) error {
			if certificate != "" {
				return r.addCertificate(ctx, cmd, d, app, certificate, name)
			}
			if err := mustBeFree(secret.file); err != nil {
				return err
			}
			made, err := secret.addPassword(ctx, d, app, name)
			if err != nil {
				return err
			}
			if err := secret.deliver(cmd, made, "secretText"); err != nil {
				return err
			}
			return r.print(cmd, made, client.Columns("ID", "keyId", "NAME", "displayName", "SECRET", "secretText", "ENDS", "endDateTime"))
		})
	secret.add(cmd)
	cmd.Flags().StringVar(&name, "name", "", "what to call it, a `text`")
	cmd.Flags().StringVar(&certificate, "certificate", "", "add the certificate in this PEM or DER `file`; the application signs in with its private key")
	return cmd
}

// addCertificate adds to the certificates that the application has: the directory takes
// the whole list, in which those that are there already stand by their ids.
func (r *remote) addCertificate(ctx context.Context, cmd *cobra.Command, d *client.Directory, app client.Object, path, name string) error {
	text, err := readInput(cmd, "certificate", path)
	if err != nil {
		return err
	}
	der := text
	if block, _ := pem.Decode(text); block != nil {
		if der = block.Bytes; block.Type != "CERTIFICATE" {
			return client.Usagef("--certificate: %s has a %s first, and no certificate", path, client.Printable(block.Type))
		}
	}
	keys, _ := app["keyCredentials"].([]any)
	all := []any{}
	for _, key := range keys {
		if object, ok := key.(map[string]any); ok {
			all = append(all, map[string]any{"keyId": object["keyId"], "type": object["type"], "usage": object["usage"], "displayName": object["displayName"]})
		}
	}
	all = append(all, map[string]any{"type": "AsymmetricX509Cert", "usage": "Verify", "key": base64.StdEncoding.EncodeToString(der), "displayName": name})
	if err := d.Patch(ctx, "applications/"+url.PathEscape(app.Text("id")), map[string]any{"keyCredentials": all}); err != nil {
		return err
	}
	changed, err := d.Application(ctx, app.Text("appId"))
	if err != nil {
		return err
	}
	return r.print(cmd, credentialsOf(changed), credentialColumns)
}

// credentialsOf are the secrets and certificates of an application, each with its kind.
func credentialsOf(app client.Object) []client.Object {
	out := []client.Object{}
	for _, list := range [][2]string{{"passwordCredentials", "secret"}, {"keyCredentials", "certificate"}} {
		found, _ := app[list[0]].([]any)
		for _, item := range found {
			if object, ok := item.(map[string]any); ok {
				object["kind"] = list[1]
				out = append(out, object)
			}
		}
	}
	return out
}

func (r *remote) credentialList() *cobra.Command {
	return r.onApp("list APP", "List an application's secrets and certificates", "  coffer app credential list ci", func(_ context.Context, cmd *cobra.Command, _ *client.Directory, app client.Object) error {
		return r.print(cmd, credentialsOf(app), credentialColumns)
	})
}

func (r *remote) credentialDelete() *cobra.Command {
	var id string
	cmd := r.onApp("delete APP --id ID", "Remove a secret or a certificate; it stops working at once", "  coffer app credential delete ci --id 0f3c1f0e-…", func(ctx context.Context, cmd *cobra.Command, d *client.Directory, app client.Object) error {
		path := "applications/" + url.PathEscape(app.Text("id"))
		kept, kind := []any{}, ""
		for _, credential := range credentialsOf(app) {
			switch {
			case credential.Text("keyId") == id:
				kind = credential.Text("kind")
			case credential.Text("kind") == "certificate":
				delete(credential, "kind")
				kept = append(kept, credential)
			}
		}
		var err error
		switch kind {
		case "":
			return client.NotFoundf("coffer app credential list shows what there is", "the application has no credential with the id %q", id)
		case "secret":
			_, err = d.Post(ctx, path+"/removePassword", map[string]string{"keyId": id})
		default:
			err = d.Patch(ctx, path, map[string]any{"keyCredentials": kept})
		}
		if err == nil {
			say(cmd, "coffer: removed the %s %s", kind, id)
		}
		return err
	})
	cmd.Flags().StringVar(&id, "id", "", "the credential's `id`, as coffer app credential list shows it")
	return cmd
}

func federatedPath(app client.Object) string {
	return "applications/" + url.PathEscape(app.Text("id")) + "/federatedIdentityCredentials"
}

func (r *remote) federateAdd() *cobra.Command {
	var name, issuer, subject, description string
	var audiences []string
	cmd := r.onApp("add APP", "Let an application sign in by the tokens of an issuer",
		"  coffer app federate add ci --name cluster --issuer https://oidc.example.com --subject system:serviceaccount:default:app",
		func(ctx context.Context, cmd *cobra.Command, d *client.Directory, app client.Object) error {
			if name == "" || issuer == "" || subject == "" {
				return client.Usagef("--name, --issuer and --subject are needed")
			}
			body := map[string]any{"name": name, "issuer": issuer, "subject": subject, "audiences": audiences}
			if description != "" {
				body["description"] = description
			}
			made, err := d.Post(ctx, federatedPath(app), body)
			if err != nil {
				return err
			}
			return r.print(cmd, made, federatedColumns)
		})
	cmd.Flags().StringVar(&name, "name", "", "what to call it, a `name`")
	cmd.Flags().StringVar(&issuer, "issuer", "", "the `url` that the tokens have as iss")
	cmd.Flags().StringVar(&subject, "subject", "", "the `text` that they have as sub")
	cmd.Flags().StringArrayVar(&audiences, "audience", []string{"api://AzureADTokenExchange"}, "the `text` that they have as aud")
	cmd.Flags().StringVar(&description, "description", "", "a `text` for people")
	return cmd
}

func (r *remote) federateList() *cobra.Command {
	return r.onApp("list APP", "List the issuers and subjects by whose tokens an application can sign in", "  coffer app federate list ci", func(ctx context.Context, cmd *cobra.Command, d *client.Directory, app client.Object) error {
		found, err := d.List(ctx, federatedPath(app), "")
		if err != nil {
			return err
		}
		return r.print(cmd, found, federatedColumns)
	})
}

func (r *remote) federateDelete() *cobra.Command {
	var name string
	cmd := r.onApp("delete APP --name NAME", "Take a federated credential away", "  coffer app federate delete ci --name cluster", func(ctx context.Context, cmd *cobra.Command, d *client.Directory, app client.Object) error {
		found, err := d.List(ctx, federatedPath(app), "")
		if err != nil {
			return err
		}
		for _, credential := range found {
			if name != "" && (credential.Text("name") == name || credential.Text("id") == name) {
				if err := d.Delete(ctx, federatedPath(app)+"/"+url.PathEscape(credential.Text("id"))); err != nil {
					return err
				}
				say(cmd, "coffer: removed the federated credential %s", client.Printable(name))
				return nil
			}
		}
		return client.NotFoundf("coffer app federate list shows what there is", "the application has no federated credential %q", name)
	})
	cmd.Flags().StringVar(&name, "name", "", "its `name` or id")
	return cmd
}

func (r *remote) completeApps(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return r.completeListed(cmd, begun, "applications", "displayName")
}
