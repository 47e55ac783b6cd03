package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"coffer/internal/client"
	"coffer/internal/seal"
	"coffer/internal/server"
)

func sealCommand() *cobra.Command {
	k := &keeper{}
	cmd := noun("seal", "The seal: what keeps the root key, and the keys below it",
		`Show and change what keeps the root key of an installation, and the keys that it wraps, while
the server serves or while it does not. A root key wraps data keys, and data keys seal
records. Every verb but reseal is one commit: it has happened or it has not.`,
		`  coffer seal status --config coffer.yaml
  coffer seal rotate-data && coffer seal reseal
  coffer seal retire 1f2e3d4c
  coffer seal change --to new-seal.yaml`,
		k.sealStatus(), k.sealRotateRoot(), k.sealRotateData(), k.sealReseal(), k.sealRetire(), k.sealChange(), k.sealPin(), sealCreateKey())
	k.flags(cmd)
	return cmd
}

func (k *keeper) sealStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the seal, the data keys, and how many records need each", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.statusVerb(cmd, server.VerbStatus, server.AdminRequest{})
		},
	}
}

func (k *keeper) sealRotateRoot() *cobra.Command {
	return &cobra.Command{
		Use: "rotate-root", Short: "Make a new root key, which the same seal keeps", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.statusVerb(cmd, server.VerbRotateRoot, server.AdminRequest{})
		},
	}
}

func (k *keeper) sealRotateData() *cobra.Command {
	var blobs bool
	cmd := &cobra.Command{
		Use: "rotate-data", Short: "Make a new data key, which seals from then on", Args: cobra.NoArgs,
		Long: `Make a new data key, which seals from then on; the former ones still open. coffer seal reseal
then seals all records with it. With --blobs the new key is for what leaves the store:
backups of certificates, keys and secrets, and archives of coffer backup.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			use := seal.Records
			if blobs {
				use = seal.Blobs
			}
			return k.statusVerb(cmd, server.VerbRotateData, server.AdminRequest{Use: use})
		},
	}
	cmd.Flags().BoolVar(&blobs, "blobs", false, "the key for backups and archives, not the one for records")
	return cmd
}

func (k *keeper) sealReseal() *cobra.Command {
	return &cobra.Command{
		Use: "reseal", Short: "Seal all records with the newest data key", Args: cobra.NoArgs,
		Long: `Seal all records with the newest data key, one after the other, while they are in use. When it
is interrupted, run it again: it does what is left.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var done server.Resealed
			if err := k.administer(cmd, server.VerbReseal, server.AdminRequest{}, &done); err != nil {
				return err
			}
			if k.output == "json" {
				return client.Print(cmd.OutOrStdout(), k.output, done, nil)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d of %d records were sealed anew\n", done.Resealed, done.Records)
			return err
		},
	}
}

func (k *keeper) sealRetire() *cobra.Command {
	var confirm string
	cmd := &cobra.Command{
		Use: "retire KEY", Short: "Remove a data key that nothing needs", Args: cobra.ExactArgs(1),
		Long: `Remove a data key, by the id that coffer seal status shows. A key for records is removed only
if no record is sealed with it, which a scan of all of them proves, and not before five minutes
after it was replaced. Lists that clients are half way through, and refresh tokens, from before
its replacement end with it.

A key for backups and archives may be needed by something outside. It is removed only with
--confirm and the day until which it was in use: backups from before never open again.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return k.statusVerb(cmd, server.VerbRetire, server.AdminRequest{Key: args[0], Confirm: confirm})
		},
	}
	cmd.Flags().StringVar(&confirm, "confirm", "", "the `day` until which backups will no longer open")
	return cmd
}

func (k *keeper) sealChange() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "change --to FILE", Short: "Make a new root key, and give it to another seal", Args: cobra.NoArgs,
		Long: `Make a new root key, and give it to another seal, or to the same with another passphrase or key. The file has
the lines that the configuration will have: root_key_file, or seal. The new seal is tried before
anything changes. Put the lines into the configuration afterwards, before the next start.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			choice, err := readChoice(cmd, to)
			if err != nil {
				return err
			}
			if err := k.statusVerb(cmd, server.VerbChange, server.AdminRequest{To: choice}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "coffer: the store is sealed anew. Put the lines of %s into %s now: the next start needs them\n", to, k.path)
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the `file` with the new seal")
	_ = cmd.MarkFlagRequired("to") // the flag is defined above
	return cmd
}

func (k *keeper) sealPin() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "pin --file FILE", Short: "Note how far the store has come, against its roll-back", Args: cobra.NoArgs,
		Long: `Write the store's counter into a file. A server whose configuration names the file as pin_file
does not open a store whose counter is behind: one that was put back from a copy. Keep the file
where who can replace the store cannot write, and pin again regularly.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var pin server.Pin
			if err := k.administer(cmd, server.VerbPin, server.AdminRequest{}, &pin); err != nil {
				return err
			}
			text, err := json.Marshal(pin)
			if err != nil {
				return err
			}
			if err := replaceFile(file, append(text, '\n')); err != nil {
				return err
			}
			return client.Print(cmd.OutOrStdout(), k.output, []server.Pin{pin}, client.Columns("INSTALLATION", "installation", "COUNTER", "counter"))
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the `file` to write, or to replace")
	_ = cmd.MarkFlagRequired("file") // the flag is defined above
	return cmd
}

// replaceFile writes a file so that it is the old one or the new one at every moment.
func replaceFile(path string, text []byte) error {
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary)
	}
	return err
}

func sealCreateKey() *cobra.Command {
	return &cobra.Command{
		Use: "create-key FILE", Short: "Make a root key file, for coffer seal change", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := seal.NewRootKey(rand.Reader)
			if err != nil {
				return err
			}
			return seal.WriteRootKeyFile(args[0], key)
		},
	}
}
