// Command coffer is a key vault: `coffer run` puts one around a program, `coffer serve`
// runs one for everybody.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"coffer/internal/client"
)

// collectAt lets the heap grow to five times of what is in use before garbage is
// collected. In use are a few megabytes, so memory stays small, and a loaded server
// spends its time on requests.
const collectAt = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// An exitError ends the command with a code; the text, if any, has been written.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// run is the whole command. Data goes to stdout and everything else to stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "coffer",
		Short:         "A key vault that speaks the Azure Key Vault protocols",
		Long:          "Coffer is a key vault that anyone can run. Programs written for Azure Key Vault use it unchanged.\n\nTry it:  KEY_VAULT_NAME=demo coffer run -- python3 my_program.py\n\nA command ends with 0; with 1 if it was refused or could not be done; with 2 if it was written\nwrong, and nothing was asked; with 3 if what it names does not exist. coffer run ends as its\nprogram does.",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(runCommand(), serveCommand(), initCommand(), versionCommand(), janitorCommand())
	root.AddCommand(envCommand(), auditCommand())
	if !isServer(args) {
		root.AddCommand(sealCommand(), checkCommand(), backupCommand(), restoreCommand(), migrateCommand())
		root.AddCommand(vaultCommand(), appCommand(), userCommand(), groupCommand(), policyCommand(), roleCommand(), certCommand(), secretCommand(), keyCommand(), deviceCommand())
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return client.Usagef("%v  (%s --help shows the flags)", err, cmd.CommandPath())
	})
	err := root.ExecuteContext(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	}
	failure := client.Describe(err)
	fmt.Fprintln(stderr, "coffer:", failure)
	if isUsage(err) {
		return client.ExitUsage
	}
	return failure.Code
}

// isServer reports whether the command is one that is started often and is no client: it
// does not wait until a hundred other commands are made.
func isServer(args []string) bool {
	return len(args) > 0 && slices.Contains([]string{"run", "serve", "janitor"}, args[0])
}

// isUsage knows the errors that cobra makes itself, of a command line that was wrong.
func isUsage(err error) bool {
	return strings.HasPrefix(err.Error(), "unknown command ") || strings.HasPrefix(err.Error(), "required flag") || strings.HasPrefix(err.Error(), "if any flags in the group")
}
