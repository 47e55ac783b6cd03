package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/spf13/cobra"

	"coffer/internal/client"
)

var keyKind = kind{
	word: "key", open: openKeys,
	columns: client.Columns("NAME", "name", "ENABLED", "attributes.enabled", "EXPIRES", "attributes.exp", "MANAGED", "managed", "UPDATED", "attributes.updated"),
	details: client.Columns("NAME", "name", "VERSION", "version", "ID", "key.kid", "TYPE", "key.kty", "CURVE", "key.crv", "OPERATIONS", "key.key_ops", "ENABLED", "attributes.enabled",
		"NOT BEFORE", "attributes.nbf", "EXPIRES", "attributes.exp", "CREATED", "attributes.created", "UPDATED", "attributes.updated", "EXPORTABLE", "attributes.exportable", "MANAGED", "managed", "TAGS", "tags"),
}

func openKeys(s *client.Session) (operations, error) {
	c, err := s.Keys()
	if err != nil {
		return operations{}, err
	}
	return operations{
		list: func(ctx context.Context) (any, error) {
			return client.Collect(ctx, c.NewListKeyPropertiesPager(nil), func(p azkeys.ListKeyPropertiesResponse) []*azkeys.KeyProperties { return p.Value })
		},
		listDeleted: func(ctx context.Context) (any, error) {
			return client.Collect(ctx, c.NewListDeletedKeyPropertiesPager(nil), func(p azkeys.ListDeletedKeyPropertiesResponse) []*azkeys.DeletedKeyProperties { return p.Value })
		},
		versions: func(ctx context.Context, name string) (any, error) {
			return client.Collect(ctx, c.NewListKeyPropertiesVersionsPager(name, nil), func(p azkeys.ListKeyPropertiesVersionsResponse) []*azkeys.KeyProperties { return p.Value })
		},
		get: func(ctx context.Context, name string) (any, error) {
			got, err := c.GetKey(ctx, name, "", nil)
			return got.KeyBundle, err
		},
		getDeleted: func(ctx context.Context, name string) (any, error) {
			got, err := c.GetDeletedKey(ctx, name, nil)
			return got.DeletedKey, err
		},
		remove: func(ctx context.Context, name string) (any, error) {
			got, err := c.DeleteKey(ctx, name, nil)
			return got.DeletedKey, err
		},
		recover: func(ctx context.Context, name string) (any, error) {
			got, err := c.RecoverDeletedKey(ctx, name, nil)
			return got.KeyBundle, err
		},
		purge: func(ctx context.Context, name string) error {
			_, err := c.PurgeDeletedKey(ctx, name, nil)
			return err
		},
		backup: func(ctx context.Context, name string) ([]byte, error) {
			got, err := c.BackupKey(ctx, name, nil)
			return got.Value, err
		},
		restore: func(ctx context.Context, backup []byte) (any, error) {
			got, err := c.RestoreKey(ctx, azkeys.RestoreKeyParameters{KeyBackup: backup}, nil)
			return got.KeyBundle, err
		},
	}, nil
}

func keyCommand() *cobra.Command {
	r := &remote{}
	rotation := noun("rotation-policy", "When a key is rotated by itself", "Show or set when a key gets a new version by itself.",
		"  coffer key rotation-policy set signer --vault demo --rotate-after P90D --expiry P1Y\n  coffer key rotation-policy show signer --vault demo",
		r.rotationShow(), r.rotationSet())
	verbs := []*cobra.Command{r.keyCreate(), r.keyImport(), r.keyShow(), r.keyDownload(), r.keyUpdate(), r.keyRotate(), rotation, r.keyRelease()}
	cmd := noun("key", "The keys of a vault, and what is done with them",
		`Make, import and remove the keys of a vault, and sign, verify, encrypt and decrypt with them.
The private part of a key stays in the vault.`,
		`  coffer key create signer --vault demo --type EC --curve P-256
  coffer key sign signer --vault demo --algorithm ES256 --file message.txt --out message.sig
  coffer key verify signer --vault demo --algorithm ES256 --file message.txt --signature message.sig
  coffer key download signer --vault demo --file signer.pem`,
		append(append(verbs, r.cryptography()...), r.verbs(keyKind)...)...)
	r.vaultFlags(cmd)
	return cmd
}

func (r *remote) onKeys(cmd *cobra.Command, fn func(context.Context, *azkeys.Client) error) error {
	return r.do(cmd, func(ctx context.Context, s *client.Session) error {
		c, err := s.Keys()
		if err != nil {
			return err
		}
		return fn(ctx, c)
	})
}

// onKey makes a verb with a key as its argument, whose answer is printed.
func (r *remote) onKey(use, short, example string, columns []client.Column, ask func(context.Context, *cobra.Command, *azkeys.Client, object) (any, error)) *cobra.Command {
	return r.completing(&cobra.Command{
		Use: use, Short: short, Args: oneArg("the NAME of the key"), Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := r.target(keyKind, args[0], "")
			if err != nil {
				return err
			}
			return r.onKeys(cmd, func(ctx context.Context, c *azkeys.Client) error {
				answer, err := ask(ctx, cmd, c, target)
				if err != nil || answer == nil {
					return err
				}
				return r.print(cmd, answer, columns)
			})
		},
	}, r.completeObjects(keyKind))
}

// A keyFlags are what is said of a new key, or changed of one.
type keyFlags struct {
	attributes    attributesFlag
	tags          tagFlag
	ops           []string
	exportable    bool
	releasePolicy string
}

func (k *keyFlags) add(cmd *cobra.Command) {
	k.attributes.add(cmd)
	k.attributes.addTimes(cmd)
	k.tags.add(cmd)
	cmd.Flags().StringSliceVar(&k.ops, "ops", nil, "what may be done with it, `words` of encrypt, decrypt, sign, verify, wrapKey, unwrapKey, import")
	cmd.Flags().BoolVar(&k.exportable, "exportable", false, "let it be released to attested environments; it needs --release-policy")
	cmd.Flags().StringVar(&k.releasePolicy, "release-policy", "", "the `file` with the policy, JSON, that says to which")
}

func (k *keyFlags) read(cmd *cobra.Command) (*azkeys.KeyAttributes, []*azkeys.KeyOperation, *azkeys.KeyReleasePolicy, error) {
	a := &azkeys.KeyAttributes{}
	var err error
	if a.Enabled, a.Expires, a.NotBefore, err = k.attributes.read(); err != nil {
		return nil, nil, nil, err
	}
	if cmd.Flags().Changed("exportable") {
		a.Exportable = &k.exportable
	}
	var ops []*azkeys.KeyOperation
	for _, op := range k.ops {
		ops = append(ops, to.Ptr(azkeys.KeyOperation(op)))
	}
	if k.releasePolicy == "" {
		return a, ops, nil, nil
	}
	text, err := readInput(cmd, "release-policy", k.releasePolicy)
	return a, ops, &azkeys.KeyReleasePolicy{EncodedPolicy: text}, err
}

func (r *remote) keyCreate() *cobra.Command {
	var flags keyFlags
	var kty, curve string
	var size int32
	cmd := r.onKey("create NAME", "Make a key, or a new version of it",
		"  coffer key create signer --vault demo --type EC --curve P-256\n  coffer key create wrapper --vault demo --type RSA --size 3072 --ops wrapKey,unwrapKey", keyKind.details,
		func(ctx context.Context, cmd *cobra.Command, c *azkeys.Client, target object) (any, error) {
			attributes, ops, policy, err := flags.read(cmd)
			if err != nil {
				return nil, err
			}
			parameters := azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyType(kty)), KeyAttributes: attributes, KeyOps: ops, ReleasePolicy: policy, Tags: flags.tags.pointers()}
			if curve != "" {
				parameters.Curve = to.Ptr(azkeys.CurveName(curve))
			}
			if size != 0 {
				parameters.KeySize = &size
			}
			made, err := c.CreateKey(ctx, target.name, parameters, nil)
			return made.KeyBundle, err
		})
	cmd.Flags().StringVar(&kty, "type", "RSA", "the `kind`: RSA, EC, or RSA-HSM, EC-HSM, oct-HSM in a premium vault")
	cmd.Flags().StringVar(&curve, "curve", "", "the `name` of the curve of an EC key: P-256, P-384, P-521, P-256K")
	cmd.Flags().Int32Var(&size, "size", 0, "how many `bits` it has: RSA 2048, 3072, 4096; oct-HSM 128, 192, 256")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions([]string{"RSA", "EC", "RSA-HSM", "EC-HSM", "oct-HSM"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("curve", cobra.FixedCompletions([]string{"P-256", "P-384", "P-521", "P-256K"}, cobra.ShellCompDirectiveNoFileComp))
	flags.add(cmd)
	return cmd
}

func (r *remote) keyImport() *cobra.Command {
	var flags keyFlags
	var file, kty, curve string
	var hsm bool
	cmd := r.onKey("import NAME --file FILE", "Import a key: PEM, a JSON Web Key, or a transfer blob (BYOK)",
		"  coffer key import signer --vault demo --file signer.pem\n  coffer key import signer --vault demo --file signer.jwk --hsm", keyKind.details,
		func(ctx context.Context, cmd *cobra.Command, c *azkeys.Client, target object) (any, error) {
			text, err := readInput(cmd, "file", file)
			if err != nil {
				return nil, err
			}
			attributes, ops, policy, err := flags.read(cmd)
			if err != nil {
				return nil, err
			}
			key, err := keyOf(text)
			if err != nil {
				return nil, err
			}
			if ops != nil {
				key.KeyOps = ops
			}
			if kty != "" {
				key.Kty = to.Ptr(azkeys.KeyType(kty))
			}
			if curve != "" {
				key.Crv = to.Ptr(azkeys.CurveName(curve))
			}
			parameters := azkeys.ImportKeyParameters{Key: key, KeyAttributes: attributes, ReleasePolicy: policy, Tags: flags.tags.pointers()}
			if hsm {
				parameters.HSM = &hsm
			}
			made, err := c.ImportKey(ctx, target.name, parameters, nil)
			return made.KeyBundle, err
		})
	cmd.Flags().StringVarP(&file, "file", "f", "", "the `file` with the key; - is standard input")
	cmd.Flags().StringVar(&kty, "type", "", "the `kind` that it becomes, if the file does not say it; RSA-HSM for a transfer blob")
	cmd.Flags().StringVar(&curve, "curve", "", "the `name` of the curve of an EC key in a transfer blob")
	cmd.Flags().BoolVar(&hsm, "hsm", false, "import it as one of an -HSM kind")
	flags.add(cmd)
	return cmd
}

func (r *remote) keyShow() *cobra.Command {
	var version string
	cmd := r.onKey("show NAME", "Show a key's public part and what it says of itself", "  coffer key show signer --vault demo --output json", keyKind.details,
		func(ctx context.Context, _ *cobra.Command, c *azkeys.Client, target object) (any, error) {
			got, err := c.GetKey(ctx, target.name, firstText(version, target.version), nil)
			return got.KeyBundle, err
		})
	cmd.Flags().StringVar(&version, "version", "", "a `version`; the current one if none is named")
	return cmd
}

func firstText(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func (r *remote) keyDownload() *cobra.Command {
	var version, file, encoding string
	cmd := r.onKey("download NAME --file FILE", "Write a key's public part to a new file", "  coffer key download signer --vault demo --file signer.pem\n  coffer key download signer --vault demo --encoding jwk --file -", nil,
		func(ctx context.Context, cmd *cobra.Command, c *azkeys.Client, target object) (any, error) {
			if err := mustBeFree(file); err != nil {
				return nil, err
			}
			got, err := c.GetKey(ctx, target.name, firstText(version, target.version), nil)
			if err != nil {
				return nil, err
			}
			text, err := encodePublic(got.Key, strings.ToLower(encoding))
			if err != nil {
				return nil, err
			}
			return nil, writeOutput(cmd, file, text, 0o644)
		})
	cmd.Flags().StringVar(&version, "version", "", "a `version`; the current one if none is named")
	cmd.Flags().StringVarP(&file, "file", "f", "", "the new `file`; - is standard output")
	cmd.Flags().StringVar(&encoding, "encoding", "pem", "the `form`: pem, der or jwk")
	return cmd
}

func (r *remote) keyUpdate() *cobra.Command {
	var flags keyFlags
	var version string
	cmd := r.onKey("update NAME", "Change what a key says of itself, and what may be done with it", "  coffer key update signer --vault demo --disabled\n  coffer key update signer --vault demo --ops sign,verify --tag team=blue", keyKind.details,
		func(ctx context.Context, cmd *cobra.Command, c *azkeys.Client, target object) (any, error) {
			if err := changesSomething(cmd); err != nil {
				return nil, err
			}
			attributes, ops, policy, err := flags.read(cmd)
			if err != nil {
				return nil, err
			}
			changed, err := c.UpdateKey(ctx, target.name, firstText(version, target.version), azkeys.UpdateKeyParameters{KeyAttributes: attributes, KeyOps: ops, ReleasePolicy: policy, Tags: flags.tags.pointers()}, nil)
			return changed.KeyBundle, err
		})
	cmd.Flags().StringVar(&version, "version", "", "a `version`; the current one if none is named")
	flags.add(cmd)
	return cmd
}

func (r *remote) keyRotate() *cobra.Command {
	return r.onKey("rotate NAME", "Make a new version of a key, of the same kind", "  coffer key rotate signer --vault demo", keyKind.details,
		func(ctx context.Context, _ *cobra.Command, c *azkeys.Client, target object) (any, error) {
			rotated, err := c.RotateKey(ctx, target.name, nil)
			return rotated.KeyBundle, err
		})
}

var rotationColumns = client.Columns("EXPIRY", "attributes.expiryTime", "ACTIONS", "lifetimeActions", "UPDATED", "attributes.updated")

func (r *remote) rotationShow() *cobra.Command {
	return r.onKey("show NAME", "Show when a key is rotated", "  coffer key rotation-policy show signer --vault demo", rotationColumns,
		func(ctx context.Context, _ *cobra.Command, c *azkeys.Client, target object) (any, error) {
			got, err := c.GetKeyRotationPolicy(ctx, target.name, nil)
			return got.KeyRotationPolicy, err
		})
}

func (r *remote) rotationSet() *cobra.Command {
	var file, after, before, expiry, notify string
	cmd := r.onKey("set NAME", "Set when a key is rotated", "  coffer key rotation-policy set signer --vault demo --rotate-after P90D --expiry P1Y\n  coffer key rotation-policy set signer --vault demo --file policy.json", rotationColumns,
		func(ctx context.Context, cmd *cobra.Command, c *azkeys.Client, target object) (any, error) {
			var policy azkeys.KeyRotationPolicy
			if file != "" {
				text, err := readInput(cmd, "file", file)
				if err != nil {
					return nil, err
				}
				if err := json.Unmarshal(text, &policy); err != nil {
					return nil, client.Usagef("--file: this is no rotation policy: %v", err)
				}
			} else if policy = rotationPolicy(after, before, expiry, notify); policy.LifetimeActions == nil && policy.Attributes == nil {
				return nil, client.Usagef("say when: --rotate-after or --rotate-before, --notify-before, --expiry, or a --file")
			}
			set, err := c.UpdateKeyRotationPolicy(ctx, target.name, policy, nil)
			return set.KeyRotationPolicy, err
		})
	cmd.Flags().StringVarP(&file, "file", "f", "", "the `file` with the policy, JSON in the service's form; - is standard input")
	cmd.Flags().StringVar(&after, "rotate-after", "", "rotate when a version is this old, a `span` such as P90D")
	cmd.Flags().StringVar(&before, "rotate-before", "", "rotate this `span` before a version expires")
	cmd.Flags().StringVar(&notify, "notify-before", "", "notify this `span` before a version expires")
	cmd.Flags().StringVar(&expiry, "expiry", "", "let new versions expire after this `span`, such as P1Y")
	return cmd
}

func rotationPolicy(after, before, expiry, notify string) (policy azkeys.KeyRotationPolicy) {
	add := func(action azkeys.KeyRotationPolicyAction, trigger azkeys.LifetimeActionTrigger) {
		policy.LifetimeActions = append(policy.LifetimeActions, &azkeys.LifetimeAction{Action: &azkeys.LifetimeActionType{Type: &action}, Trigger: &trigger})
	}
	if after != "" {
		add(azkeys.KeyRotationPolicyActionRotate, azkeys.LifetimeActionTrigger{TimeAfterCreate: &after})
	}
	if before != "" {
		add(azkeys.KeyRotationPolicyActionRotate, azkeys.LifetimeActionTrigger{TimeBeforeExpiry: &before})
	}
	if notify != "" {
		add(azkeys.KeyRotationPolicyActionNotify, azkeys.LifetimeActionTrigger{TimeBeforeExpiry: &notify})
	}
	if expiry != "" {
		policy.Attributes = &azkeys.KeyRotationPolicyAttributes{ExpiryTime: &expiry}
	}
	return policy
}

func (r *remote) keyRelease() *cobra.Command {
	var version, attestation, algorithm, nonce, file string
	cmd := r.onKey("release NAME --attestation FILE --file FILE", "Release an exportable key to an attested environment", "  coffer key release exported --vault demo --attestation token.jwt --file released.jws", nil,
		func(ctx context.Context, cmd *cobra.Command, c *azkeys.Client, target object) (any, error) {
			if err := mustBeFree(file); err != nil {
				return nil, err
			}
			token, err := readInput(cmd, "attestation", attestation)
			if err != nil {
				return nil, err
			}
			parameters := azkeys.ReleaseParameters{TargetAttestationToken: to.Ptr(strings.TrimSpace(string(token)))}
			if algorithm != "" {
				parameters.Algorithm = to.Ptr(azkeys.KeyEncryptionAlgorithm(algorithm))
			}
			if nonce != "" {
				parameters.Nonce = &nonce
			}
			released, err := c.Release(ctx, target.name, firstText(version, target.version), parameters, nil)
			if err != nil {
				return nil, err
			}
			return nil, writeOutput(cmd, file, []byte(orBlank(released.Value)), 0o600)
		})
	cmd.Flags().StringVar(&version, "version", "", "a `version`; the current one if none is named")
	cmd.Flags().StringVar(&attestation, "attestation", "", "the `file` with the environment's attestation, a token; - is standard input")
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "how the key is wrapped, a `name`: CKM_RSA_AES_KEY_WRAP, RSA_AES_KEY_WRAP_256, RSA_AES_KEY_WRAP_384")
	cmd.Flags().StringVar(&nonce, "nonce", "", "a `text` that the attestation has to repeat")
	cmd.Flags().StringVarP(&file, "file", "f", "", "the new `file` for the answer, a signed token; - is standard output")
	return cmd
}
