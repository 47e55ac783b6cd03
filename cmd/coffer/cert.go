package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/spf13/cobra"

	"coffer/certificates"
	"coffer/internal/client"
)

var certKind = kind{
	word: "certificate", command: "cert", open: openCertificates,
	columns: client.Columns("NAME", "name", "ENABLED", "attributes.enabled", "EXPIRES", "attributes.exp", "THUMBPRINT", "x5t", "UPDATED", "attributes.updated"),
	details: client.Columns("NAME", "name", "VERSION", "version", "ID", "id", "SUBJECT", "policy.x509_props.subject", "DNS NAMES", "policy.x509_props.sans.dns_names", "ISSUER", "policy.issuer.name",
		"KEY", "policy.key_props.kty", "ENABLED", "attributes.enabled", "NOT BEFORE", "attributes.nbf", "EXPIRES", "attributes.exp", "THUMBPRINT", "x5t", "KEY ID", "kid", "SECRET ID", "sid", "TAGS", "tags"),
}

func openCertificates(s *client.Session) (operations, error) {
	c, err := s.Certificates()
	if err != nil {
		return operations{}, err
	}
	return operations{
		list: func(ctx context.Context) (any, error) {
			return client.Collect(ctx, c.NewListCertificatePropertiesPager(&azcertificates.ListCertificatePropertiesOptions{IncludePending: to.Ptr(true)}),
				func(p azcertificates.ListCertificatePropertiesResponse) []*azcertificates.CertificateProperties {
					return p.Value
				})
		},
		listDeleted: func(ctx context.Context) (any, error) {
			return client.Collect(ctx, c.NewListDeletedCertificatePropertiesPager(nil), func(p azcertificates.ListDeletedCertificatePropertiesResponse) []*azcertificates.DeletedCertificateProperties {
				return p.Value
			})
		},
		versions: func(ctx context.Context, name string) (any, error) {
			return client.Collect(ctx, c.NewListCertificatePropertiesVersionsPager(name, nil), func(p azcertificates.ListCertificatePropertiesVersionsResponse) []*azcertificates.CertificateProperties {
				return p.Value
			})
		},
		get: func(ctx context.Context, name string) (any, error) {
			got, err := c.GetCertificate(ctx, name, "", nil)
			return got.Certificate, err
		},
		getDeleted: func(ctx context.Context, name string) (any, error) {
			got, err := c.GetDeletedCertificate(ctx, name, nil)
			return got.DeletedCertificate, err
		},
		remove: func(ctx context.Context, name string) (any, error) {
			got, err := c.DeleteCertificate(ctx, name, nil)
			return got.DeletedCertificate, err
		},
		recover: func(ctx context.Context, name string) (any, error) {
			got, err := c.RecoverDeletedCertificate(ctx, name, nil)
			return got.Certificate, err
		},
		purge: func(ctx context.Context, name string) error {
			_, err := c.PurgeDeletedCertificate(ctx, name, nil)
			return err
		},
		backup: func(ctx context.Context, name string) ([]byte, error) {
			got, err := c.BackupCertificate(ctx, name, nil)
			return got.Value, err
		},
		restore: func(ctx context.Context, backup []byte) (any, error) {
			got, err := c.RestoreCertificate(ctx, azcertificates.RestoreCertificateParameters{CertificateBackup: backup}, nil)
			return got.Certificate, err
		},
	}, nil
}

func certCommand() *cobra.Command {
	r := &remote{}
	verbs := []*cobra.Command{r.certCreate(), r.certImport(), r.certShow(), r.certDownload(), r.certUpdate(), r.certMerge(), r.certPending(), r.certPolicy(), r.certContacts(), r.certIssuers()}
	cmd := noun("cert", "The certificates of a vault",
		`Create, import, read and remove the certificates of a vault. A certificate has a key and a
secret of the same name: with the permission to get the secret its private key can be
downloaded, if its policy says that it can be exported.`,
		`  coffer cert create web --vault demo --subject CN=web.example.com --dns web.example.com
  coffer cert download web --vault demo --file web.pem
  coffer cert download web --vault demo --private-key --file web-key.pem
  coffer cert list --vault demo --output json`,
		append(verbs, r.verbs(certKind)...)...)
	cmd.Aliases = []string{"certificate"}
	r.vaultFlags(cmd)
	return cmd
}

func (r *remote) onCertificates(cmd *cobra.Command, fn func(context.Context, *certificates.Client) error) error {
	return r.do(cmd, func(ctx context.Context, s *client.Session) error {
		c, err := s.Certificates()
		if err != nil {
			return err
		}
		return fn(ctx, c)
	})
}

// onCert makes a verb with a certificate as its argument, whose answer is printed.
func (r *remote) onCert(use, short, example string, columns []client.Column, ask func(context.Context, *cobra.Command, *certificates.Client, object) (any, error)) *cobra.Command {
	return r.completing(&cobra.Command{
		Use: use, Short: short, Args: oneArg("the NAME of the certificate"), Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := r.target(certKind, args[0], "")
			if err != nil {
				return err
			}
			return r.onCertificates(cmd, func(ctx context.Context, c *certificates.Client) error {
				answer, err := ask(ctx, cmd, c, target)
				if err != nil || answer == nil {
					return err
				}
				return r.print(cmd, answer, columns)
			})
		},
	}, r.completeObjects(certKind))
}

func (r *remote) certCreate() *cobra.Command {
	var policy policyFlags
	var disabled, noWait bool
	var tags tagFlag
	cmd := r.onCert("create NAME", "Create a certificate, or a new version of it, and wait for it",
		"  coffer cert create web --vault demo --subject CN=web.example.com --dns web.example.com --months 6\n  coffer cert create web --vault demo --key-type EC --curve P-256\n  coffer cert create web --vault demo --issuer Unknown --csr web.csr   # signed elsewhere, then: coffer cert merge\n  coffer cert policy show web --vault demo --output json >policy.json; coffer cert create other --vault demo --policy policy.json",
		certKind.details, func(ctx context.Context, cmd *cobra.Command, c *certificates.Client, target object) (any, error) {
			if err := mustBeFree(policy.csr); err != nil {
				return nil, err
			}
			asked, err := policy.read(cmd)
			if err != nil {
				return nil, err
			}
			parameters := azcertificates.CreateCertificateParameters{CertificatePolicy: asked, Tags: tags.pointers(), CertificateAttributes: &azcertificates.CertificateAttributes{}}
			if disabled {
				parameters.CertificateAttributes.Enabled = to.Ptr(false)
			}
			poller, err := c.BeginCreateCertificate(ctx, target.name, parameters, nil)
			if err != nil {
				return nil, err
			}
			if noWait {
				return showPending(ctx, c, target.name)
			}
			made, err := poller.PollUntilDone(ctx, nil)
			if err != nil {
				return nil, err
			}
			if made.Certificate.ID == nil { // it waits for somebody else's signature
				return awaitMerge(ctx, cmd, c, target.name, made.Operation.CSR, policy.csr)
			}
			return made.Certificate, nil
		})
	policy.add(cmd)
	cmd.Flags().StringVar(&policy.csr, "csr", "", "write the signing request to this new `file`, if the issuer is Unknown; - is standard output")
	cmd.Flags().BoolVar(&disabled, "disabled", false, "let it not be used")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait; coffer cert pending show tells how far it is")
	tags.add(cmd)
	return cmd
}

// awaitMerge shows or writes the signing request of a certificate that others sign.
func awaitMerge(ctx context.Context, cmd *cobra.Command, c *certificates.Client, name string, csr []byte, file string) (any, error) {
	say(cmd, "coffer: %s waits for its certificate; have the signing request signed, then: coffer cert merge %s --file FILE", name, name)
	if file == "" {
		return showPending(ctx, c, name)
	}
	return nil, writeOutput(cmd, file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), 0o644)
}

func (r *remote) certImport() *cobra.Command {
	var file, passwordFile, policyFile string
	var attributes attributesFlag
	var tags tagFlag
	cmd := r.onCert("import NAME --file FILE", "Import a certificate with its private key: PKCS#12 or PEM",
		"  coffer cert import web --vault demo --file web.pfx --password-file web.password\n  cat web.crt web.key | coffer cert import web --vault demo --file -", certKind.details,
		func(ctx context.Context, cmd *cobra.Command, c *certificates.Client, target object) (any, error) {
			text, err := readInput(cmd, "file", file)
			if err != nil {
				return nil, err
			}
			parameters := azcertificates.ImportCertificateParameters{Base64EncodedCertificate: to.Ptr(string(text)), Tags: tags.pointers(), CertificateAttributes: &azcertificates.CertificateAttributes{}}
			if parameters.CertificateAttributes.Enabled, _, _, err = attributes.read(); err != nil {
				return nil, err
			}
			contentType := azcertificates.SecretProperties{ContentType: to.Ptr("application/x-pem-file")}
			if block, _ := pem.Decode(text); block == nil {
				contentType.ContentType = to.Ptr("application/x-pkcs12")
				*parameters.Base64EncodedCertificate = base64.StdEncoding.EncodeToString(text)
			}
			parameters.CertificatePolicy = &azcertificates.CertificatePolicy{SecretProperties: &contentType}
			if policyFile != "" {
				if parameters.CertificatePolicy, err = readPolicy(cmd, policyFile); err != nil {
					return nil, err
				}
			}
			if passwordFile != "" {
				password, err := readInput(cmd, "password-file", passwordFile)
				if err != nil {
					return nil, err
				}
				parameters.Password = to.Ptr(strings.TrimRight(string(password), "\r\n"))
			}
			made, err := c.ImportCertificate(ctx, target.name, parameters, nil)
			return made.Certificate, err
		})
	cmd.Flags().StringVarP(&file, "file", "f", "", "the `file` with the certificate and its key; - is standard input")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "the `file` with the password that they are encrypted with; a new line at its end does not belong to it")
	cmd.Flags().StringVar(&policyFile, "policy", "", "a `file` with the policy for later versions, JSON in the service's form")
	attributes.add(cmd)
	tags.add(cmd)
	return cmd
}

func (r *remote) certShow() *cobra.Command {
	var version string
	cmd := r.onCert("show NAME", "Show a certificate", "  coffer cert show web --vault demo --output json", certKind.details,
		func(ctx context.Context, _ *cobra.Command, c *certificates.Client, target object) (any, error) {
			got, err := c.GetCertificate(ctx, target.name, firstText(version, target.version), nil)
			return got.Certificate, err
		})
	cmd.Flags().StringVar(&version, "version", "", "a `version`; the current one if none is named")
	return cmd
}

func (r *remote) certDownload() *cobra.Command {
	var version, file, encoding string
	var private bool
	cmd := r.completing(&cobra.Command{
		Use: "download NAME --file FILE", Short: "Write a certificate to a new file; with --private-key also its key and chain", Args: oneArg("the NAME of the certificate"),
		Long: `Write a certificate to a new file, as PEM or DER. With --private-key the file gets what the
certificate's secret has, the private key and the chain with it, in the form that its policy
says (PEM or PKCS#12 without a password), and only its owner may read it. That needs the
permission to get secrets.`,
		Example: "  coffer cert download web --vault demo --file web.pem\n  coffer cert download web --vault demo --private-key --file web.pfx",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := r.target(certKind, args[0], version)
			if err != nil {
				return err
			}
			if err := mustBeFree(file); err != nil {
				return err
			}
			if private {
				return r.do(cmd, func(ctx context.Context, s *client.Session) error { return downloadPrivate(ctx, cmd, s, target, file) })
			}
			return r.onCertificates(cmd, func(ctx context.Context, c *certificates.Client) error {
				got, err := c.GetCertificate(ctx, target.name, target.version, nil)
				if err != nil {
					return err
				}
				switch strings.ToLower(encoding) {
				case "der":
					return writeOutput(cmd, file, got.CER, 0o644)
				case "pem":
					return writeOutput(cmd, file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: got.CER}), 0o644)
				}
				return client.Usagef("--encoding is pem or der, not %q", encoding)
			})
		},
	}, r.completeObjects(certKind))
	cmd.Flags().StringVar(&version, "version", "", "a `version`; the current one if none is named")
	cmd.Flags().StringVarP(&file, "file", "f", "", "the new `file`; - is standard output")
	cmd.Flags().StringVar(&encoding, "encoding", "pem", "the `form` of the certificate alone: pem or der")
	cmd.Flags().BoolVar(&private, "private-key", false, "write the private key and the chain, too")
	return cmd
}

// downloadPrivate writes what a certificate's secret has: PEM as it is, PKCS#12 decoded.
func downloadPrivate(ctx context.Context, cmd *cobra.Command, s *client.Session, target object, file string) error {
	if err := mustBeExportable(ctx, s, target); err != nil {
		return err
	}
	c, err := s.Secrets()
	if err != nil {
		return err
	}
	got, err := c.GetSecret(ctx, target.name, target.version, nil)
	if err != nil {
		return err
	}
	if got.KID == nil || got.Value == nil {
		return errors.New("the secret of this name does not belong to a certificate")
	}
	content := []byte(*got.Value)
	if orBlank(got.ContentType) == "application/x-pkcs12" {
		if content, err = base64.StdEncoding.DecodeString(*got.Value); err != nil {
			return errors.New("the certificate's secret is not in base64, as a PKCS#12 file would be")
		}
	}
	return writeOutput(cmd, file, content, 0o600)
}

// mustBeExportable refuses a certificate whose secret has no private key, which is not
// seen in a PKCS#12 file. Who may get secrets only is not asked for more.
func mustBeExportable(ctx context.Context, s *client.Session, target object) error {
	c, err := s.Certificates()
	if err != nil {
		return err
	}
	got, err := c.GetCertificate(ctx, target.name, target.version, nil)
	if err != nil || got.Policy == nil || got.Policy.KeyProperties == nil || got.Policy.KeyProperties.Exportable == nil || *got.Policy.KeyProperties.Exportable {
		return nil
	}
	return &client.Failure{Code: client.ExitFailure, Text: "the policy of " + target.name + " says that its private key is not exported", Next: "it can be used in the vault: coffer key sign " + target.name}
}

func (r *remote) certUpdate() *cobra.Command {
	var version string
	var attributes attributesFlag
	var tags tagFlag
	cmd := r.onCert("update NAME", "Enable or disable a certificate, or change its tags", "  coffer cert update web --vault demo --disabled\n  coffer cert update web --vault demo --tag team=blue", certKind.details,
		func(ctx context.Context, cmd *cobra.Command, c *certificates.Client, target object) (any, error) {
			if err := changesSomething(cmd); err != nil {
				return nil, err
			}
			parameters := azcertificates.UpdateCertificateParameters{CertificateAttributes: &azcertificates.CertificateAttributes{}, Tags: tags.pointers()}
			var err error
			if parameters.CertificateAttributes.Enabled, _, _, err = attributes.read(); err != nil {
				return nil, err
			}
			changed, err := c.UpdateCertificate(ctx, target.name, firstText(version, target.version), parameters, nil)
			return changed.Certificate, err
		})
	cmd.Flags().StringVar(&version, "version", "", "a `version`; the current one if none is named")
	attributes.add(cmd)
	tags.add(cmd)
	return cmd
}

func (r *remote) certMerge() *cobra.Command {
	var file string
	cmd := r.onCert("merge NAME --file FILE", "Finish a certificate that somebody else has signed", "  coffer cert merge web --vault demo --file signed.pem", certKind.details,
		func(ctx context.Context, cmd *cobra.Command, c *certificates.Client, target object) (any, error) {
			text, err := readInput(cmd, "file", file)
			if err != nil {
				return nil, err
			}
			var chain [][]byte
			for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
				if block.Type == "CERTIFICATE" {
					chain = append(chain, block.Bytes)
				}
			}
			if chain == nil {
				chain = [][]byte{text}
			}
			merged, err := c.MergeCertificate(ctx, target.name, azcertificates.MergeCertificateParameters{X509Certificates: chain}, nil)
			return merged.Certificate, err
		})
	cmd.Flags().StringVarP(&file, "file", "f", "", "the `file` with the certificate and its chain, PEM or DER; - is standard input")
	return cmd
}

var pendingColumns = client.Columns("NAME", "name", "STATUS", "status", "DETAILS", "status_details", "ERROR", "error.code", "MESSAGE", "error.message", "ISSUER", "issuer.name", "CANCELLED", "cancellation_requested", "REQUEST", "request_id", "TARGET", "target")

func showPending(ctx context.Context, c *certificates.Client, name string) (any, error) {
	got, err := c.GetCertificateOperation(ctx, name, nil)
	return got.CertificateOperation, err
}

func (r *remote) certPending() *cobra.Command {
	var file string
	show := r.onCert("show NAME", "Show how far an operation is, and its signing request", "  coffer cert pending show web --vault demo\n  coffer cert pending show web --vault demo --csr web.csr", pendingColumns,
		func(ctx context.Context, cmd *cobra.Command, c *certificates.Client, target object) (any, error) {
			if err := mustBeFree(file); err != nil {
				return nil, err
			}
			got, err := c.GetCertificateOperation(ctx, target.name, nil)
			if err != nil || file == "" {
				return got.CertificateOperation, err
			}
			return nil, writeOutput(cmd, file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: got.CSR}), 0o644)
		})
	show.Flags().StringVar(&file, "csr", "", "write the signing request to this new `file`; - is standard output")
	cancel := r.onCert("cancel NAME", "Ask for the end of an operation", "  coffer cert pending cancel web --vault demo", pendingColumns,
		func(ctx context.Context, _ *cobra.Command, c *certificates.Client, target object) (any, error) {
			got, err := c.UpdateCertificateOperation(ctx, target.name, azcertificates.UpdateCertificateOperationParameter{CancellationRequested: to.Ptr(true)}, nil)
			return got.CertificateOperation, err
		})
	remove := r.onCert("delete NAME", "Forget an operation", "  coffer cert pending delete web --vault demo", pendingColumns,
		func(ctx context.Context, _ *cobra.Command, c *certificates.Client, target object) (any, error) {
			got, err := c.DeleteCertificateOperation(ctx, target.name, nil)
			return got.CertificateOperation, err
		})
	return noun("pending", "The operation by which a certificate comes into being", "Show, cancel or forget the operation by which a certificate comes into being.",
		"  coffer cert pending show web --vault demo --csr web.csr\n  coffer cert pending cancel web --vault demo", show, cancel, remove)
}

// readPolicy reads a certificate's policy in the service's form.
func readPolicy(cmd *cobra.Command, file string) (*azcertificates.CertificatePolicy, error) {
	text, err := readInput(cmd, "policy", file)
	if err != nil {
		return nil, err
	}
	var policy azcertificates.CertificatePolicy
	if err := json.Unmarshal(text, &policy); err != nil {
		return nil, client.Usagef("--policy: this is no policy: %v", err)
	}
	policy.ID = nil // of the certificate that it was shown for
	return &policy, nil
}
