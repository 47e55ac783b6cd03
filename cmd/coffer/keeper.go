package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"coffer/internal/client"
	"coffer/internal/seal"
	"coffer/internal/server"
)

// The exit codes of the commands that look after an installation, beside those of all.
const (
	exitFindings = 4 // coffer check found something that is wrong
	exitSeal     = 5 // the seal cannot be reached: the same command may work later
)

// A keeper is what the commands that look after an installation share: they reach a
// server that runs by its socket, and do without one if none runs.
type keeper struct {
	path   string
	output string
}

func (k *keeper) flags(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&k.path, "config", "coffer.yaml", "the configuration `file` of coffer serve")
	k.outputFlag(cmd)
}

func (k *keeper) outputFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&k.output, "output", "o", "table", "table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// config reads the configuration, with a person to ask for the passphrase.
func (k *keeper) config(cmd *cobra.Command) (server.Config, error) {
	if k.output != "table" && k.output != "json" {
		return server.Config{}, client.Usagef("--output is table or json, not %q", k.output)
	}
	config, err := server.ReadConfig(k.path)
	config.Prompt = sync.OnceValues(func() ([]byte, error) { return askPassphrase(cmd, "Passphrase of the seal: ") })
	return config, err
}

// administer does a verb, with or without a server.
func (k *keeper) administer(cmd *cobra.Command, verb string, r server.AdminRequest, out any) error {
	config, err := k.config(cmd)
	if err != nil {
		return err
	}
	return explainSeal(config.Administer(cmd.Context(), verb, r, out, warnings(cmd.ErrOrStderr())))
}

func warnings(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// explainSeal gives a seal that cannot be reached its own exit code.
func explainSeal(err error) error {
	if errors.Is(err, seal.ErrUnavailable) {
		return &client.Failure{Code: exitSeal, Text: err.Error(), Next: "nothing was changed; try again when the seal can be reached"}
	}
	return err
}

// askPassphrase reads a passphrase from the terminal, unseen, or one line of the standard
// input.
func askPassphrase(cmd *cobra.Command, label string) ([]byte, error) {
	in, ok := cmd.InOrStdin().(*os.File)
	if ok && term.IsTerminal(int(in.Fd())) {
		fmt.Fprint(cmd.ErrOrStderr(), label)
		defer fmt.Fprintln(cmd.ErrOrStderr())
		return term.ReadPassword(int(in.Fd()))
	}
	line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 4096)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// readChoice reads a new seal, and asks for its passphrase if it has one that is typed.
func readChoice(cmd *cobra.Command, path string) (*server.SealChoice, error) {
	choice, err := server.ReadSealChoice(path)
	if err != nil {
		return nil, err
	}
	if choice.Prompts() {
		if choice.Seal.Passphrase.Given, err = askPassphrase(cmd, "New passphrase of the seal: "); err != nil {
			return nil, err
		}
	}
	return &choice, nil
}

var keyColumns = client.Columns("USE", "use", "KEY", "key", "PRIMARY", "primary", "UNTIL", "until", "RECORDS", "records")

// printStatus prints the seal, and its keys as a table.
func (k *keeper) printStatus(w io.Writer, status server.SealStatus) error {
	if k.output == "json" {
		return client.Print(w, k.output, status, nil)
	}
	reachable := ""
	if !status.Reachable {
		reachable = ", which cannot be reached"
	}
	if _, err := fmt.Fprintf(w, "Installation  %s\nSealed by     %s%s\nCounter       %d\n\n", status.Installation, status.Description, reachable, status.Counter); err != nil {
		return err
	}
	return client.Print(w, k.output, status.Keys, keyColumns)
}

// statusVerb is a verb that answers with the status.
func (k *keeper) statusVerb(cmd *cobra.Command, verb string, r server.AdminRequest) error {
	var status server.SealStatus
	if err := k.administer(cmd, verb, r, &status); err != nil {
		return err
	}
	return k.printStatus(cmd.OutOrStdout(), status)
}
