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

// policyFlags say how a certificate is made: a whole policy from a file, single members
// by flags, which go before those of the file.
type policyFlags struct {
	file, csr                     string
	subject, issuer, kty, curve   string
	dns, emails, upns, usage, eku []string
	months, size                  int32
	reuse, noExport, pem          bool
	renewDays, renewPercent       int32
}

func (p *policyFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.file, "policy", "", "a `file` with the policy, JSON in the service's form; - is standard input. The other flags go before it")
	f.StringVar(&p.subject, "subject", "", "the subject, a distinguished `name` (default CN=NAME)")
	f.StringSliceVar(&p.dns, "dns", nil, "a DNS `name` that it is for; can be repeated")
	f.StringSliceVar(&p.emails, "email", nil, "an e-mail `address` that it is for; can be repeated")
	f.StringSliceVar(&p.upns, "upn", nil, "a user principal `name` that it is for; can be repeated")
	f.StringVar(&p.issuer, "issuer", "Self", "the `name` of the issuer: Self, Unknown (somebody else signs it), or an issuer of the vault")
	f.Int32Var(&p.months, "months", 12, "how many `months` it is valid")
	f.StringVar(&p.kty, "key-type", "", "the `kind` of key: RSA, EC, RSA-HSM, EC-HSM (default RSA)")
	f.Int32Var(&p.size, "key-size", 0, "how many `bits` an RSA key has: 2048, 3072, 4096")
	f.StringVar(&p.curve, "curve", "", "the `name` of the curve of an EC key: P-256, P-384, P-521, P-256K")
	f.BoolVar(&p.reuse, "reuse-key", false, "keep the key in later versions")
	f.BoolVar(&p.noExport, "not-exportable", false, "let nobody have the private key; it can be used in the vault only")
	f.BoolVar(&p.pem, "pem", false, "keep certificate and key as PEM, not as PKCS#12")
	f.StringSliceVar(&p.usage, "key-usage", nil, "`words` of digitalSignature, keyEncipherment, dataEncipherment, keyAgreement, keyCertSign, cRLSign, nonRepudiation, encipherOnly, decipherOnly")
	f.StringSliceVar(&p.eku, "extended-key-usage", nil, "the object `ids` of extended key usages")
	f.Int32Var(&p.renewDays, "renew-days", 0, "renew it so many `days` before it expires")
	f.Int32Var(&p.renewPercent, "renew-percent", 0, "renew it after this `percentage` of its life")
	_ = cmd.RegisterFlagCompletionFunc("key-type", cobra.FixedCompletions([]string{"RSA", "EC", "RSA-HSM", "EC-HSM"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("curve", cobra.FixedCompletions([]string{"P-256", "P-384", "P-521", "P-256K"}, cobra.ShellCompDirectiveNoFileComp))
}

// read makes the policy. What nothing says is left to the service.
func (p *policyFlags) read(cmd *cobra.Command) (*azcertificates.CertificatePolicy, error) {
	policy := &azcertificates.CertificatePolicy{}
	changed := func(name string) bool { return cmd.Flags().Changed(name) || p.file == "" }
	if p.file != "" {
		var err error
		if policy, err = readPolicy(cmd, p.file); err != nil {
			return nil, err
		}
	}
	if policy.X509CertificateProperties == nil {
		policy.X509CertificateProperties = &azcertificates.X509CertificateProperties{}
	}
	if changed("issuer") {
		policy.IssuerParameters = &azcertificates.IssuerParameters{Name: &p.issuer}
	}
	p.names(cmd, policy.X509CertificateProperties)
	if changed("months") {
		policy.X509CertificateProperties.ValidityInMonths = &p.months
	}
	if p.pem {
		policy.SecretProperties = &azcertificates.SecretProperties{ContentType: to.Ptr("application/x-pem-file")}
	}
	p.key(cmd, policy)
	return policy, p.renewal(policy)
}

// names sets for whom the certificate is; without a subject it is for its own name.
func (p *policyFlags) names(cmd *cobra.Command, x *azcertificates.X509CertificateProperties) {
	switch {
	case p.subject != "":
		x.Subject = &p.subject
	case p.file == "" && cmd.Flags().NArg() > 0:
		x.Subject = to.Ptr("CN=" + cmd.Flags().Arg(0))
	}
	if len(p.dns)+len(p.emails)+len(p.upns) > 0 {
		x.SubjectAlternativeNames = &azcertificates.SubjectAlternativeNames{DNSNames: pointers(p.dns), Emails: pointers(p.emails), UserPrincipalNames: pointers(p.upns)}
	}
	for _, word := range p.usage {
		x.KeyUsage = append(x.KeyUsage, to.Ptr(azcertificates.KeyUsageType(word)))
	}
	if p.eku != nil {
		x.EnhancedKeyUsage = pointers(p.eku)
	}
}

func pointers(list []string) (out []*string) {
	for _, text := range list {
		out = append(out, &text)
	}
	return out
}

func (p *policyFlags) key(cmd *cobra.Command, policy *azcertificates.CertificatePolicy) {
	if p.kty == "" && p.size == 0 && p.curve == "" && !cmd.Flags().Changed("reuse-key") && !p.noExport {
		return
	}
	if policy.KeyProperties == nil {
		policy.KeyProperties = &azcertificates.KeyProperties{}
	}
	k := policy.KeyProperties
	switch {
	case p.kty != "":
		k.KeyType = to.Ptr(azcertificates.KeyType(p.kty))
	case k.KeyType == nil && p.curve != "":
		k.KeyType = to.Ptr(azcertificates.KeyTypeEC)
	case k.KeyType == nil:
		k.KeyType = to.Ptr(azcertificates.KeyTypeRSA)
	}
	if p.size != 0 {
		k.KeySize = &p.size
	}
	if p.curve != "" {
		k.Curve = to.Ptr(azcertificates.CurveName(p.curve))
	}
	if cmd.Flags().Changed("reuse-key") {
		k.ReuseKey = &p.reuse
	}
	if p.noExport || k.Exportable == nil {
		k.Exportable = to.Ptr(!p.noExport)
	}
}

func (p *policyFlags) renewal(policy *azcertificates.CertificatePolicy) error {
	trigger := &azcertificates.LifetimeActionTrigger{}
	switch {
	case p.renewDays == 0 && p.renewPercent == 0:
		return nil
	case p.renewDays != 0 && p.renewPercent != 0:
		return client.Usagef("--renew-days and --renew-percent exclude each other")
	case p.renewDays != 0:
		trigger.DaysBeforeExpiry = &p.renewDays
	default:
		trigger.LifetimePercentage = &p.renewPercent
	}
	renew := &azcertificates.LifetimeActionType{ActionType: to.Ptr(azcertificates.CertificatePolicyActionAutoRenew)}
	policy.LifetimeActions = []*azcertificates.LifetimeAction{{Action: renew, Trigger: trigger}}
	return nil
}

var policyDetails = client.Columns("SUBJECT", "x509_props.subject", "DNS NAMES", "x509_props.sans.dns_names", "EMAILS", "x509_props.sans.emails", "UPNS", "x509_props.sans.upns", "MONTHS", "x509_props.validity_months",
	"KEY USAGE", "x509_props.key_usage", "EXTENDED", "x509_props.ekus", "ISSUER", "issuer.name", "KEY", "key_props.kty", "BITS", "key_props.key_size", "CURVE", "key_props.crv", "REUSED", "key_props.reuse_key",
	"EXPORTABLE", "key_props.exportable", "KEPT AS", "secret_props.contentType", "ACTIONS", "lifetime_actions")

func (r *remote) certPolicy() *cobra.Command {
	var file string
	show := r.onCert("show NAME", "Show how the next version is made", "  coffer cert policy show web --vault demo --output json >policy.json", policyDetails,
		func(ctx context.Context, _ *cobra.Command, c *certificates.Client, target object) (any, error) {
			got, err := c.GetCertificatePolicy(ctx, target.name, nil)
			return got.CertificatePolicy, err
		})
	set := r.onCert("set NAME --policy FILE", "Say how the next version is made", "  coffer cert policy set web --vault demo --policy policy.json", policyDetails,
		func(ctx context.Context, cmd *cobra.Command, c *certificates.Client, target object) (any, error) {
			policy, err := readPolicy(cmd, file)
			if err != nil {
				return nil, err
			}
			changed, err := c.UpdateCertificatePolicy(ctx, target.name, *policy, nil)
			return changed.CertificatePolicy, err
		})
	set.Flags().StringVar(&file, "policy", "", "the `file` with the policy, or the members of it that change (each of them whole), JSON in the service's form; - is standard input")
	byDefault := &cobra.Command{
		Use: "default", Short: "Print a policy to begin with", Args: noArgs, Example: "  coffer cert policy default >policy.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return client.Print(cmd.OutOrStdout(), "json", certificates.DefaultPolicy(), nil)
		},
	}
	return noun("policy", "How the versions of a certificate are made", "Show or change how the next version of a certificate is made.",
		"  coffer cert policy show web --vault demo", show, set, byDefault)
}

var contactColumns = client.Columns("EMAIL", "email", "NAME", "name", "PHONE", "phone")

// printContacts prints the list alone: what stands around it says nothing.
func (r *remote) printContacts(cmd *cobra.Command, contacts azcertificates.Contacts) error {
	list := contacts.ContactList
	if list == nil {
		list = []*azcertificates.Contact{}
	}
	return r.print(cmd, list, contactColumns)
}

// contacts are those that there are; a vault without any answers that it has none.
func contacts(ctx context.Context, c *certificates.Client) (azcertificates.Contacts, error) {
	got, err := c.GetContacts(ctx, nil)
	if err != nil && client.Describe(err).Code == client.ExitNotFound && strings.Contains(client.Describe(err).Text, "Contact") {
		return azcertificates.Contacts{}, nil
	}
	return got.Contacts, err
}

func (r *remote) certContacts() *cobra.Command {
	var name, phone string
	verb := func(use, short, example string, args cobra.PositionalArgs, do func(context.Context, *certificates.Client, azcertificates.Contacts, []string) (azcertificates.Contacts, error)) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: args, Example: example, RunE: func(cmd *cobra.Command, args []string) error {
			return r.onCertificates(cmd, func(ctx context.Context, c *certificates.Client) error {
				there, err := contacts(ctx, c)
				if err == nil {
					there, err = do(ctx, c, there, args)
				}
				if err != nil {
					return err
				}
				return r.printContacts(cmd, there)
			})
		}}
	}
	add := verb("add EMAIL", "Add a contact", "  coffer cert contact add ann@example.com --vault demo --name Ann", oneArg("the contact's EMAIL"),
		func(ctx context.Context, c *certificates.Client, there azcertificates.Contacts, args []string) (azcertificates.Contacts, error) {
			contact := &azcertificates.Contact{Email: &args[0]}
			if name != "" {
				contact.Name = &name
			}
			if phone != "" {
				contact.Phone = &phone
			}
			set, err := c.SetContacts(ctx, azcertificates.Contacts{ContactList: append(there.ContactList, contact)}, nil)
			return set.Contacts, err
		})
	add.Flags().StringVar(&name, "name", "", "the contact's `name`")
	add.Flags().StringVar(&phone, "phone", "", "the contact's `number`")
	list := verb("list", "List the contacts", "  coffer cert contact list --vault demo", noArgs,
		func(_ context.Context, _ *certificates.Client, there azcertificates.Contacts, _ []string) (azcertificates.Contacts, error) {
			return there, nil
		})
	remove := verb("delete EMAIL", "Remove a contact", "  coffer cert contact delete ann@example.com --vault demo", oneArg("the contact's EMAIL"), deleteContact)
	return noun("contact", "Who is told about the certificates of a vault", "Add, list and remove the contacts of a vault's certificates.", "  coffer cert contact list --vault demo", add, list, remove)
}

func deleteContact(ctx context.Context, c *certificates.Client, there azcertificates.Contacts, args []string) (azcertificates.Contacts, error) {
	var rest []*azcertificates.Contact
	for _, contact := range there.ContactList {
		if !strings.EqualFold(orBlank(contact.Email), args[0]) {
			rest = append(rest, contact)
		}
	}
	switch {
	case len(rest) == len(there.ContactList):
		return there, client.NotFoundf("coffer cert contact list shows what there is", "there is no contact %q", args[0])
	case len(rest) == 0:
		_, err := c.DeleteContacts(ctx, nil)
		return azcertificates.Contacts{}, err
	}
	set, err := c.SetContacts(ctx, azcertificates.Contacts{ContactList: rest}, nil)
	return set.Contacts, err
}
