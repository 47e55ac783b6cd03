package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"coffer/internal/client"
	"coffer/internal/server"
)

var findingColumns = client.Columns("KEY", "key", "PROBLEM", "problem", "REPAIR", "repair")

func checkCommand() *cobra.Command {
	k := &keeper{}
	var repair bool
	cmd := &cobra.Command{
		Use: "check", Short: "Read and verify everything in the store", Args: cobra.NoArgs,
		Long: `Read one snapshot of the store, while the server serves or while it does not: open every record,
and see whether each certificate, key and secret belong together, whether indexes and due work
are there for what needs them, and whether the directory and its role assignments are whole.

With --repair what can be derived from the rest is made right: indexes and due work. What was
altered or is missing otherwise comes from a backup only.

The exit code is 0 if all is well, 4 if something is wrong and was not repaired, 5 if the seal
cannot be reached, and 1 if the check could not be made.`,
		Example: "  coffer check --config coffer.yaml\n  coffer check --repair --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var found server.Checked
			if err := k.administer(cmd, server.VerbCheck, server.AdminRequest{Repair: repair}, &found); err != nil {
				return err
			}
			if k.output == "json" {
				if err := client.Print(cmd.OutOrStdout(), k.output, found, nil); err != nil {
					return err
				}
			} else if len(found.Findings) > 0 {
				if err := client.Print(cmd.OutOrStdout(), k.output, found.Findings, findingColumns); err != nil {
					return err
				}
			}
			say(cmd, "%d records and %d due rows were read; %d things were wrong", found.Records, found.Due, len(found.Findings))
			if found.Wrong() {
				return &client.Failure{Code: exitFindings, Text: "the store is not as it should be", Next: fmt.Sprintf("coffer check --repair --config %s repairs what it can; restore the rest from a backup", k.path)}
			}
			return nil
		},
	}
	k.flags(cmd)
	cmd.Flags().BoolVar(&repair, "repair", false, "make right what can be derived from the rest")
	return cmd
}
