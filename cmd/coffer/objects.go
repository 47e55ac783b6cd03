package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coffer/internal/client"
)

// operations are what secrets, keys and certificates have in common, as the vault's
// client of one of them does it.
type operations struct {
	list, listDeleted func(context.Context) (any, error)
	versions          func(ctx context.Context, name string) (any, error)
	get, getDeleted   func(ctx context.Context, name string) (any, error)
	remove, recover   func(ctx context.Context, name string) (any, error)
	purge             func(ctx context.Context, name string) error
	backup            func(ctx context.Context, name string) ([]byte, error)
	restore           func(ctx context.Context, backup []byte) (any, error)
}

// A kind is one of the three: its word, how its operations are opened, and what a table
// shows of it.
type kind struct {
	word    string
	command string // the noun of its commands, where that is another word
	open    func(*client.Session) (operations, error)
	columns []client.Column
	details []client.Column
}

var deletedColumns = client.Columns("NAME", "name", "DELETED", "deletedDate", "PURGE DATE", "scheduledPurgeDate")

func (k kind) noun() string { return firstText(k.command, k.word) }

// An object names one object of a vault.
type object struct{ name, version string }

// target reads the argument of a verb: a name in the vault of the flags, or a whole id,
// which names its vault itself.
func (r *remote) target(k kind, argument, version string) (object, error) {
	of := client.ParseID(argument)
	switch {
	case of.Name == "" && (argument == "" || strings.ContainsAny(argument, "/?#")):
		return object{}, client.Usagef("%q is no name of a %s, and no id of one", argument, k.word)
	case of.Name == "":
		return object{argument, version}, nil
	case r.settings.Vault != "" || r.settings.VaultURL != "":
		return object{}, client.Usagef("the id %s names its vault; leave --vault and --vault-url out", argument)
	case strings.TrimPrefix(of.Collection, "deleted") != k.word+"s":
		return object{}, client.Usagef("%s is no id of a %s", argument, k.word)
	}
	if version == "" {
		version = of.Version
	}
	r.settings.VaultURL = of.VaultURL
	return object{of.Name, version}, nil
}

// on calls fn with the operations of a kind.
func (r *remote) on(cmd *cobra.Command, k kind, fn func(context.Context, operations) error) error {
	return r.do(cmd, func(ctx context.Context, s *client.Session) error {
		of, err := k.open(s)
		if err != nil {
			return err
		}
		return fn(ctx, of)
	})
}

// verbs are the commands that all three kinds have.
func (r *remote) verbs(k kind) []*cobra.Command {
	return []*cobra.Command{
		r.objectList(k), r.objectVersions(k), r.objectDelete(k), r.objectListDeleted(k), r.objectShowDeleted(k), r.objectRecover(k), r.objectPurge(k), r.objectBackup(k), r.objectRestore(k),
	}
}

func (r *remote) objectList(k kind) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the " + k.word + "s of a vault", Args: noArgs, Example: "  coffer " + k.noun() + " list --vault demo\n  coffer " + k.noun() + " list --vault demo --output json | jq -r '.[].name'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.on(cmd, k, func(ctx context.Context, of operations) error {
				found, err := of.list(ctx)
				if err != nil {
					return err
				}
				return r.print(cmd, found, k.columns)
			})
		},
	}
}

func (r *remote) objectListDeleted(k kind) *cobra.Command {
	return &cobra.Command{
		Use: "list-deleted", Short: "List the deleted " + k.word + "s of a vault", Args: noArgs, Example: "  coffer " + k.noun() + " list-deleted --vault demo",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.on(cmd, k, func(ctx context.Context, of operations) error {
				found, err := of.listDeleted(ctx)
				if err != nil {
					return err
				}
				return r.print(cmd, found, deletedColumns)
			})
		},
	}
}

// named makes a verb with one object as its argument, whose answer is printed.
func (r *remote) named(k kind, use, short string, columns []client.Column, names cobra.CompletionFunc, ask func(context.Context, operations, object) (any, error)) *cobra.Command {
	verb, _, _ := strings.Cut(use, " ")
	return r.completing(&cobra.Command{
		Use: use, Short: short, Args: oneArg("the NAME of the " + k.word), Example: "  coffer " + k.noun() + " " + verb + " web --vault demo",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := r.target(k, args[0], "")
			if err != nil {
				return err
			}
			return r.on(cmd, k, func(ctx context.Context, of operations) error {
				answer, err := ask(ctx, of, target)
				if err != nil {
					return err
				}
				return r.print(cmd, answer, columns)
			})
		},
	}, names)
}

func (r *remote) objectVersions(k kind) *cobra.Command {
	columns := append(client.Columns("VERSION", "version"), k.columns[1:]...)
	return r.named(k, "versions NAME", "List the versions of a "+k.word, columns, r.completeObjects(k), func(ctx context.Context, of operations, o object) (any, error) { return of.versions(ctx, o.name) })
}

func (r *remote) objectShowDeleted(k kind) *cobra.Command {
	return r.named(k, "show-deleted NAME", "Show a deleted "+k.word, deletedColumns, r.completeDeleted(k), func(ctx context.Context, of operations, o object) (any, error) { return of.getDeleted(ctx, o.name) })
}

func (r *remote) objectRecover(k kind) *cobra.Command {
	return r.named(k, "recover NAME", "Bring a deleted "+k.word+" back", k.details, r.completeDeleted(k), func(ctx context.Context, of operations, o object) (any, error) {
		recovered, err := of.recover(ctx, o.name)
		if err != nil {
			return nil, err
		}
		return recovered, settle(ctx, func() error { _, err := of.get(ctx, o.name); return err })
	})
}

func (r *remote) objectDelete(k kind) *cobra.Command {
	cmd := r.completing(&cobra.Command{
		Use: "delete NAME", Short: "Delete a " + k.word + " with all its versions; it can be recovered", Args: oneArg("the NAME of the " + k.word), Example: "  coffer " + k.noun() + " delete web --vault demo",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := r.target(k, args[0], "")
			if err != nil {
				return err
			}
			return r.on(cmd, k, func(ctx context.Context, of operations) error {
				if err := r.confirm(cmd, "Delete the %s %s with all its versions?", k.word, target.name); err != nil {
					return err
				}
				deleted, err := of.remove(ctx, target.name)
				if err != nil {
					return err
				}
				if err := settle(ctx, func() error { _, err := of.getDeleted(ctx, target.name); return err }); err != nil {
					return err
				}
				return r.print(cmd, deleted, deletedColumns)
			})
		},
	}, r.completeObjects(k))
	r.yesFlag(cmd)
	return cmd
}

// settle waits until what was asked for can be seen, which takes Azure a few seconds and
// Coffer none. Who may not look is not kept waiting.
func settle(ctx context.Context, look func() error) error {
	for wait := time.Second; ; wait = min(2*wait, 8*time.Second) {
		err := look()
		if err == nil || client.Describe(err).Code != client.ExitNotFound {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *remote) objectPurge(k kind) *cobra.Command {
	cmd := r.completing(&cobra.Command{
		Use: "purge NAME", Short: "Remove a deleted " + k.word + " for ever", Args: oneArg("the NAME of the " + k.word), Example: "  coffer " + k.noun() + " purge web --vault demo --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := r.target(k, args[0], "")
			if err != nil {
				return err
			}
			return r.on(cmd, k, func(ctx context.Context, of operations) error {
				if err := r.confirm(cmd, "Remove the deleted %s %s for ever?", k.word, target.name); err != nil {
					return err
				}
				if err := of.purge(ctx, target.name); err != nil {
					return err
				}
				say(cmd, "coffer: purged the %s %s", k.word, target.name)
				return nil
			})
		},
	}, r.completeDeleted(k))
	r.yesFlag(cmd)
	return cmd
}

func (r *remote) objectBackup(k kind) *cobra.Command {
	var file string
	cmd := r.completing(&cobra.Command{
		Use: "backup NAME --file FILE", Short: "Write a " + k.word + " with all its versions to a file that only a vault can open", Args: oneArg("the NAME of the " + k.word),
		Example: "  coffer " + k.noun() + " backup web --vault demo --file web.backup",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := r.target(k, args[0], "")
			if err != nil {
				return err
			}
			if err := mustBeFree(file); err != nil {
				return err
			}
			return r.on(cmd, k, func(ctx context.Context, of operations) error {
				backup, err := of.backup(ctx, target.name)
				if err != nil {
					return err
				}
				return writeOutput(cmd, file, backup, 0o600)
			})
		},
	}, r.completeObjects(k))
	cmd.Flags().StringVarP(&file, "file", "f", "", "the new `file`; - is standard output")
	return cmd
}

func (r *remote) objectRestore(k kind) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "restore --file FILE", Short: "Bring a " + k.word + " back from a backup", Args: noArgs, Example: "  coffer " + k.noun() + " restore --vault demo --file web.backup",
		RunE: func(cmd *cobra.Command, _ []string) error {
			backup, err := readInput(cmd, "file", file)
			if err != nil {
				return err
			}
			return r.on(cmd, k, func(ctx context.Context, of operations) error {
				restored, err := of.restore(ctx, backup)
				if err != nil {
					return err
				}
				return r.print(cmd, restored, k.details)
			})
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the `file` of the backup; - is standard input")
	return cmd
}

func (r *remote) completeObjects(k kind) cobra.CompletionFunc {
	return r.completeFrom(k, func(ctx context.Context, of operations) (any, error) { return of.list(ctx) })
}

func (r *remote) completeDeleted(k kind) cobra.CompletionFunc {
	return r.completeFrom(k, func(ctx context.Context, of operations) (any, error) { return of.listDeleted(ctx) })
}

func (r *remote) completeFrom(k kind, list func(context.Context, operations) (any, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return r.complete(cmd, begun, func(ctx context.Context, s *client.Session) ([]string, error) {
			of, err := k.open(s)
			if err != nil {
				return nil, err
			}
			found, err := list(ctx, of)
			if err != nil {
				return nil, err
			}
			return client.Names(found)
		})
	}
}
