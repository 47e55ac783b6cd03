package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"coffer/internal/client"
	"coffer/internal/server"
)

var (
	backupColumns  = client.Columns("FILE", "file", "ID", "id", "BASE", "base", "RECORDS", "records", "CHANGED", "changed", "BYTES", "bytes")
	restoreColumns = client.Columns("INSTALLATION", "installation", "MADE", "made", "RECORDS", "records", "DUE", "due", "BYTES", "bytes")
)

func backupCommand() *cobra.Command {
	k := &keeper{}
	var base string
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write everything in the store to one sealed file", Args: cobra.ExactArgs(1),
		Long: `Write a consistent snapshot of the store to a new file, while the server serves or while it does
not. The server writes the file, as its own user. It is sealed: to restore it, the seal that the
installation has at this moment is needed (its root key file, its passphrase, or its key), and
nothing else. Without the seal it is worth nothing: keep a copy of that, elsewhere.

With --base only what has changed since another archive is written; to restore it, the base is
needed as well. The audit log is not in it.`,
		Example: "  coffer backup /backup/monday.coffer\n  coffer backup /backup/tuesday.coffer --base /backup/monday.coffer",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r := server.AdminRequest{}
			if r.File, err = filepath.Abs(args[0]); err != nil {
				return err
			}
			if base != "" {
				if r.Base, err = filepath.Abs(base); err != nil {
					return err
				}
			}
			var done server.BackedUp
			if err := k.administer(cmd, server.VerbBackup, r, &done); err != nil {
				return err
			}
			return client.Print(cmd.OutOrStdout(), k.output, done, backupColumns)
		},
	}
	k.flags(cmd)
	cmd.Flags().StringVar(&base, "base", "", "write what has changed since this archive, a `file`")
	return cmd
}

func restoreCommand() *cobra.Command {
	k := &keeper{}
	var ifEmpty bool
	cmd := &cobra.Command{
		Use: "restore FILE [BASE...]", Short: "Fill an empty store from a backup", Args: cobra.MinimumNArgs(1),
		Long: `Fill the store of the configuration, which must not exist yet or be empty, from a file of
coffer backup. A file that builds on another is followed by its base, and that by its own. The
configuration names the seal that the installation had when the backup was made.

Everything is verified before anything is written: a file that was altered or cut short, or that
is of another seal, changes nothing. What was done after the backup is gone: applications and
permissions that were removed since are there again.

With --if-empty a store that has something in it is left as it is, and that is no error: so a
container can fill its volume at the first start, and only then.`,
		Example: "  coffer restore --config new.yaml /backup/tuesday.coffer /backup/monday.coffer",
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := k.config(cmd)
			if err != nil {
				return err
			}
			if ifEmpty {
				if filled, err := config.Filled(cmd.Context()); err != nil || filled {
					return err
				}
			}
			done, err := config.Restore(cmd.Context(), args, warnings(cmd.ErrOrStderr()))
			if err != nil {
				return explainSeal(err)
			}
			return client.Print(cmd.OutOrStdout(), k.output, done, restoreColumns)
		},
	}
	k.flags(cmd)
	cmd.Flags().BoolVar(&ifEmpty, "if-empty", false, "do nothing if the store has something in it")
	return cmd
}
