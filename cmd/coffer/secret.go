package main

import (
	"context"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"coffer/internal/client"
)

var secretKind = kind{
	word: "secret", open: openSecrets,
	columns: client.Columns("NAME", "name", "ENABLED", "attributes.enabled", "EXPIRES", "attributes.exp", "TYPE", "contentType", "MANAGED", "managed", "UPDATED", "attributes.updated"),
	details: client.Columns("NAME", "name", "VERSION", "version", "ID", "id", "TYPE", "contentType", "ENABLED", "attributes.enabled", "NOT BEFORE", "attributes.nbf", "EXPIRES", "attributes.exp",
		"CREATED", "attributes.created", "UPDATED", "attributes.updated", "MANAGED", "managed", "TAGS", "tags", "VALUE", "value"),
}

func openSecrets(s *client.Session) (operations, error) {
	c, err := s.Secrets()
	if err != nil {
		return operations{}, err
	}
	return operations{
		list: func(ctx context.Context) (any, error) {
			return client.Collect(ctx, c.NewListSecretPropertiesPager(nil), func(p azsecrets.ListSecretPropertiesResponse) []*azsecrets.SecretProperties { return p.Value })
		},
		listDeleted: func(ctx context.Context) (any, error) {
			return client.Collect(ctx, c.NewListDeletedSecretPropertiesPager(nil), func(p azsecrets.ListDeletedSecretPropertiesResponse) []*azsecrets.DeletedSecretProperties {
				return p.Value
			})
		},
		versions: func(ctx context.Context, name string) (any, error) {
			return client.Collect(ctx, c.NewListSecretPropertiesVersionsPager(name, nil), func(p azsecrets.ListSecretPropertiesVersionsResponse) []*azsecrets.SecretProperties { return p.Value })
		},
		get: func(ctx context.Context, name string) (any, error) {
			got, err := c.GetSecret(ctx, name, "", nil)
			return got.Secret, err
		},
		getDeleted: func(ctx context.Context, name string) (any, error) {
			got, err := c.GetDeletedSecret(ctx, name, nil)
			return got.DeletedSecret, err
		},
		remove: func(ctx context.Context, name string) (any, error) {
			got, err := c.DeleteSecret(ctx, name, nil)
			return got.DeletedSecret, err
		},
		recover: func(ctx context.Context, name string) (any, error) {
			got, err := c.RecoverDeletedSecret(ctx, name, nil)
			return got.Secret, err
		},
		purge: func(ctx context.Context, name string) error {
			_, err := c.PurgeDeletedSecret(ctx, name, nil)
			return err
		},
		backup: func(ctx context.Context, name string) ([]byte, error) {
			got, err := c.BackupSecret(ctx, name, nil)
			return got.Value, err
		},
		restore: func(ctx context.Context, backup []byte) (any, error) {
			got, err := c.RestoreSecret(ctx, azsecrets.RestoreSecretParameters{SecretBackup: backup}, nil)
			return got.Secret, err
		},
	}, nil
}

func secretCommand() *cobra.Command {
	r := &remote{}
	cmd := noun("secret", "The secrets of a vault",
		`Set, read and remove the secrets of a vault. A value is read from a file or from standard
input, never from the command line, where others could see it; and it is shown by show and
download only.`,
		`  coffer secret set password --vault demo --file password.txt
  echo -n "$PASSWORD" | coffer secret set password --vault demo
  coffer secret show password --vault demo --raw
  coffer secret list --vault demo --output json`,
		append([]*cobra.Command{r.secretSet(), r.secretShow(), r.secretDownload(), r.secretUpdate()}, r.verbs(secretKind)...)...)
	r.vaultFlags(cmd)
	return cmd
}

func (r *remote) onSecrets(cmd *cobra.Command, fn func(context.Context, *azsecrets.Client) error) error {
	return r.do(cmd, func(ctx context.Context, s *client.Session) error {
		c, err := s.Secrets()
		if err != nil {
			return err
		}
		return fn(ctx, c)
	})
}

func (r *remote) secretSet() *cobra.Command {
	var file, value, contentType string
	var attributes attributesFlag
	var tags tagFlag
	cmd := r.completing(&cobra.Command{
		Use: "set NAME", Short: "Set a secret, or a new version of it", Args: oneArg("the NAME of the secret"),
		Long: `Set a secret. Its value is what --file has, or standard input, byte by byte: a new line at
the end belongs to it. On a terminal one line is asked for and not shown.`,
		Example: "  coffer secret set password --vault demo --file password.txt\n  printf %s \"$PASSWORD\" | coffer secret set password --vault demo --expires 90d",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := r.target(secretKind, args[0], "")
			if err != nil {
				return err
			}
			parameters := azsecrets.SetSecretParameters{SecretAttributes: &azsecrets.SecretAttributes{}, Tags: tags.pointers()}
			a := parameters.SecretAttributes
			if a.Enabled, a.Expires, a.NotBefore, err = attributes.read(); err != nil {
				return err
			}
			if contentType != "" {
				parameters.ContentType = &contentType
			}
			if cmd.Flags().Changed("value") {
				say(cmd, "coffer: warning: a value on the command line is seen by every process of this machine, and kept in the shell's history; use --file or standard input")
			} else if value, err = readSecret(cmd, file); err != nil {
				return err
			}
			parameters.Value = &value
			return r.onSecrets(cmd, func(ctx context.Context, c *azsecrets.Client) error {
				made, err := c.SetSecret(ctx, target.name, parameters, nil)
				if err != nil {
					return err
				}
				made.Value = nil
				return r.print(cmd, made.Secret, secretKind.details)
			})
		},
	}, r.completeObjects(secretKind))
	cmd.Flags().StringVarP(&file, "file", "f", "-", "the `file` with the value; - is standard input")
	cmd.Flags().StringVar(&value, "value", "", "the value itself, a `text`; others can see it")
	cmd.Flags().StringVar(&contentType, "content-type", "", "what kind of value it is, a `text` for its readers")
	cmd.MarkFlagsMutuallyExclusive("file", "value")
	attributes.add(cmd)
	attributes.addTimes(cmd)
	tags.add(cmd)
	return cmd
}

// readTyped reads what is typed on a terminal, unseen; ok is false where there is none.
func readTyped(cmd *cobra.Command, label string) (text string, ok bool, err error) {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", false, nil
	}
	_, _ = io.WriteString(cmd.ErrOrStderr(), label)
	typed, err := term.ReadPassword(int(in.Fd()))
	say(cmd, "")
	return string(typed), true, err
}

// readSecret reads a value: a file, standard input, or what is typed on a terminal.
func readSecret(cmd *cobra.Command, file string) (string, error) {
	if file == "-" {
		if typed, ok, err := readTyped(cmd, "Value (it is not shown): "); ok {
			return typed, err
		}
	}
	text, err := readInput(cmd, "file", file)
	if err == nil && !utf8.Valid(text) {
		return "", client.Usagef("--file: a secret is text in UTF-8, and this is not; encode it, for example with base64, and say so with --content-type")
	}
	return string(text), err
}

func (r *remote) secretShow() *cobra.Command {
	var version string
	var raw bool
	cmd := r.completing(&cobra.Command{
		Use: "show NAME", Short: "Show a secret with its value", Args: oneArg("the NAME of the secret"),
		Example: "  coffer secret show password --vault demo\n  coffer secret show password --vault demo --raw     # the value and nothing else\n  coffer secret show https://demo.vault.azure.net/secrets/password/0123…",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := r.target(secretKind, args[0], version)
			if err != nil {
				return err
			}
			return r.onSecrets(cmd, func(ctx context.Context, c *azsecrets.Client) error {
				got, err := c.GetSecret(ctx, target.name, target.version, nil)
				if err != nil {
					return err
				}
				if raw && got.Value != nil {
					_, err := io.WriteString(cmd.OutOrStdout(), *got.Value)
					return err
				}
				return r.print(cmd, got.Secret, secretKind.details)
			})
		},
	}, r.completeObjects(secretKind))
	cmd.Flags().StringVar(&version, "version", "", "a `version`; the current one if none is named")
	cmd.Flags().BoolVar(&raw, "raw", false, "print the value, byte by byte, and nothing else")
	return cmd
}

func (r *remote) secretDownload() *cobra.Command {
	var version, file string
	cmd := r.completing(&cobra.Command{
		Use: "download NAME --file FILE", Short: "Write a secret's value to a new file with mode 0600", Args: oneArg("the NAME of the secret"),
		Example: "  coffer secret download password --vault demo --file password.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := r.target(secretKind, args[0], version)
			if err != nil {
				return err
			}
			if err := mustBeFree(file); err != nil {
				return err
			}
			return r.onSecrets(cmd, func(ctx context.Context, c *azsecrets.Client) error {
				got, err := c.GetSecret(ctx, target.name, target.version, nil)
				if err != nil {
					return err
				}
				return writeOutput(cmd, file, []byte(orBlank(got.Value)), 0o600)
			})
		},
	}, r.completeObjects(secretKind))
	cmd.Flags().StringVar(&version, "version", "", "a `version`; the current one if none is named")
	cmd.Flags().StringVarP(&file, "file", "f", "", "the new `file`; - is standard output")
	return cmd
}

func orBlank(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func (r *remote) secretUpdate() *cobra.Command {
	var version, contentType string
	var attributes attributesFlag
	var tags tagFlag
	cmd := r.completing(&cobra.Command{
		Use: "update NAME", Short: "Change what a secret says of itself, not its value", Args: oneArg("the NAME of the secret"),
		Example: "  coffer secret update password --vault demo --disabled\n  coffer secret update password --vault demo --expires 2027-01-31 --tag team=blue",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := r.target(secretKind, args[0], version)
			if err != nil {
				return err
			}
			parameters := azsecrets.UpdateSecretPropertiesParameters{SecretAttributes: &azsecrets.SecretAttributes{}, Tags: tags.pointers()}
			a := parameters.SecretAttributes
			if a.Enabled, a.Expires, a.NotBefore, err = attributes.read(); err != nil {
				return err
			}
			if cmd.Flags().Changed("content-type") {
				parameters.ContentType = &contentType
			}
			if err := changesSomething(cmd); err != nil {
				return err
			}
			return r.onSecrets(cmd, func(ctx context.Context, c *azsecrets.Client) error {
				changed, err := c.UpdateSecretProperties(ctx, target.name, target.version, parameters, nil)
				if err != nil {
					return err
				}
				return r.print(cmd, changed.Secret, secretKind.details)
			})
		},
	}, r.completeObjects(secretKind))
	cmd.Flags().StringVar(&version, "version", "", "a `version`; the current one if none is named")
	cmd.Flags().StringVar(&contentType, "content-type", "", "what kind of value it is, a `text` for its readers")
	attributes.add(cmd)
	attributes.addTimes(cmd)
	tags.add(cmd)
	return cmd
}

// changesSomething refuses an update that names nothing to change.
func changesSomething(cmd *cobra.Command) error {
	for _, name := range strings.Fields("enabled disabled expires not-before tag no-tags content-type ops release-policy") {
		if cmd.Flags().Changed(name) {
			return nil
		}
	}
	return client.Usagef("say what to change: %s --help shows the flags", cmd.CommandPath())
}
