package main

import (
	"github.com/spf13/cobra"

	"coffer/internal/client"
)

var migrateColumns = client.Columns("INSTALLATION", "installation", "RECORDS", "records", "COPIED", "copied", "DUE", "due", "BYTES", "bytes")

func migrateCommand() *cobra.Command {
	from, to := &keeper{}, &keeper{}
	cmd := &cobra.Command{
		Use: "migrate --from CONFIG --to CONFIG", Short: "Copy everything from one store to another, such as a database", Args: noArgs,
		Long: `Copy everything from the store of one configuration to that of another: from a file to a
PostgreSQL database, or the other way. Stop every server of both first. The store to move to is
empty or does not exist, and both configurations name the same seal.

At the end both stores are compared record by record, and only then the new one opens. If the
command is ended in between, run it again: it goes on. The old store is not changed; move it
away, so that nothing serves it any more.`,
		Example: "  coffer migrate --from coffer.yaml --to database.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			from.output = to.output
			source, err := from.config(cmd)
			if err != nil {
				return err
			}
			config, err := to.config(cmd)
			if err != nil {
				return err
			}
			done, err := config.Migrate(cmd.Context(), source, warnings(cmd.ErrOrStderr()))
			if err != nil {
				return explainSeal(err)
			}
			return client.Print(cmd.OutOrStdout(), to.output, done, migrateColumns)
		},
	}
	to.outputFlag(cmd)
	cmd.Flags().StringVar(&from.path, "from", "", "the configuration `file` of the store to move")
	cmd.Flags().StringVar(&to.path, "to", "", "the configuration `file` of the store to move to")
	_ = cmd.MarkFlagRequired("from") // the flags are defined above
	_ = cmd.MarkFlagRequired("to")
	return cmd
}
