package main

import (
	"context"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/spf13/cobra"

	"coffer/certificates"
	"coffer/internal/client"
)

var (
	issuerColumns = client.Columns("NAME", "name", "PROVIDER", "provider")
	issuerDetails = client.Columns("NAME", "name", "PROVIDER", "provider", "ACCOUNT", "credentials.account_id", "ORGANIZATION", "org_details.id", "ENABLED", "attributes.enabled", "UPDATED", "attributes.updated")
)

// An issuerFlags are the account at a certification authority.
type issuerFlags struct {
	provider, account, passwordFile, organization string
	attributes                                    attributesFlag
}

func (f *issuerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.provider, "provider", "", "the `name` of the certification authority's kind: DigiCert, GlobalSign, …")
	cmd.Flags().StringVar(&f.account, "account-id", "", "the account there, an `id`")
	cmd.Flags().StringVar(&f.passwordFile, "password-file", "", "the `file` with the account's password; - is standard input")
	cmd.Flags().StringVar(&f.organization, "organization-id", "", "the organization there, an `id`")
	f.attributes.add(cmd)
}

func (f *issuerFlags) read(cmd *cobra.Command) (p azcertificates.UpdateIssuerParameters, err error) {
	p.Attributes = &azcertificates.IssuerAttributes{}
	if p.Attributes.Enabled, _, _, err = f.attributes.read(); err != nil {
		return p, err
	}
	if f.provider != "" {
		p.Provider = &f.provider
	}
	if f.organization != "" {
		p.OrganizationDetails = &azcertificates.OrganizationDetails{ID: &f.organization}
	}
	if f.account != "" {
		p.Credentials = &azcertificates.IssuerCredentials{AccountID: &f.account}
	}
	if f.passwordFile != "" {
		password, err := readInput(cmd, "password-file", f.passwordFile)
		if err != nil {
			return p, err
		}
		if p.Credentials == nil {
			p.Credentials = &azcertificates.IssuerCredentials{}
		}
		p.Credentials.Password = to.Ptr(strings.TrimRight(string(password), "\r\n"))
	}
	return p, nil
}

// onIssuer makes a verb with an issuer as its argument. What it prints has no password:
// the service answers without one.
func (r *remote) onIssuer(use, short, example string, ask func(context.Context, *cobra.Command, *certificates.Client, string) (azcertificates.Issuer, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: oneArg("the NAME of the issuer"), Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.onCertificates(cmd, func(ctx context.Context, c *certificates.Client) error {
				issuer, err := ask(ctx, cmd, c, args[0])
				if err != nil {
					return err
				}
				return r.print(cmd, issuer, issuerDetails)
			})
		},
	}
}

func (r *remote) certIssuers() *cobra.Command {
	var made, changed issuerFlags
	create := r.onIssuer("create NAME --provider NAME", "Tell a vault of an issuer", "  coffer cert issuer create ca --vault demo --provider DigiCert --account-id 42 --password-file ca.password",
		func(ctx context.Context, cmd *cobra.Command, c *certificates.Client, name string) (azcertificates.Issuer, error) {
			p, err := made.read(cmd)
			if err != nil {
				return azcertificates.Issuer{}, err
			}
			set, err := c.SetIssuer(ctx, name, azcertificates.SetIssuerParameters{Provider: p.Provider, Attributes: p.Attributes, Credentials: p.Credentials, OrganizationDetails: p.OrganizationDetails}, nil)
			return set.Issuer, err
		})
	made.add(create)
	update := r.onIssuer("update NAME", "Change an issuer", "  coffer cert issuer update ca --vault demo --disabled",
		func(ctx context.Context, cmd *cobra.Command, c *certificates.Client, name string) (azcertificates.Issuer, error) {
			p, err := changed.read(cmd)
			if err != nil {
				return azcertificates.Issuer{}, err
			}
			set, err := c.UpdateIssuer(ctx, name, p, nil)
			return set.Issuer, err
		})
	changed.add(update)
	show := r.onIssuer("show NAME", "Show an issuer", "  coffer cert issuer show ca --vault demo",
		func(ctx context.Context, _ *cobra.Command, c *certificates.Client, name string) (azcertificates.Issuer, error) {
			got, err := c.GetIssuer(ctx, name, nil)
			return got.Issuer, err
		})
	remove := r.onIssuer("delete NAME", "Remove an issuer", "  coffer cert issuer delete ca --vault demo",
		func(ctx context.Context, _ *cobra.Command, c *certificates.Client, name string) (azcertificates.Issuer, error) {
			got, err := c.DeleteIssuer(ctx, name, nil)
			return got.Issuer, err
		})
	list := &cobra.Command{
		Use: "list", Short: "List the issuers of a vault", Args: noArgs, Example: "  coffer cert issuer list --vault demo",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.onCertificates(cmd, func(ctx context.Context, c *certificates.Client) error {
				found, err := client.Collect(ctx, c.NewListIssuerPropertiesPager(nil), func(p azcertificates.ListIssuerPropertiesResponse) []*azcertificates.IssuerProperties { return p.Value })
				if err != nil {
					return err
				}
				return r.print(cmd, found, issuerColumns)
			})
		},
	}
	return noun("issuer", "The certification authorities that a vault knows", "Tell a vault of certification authorities, with the account that it has there.", "  coffer cert issuer list --vault demo", create, update, show, list, remove)
}
