package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"coffer/internal/client"
)

// A remote is what the commands that talk to a server have in common: its flags, and
// what is done around each of them.
type remote struct {
	settings client.Settings
	output   string
	yes      bool
}

// noun makes the command of a noun; its verbs are added to it. Without a verb it shows
// its help, and with one that does not exist it says so.
func noun(use, short, long, example string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			text := fmt.Sprintf("there is no command %q", cmd.CommandPath()+" "+args[0])
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				text += "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return client.Usagef("%s  (%s --help shows them)", text, cmd.CommandPath())
		},
	}
	cmd.AddCommand(verbs...)
	return cmd
}

// outputFlag is that of every verb that prints an answer.
func (r *remote) outputFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&r.output, "output", "o", "table", "table, or json: the service's own `form`")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// vaultFlags name the vault of a command of the data plane.
func (r *remote) vaultFlags(cmd *cobra.Command) {
	r.outputFlag(cmd)
	cmd.PersistentFlags().StringVar(&r.settings.Vault, "vault", "", "the vault's `name` (default: the variable KEY_VAULT_NAME)")
	cmd.PersistentFlags().StringVar(&r.settings.VaultURL, "vault-url", "", "the vault's address, a `url`; instead of --vault")
	_ = cmd.RegisterFlagCompletionFunc("vault", r.completeVaults)
}

// managementFlags name the control plane.
func (r *remote) managementFlags(cmd *cobra.Command) {
	r.outputFlag(cmd)
	cmd.PersistentFlags().StringVar(&r.settings.ManagementURL, "management-url", "", "the control plane's address, a `url` (default: the variable COFFER_MANAGEMENT_URL, or what AZURE_AUTHORITY_HOST tells)")
	cmd.PersistentFlags().StringVar(&r.settings.Subscription, "subscription", "", "the subscription's `id` (default: the variable AZURE_SUBSCRIPTION_ID, or the only one that you see)")
}

func (r *remote) yesFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&r.yes, "yes", "y", false, "do not ask; without a terminal nothing is asked")
}

// do opens a session and calls fn with it. What takes longer than a second says so.
func (r *remote) do(cmd *cobra.Command, fn func(ctx context.Context, s *client.Session) error) error {
	if r.output != "table" && r.output != "json" {
		return client.Usagef("--output is table or json, not %q", r.output)
	}
	r.settings.Getenv = os.Getenv
	session, err := client.Open(r.settings)
	if err != nil {
		return err
	}
	ctx, stop := contextWithSignals(cmd.Context())
	defer stop()
	defer reportSlowness(cmd)()
	return fn(ctx, session)
}

// slow is how long a command is silent.
const slow = time.Second

// reportSlowness says on stderr that a command is still at work, until it is dismissed.
func reportSlowness(cmd *cobra.Command) (dismiss func()) {
	began := time.Now()
	timer := time.NewTimer(slow)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for wait := slow; ; wait *= 2 {
			select {
			case <-timer.C:
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: still waiting after %s\n", cmd.CommandPath(), time.Since(began).Round(time.Second))
				timer.Reset(wait)
			case <-done:
				timer.Stop()
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// print writes an answer to stdout.
func (r *remote) print(cmd *cobra.Command, value any, columns []client.Column) error {
	return client.Print(cmd.OutOrStdout(), r.output, value, columns)
}

// say tells a person what was done, on stderr, so that stdout has data only.
func say(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
}

// confirm asks on a terminal whether to do what cannot simply be undone. Where there is
// no terminal nobody can answer, and nothing is asked.
func (r *remote) confirm(cmd *cobra.Command, format string, args ...any) error {
	in, ok := cmd.InOrStdin().(*os.File)
	if r.yes || !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), format+" [y/N] ", args...)
	line, err := bufio.NewReader(io.LimitReader(in, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}

// maxInput bounds what is read of a file or of stdin: more than any body that the
// service takes.
const maxInput = 4 << 20

// readInput reads the file that a flag names; "-" is stdin.
func readInput(cmd *cobra.Command, flag, path string) ([]byte, error) {
	if path == "" {
		return nil, client.Usagef("--%s FILE is missing; - is standard input", flag)
	}
	reader := cmd.InOrStdin()
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, client.Usagef("--%s: %v", flag, err)
		}
		defer file.Close()
		reader = file
	}
	text, err := io.ReadAll(io.LimitReader(reader, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	if len(text) > maxInput {
		return nil, client.Usagef("--%s has more than %d bytes", flag, maxInput)
	}
	return text, nil
}

// writeOutput writes data to a file that does not exist yet, or to stdout for "-". The
// mode is 0600 for what only its owner may read.
func writeOutput(cmd *cobra.Command, path string, data []byte, mode os.FileMode) error {
	switch path {
	case "":
		return client.Usagef("--file FILE is missing; - is standard output")
	case "-":
		_, err := cmd.OutOrStdout().Write(data)
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already and was left alone: name another file", path)
	}
	if err != nil {
		return err
	}
	if _, err = file.Write(data); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(path) // half a file is none
		return err
	}
	say(cmd, "coffer: wrote %s", path)
	return nil
}

// mustBeFree refuses early a file that exists, before a server has done anything for it.
func mustBeFree(path string) error {
	if path == "" || path == "-" {
		return nil
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already and was left alone: name another file", path)
	}
	return nil
}

// oneArg asks for the one argument that a verb takes.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return client.Usagef("%s is missing: %s", what, cmd.UseLine())
		case len(args) > 1:
			return client.Usagef("%q is too much: %s", args[1], cmd.UseLine())
		}
		return nil
	}
}

// noArgs refuses arguments, and says how a verb is called.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return client.Usagef("%q is too much: %s", args[0], cmd.UseLine())
	}
	return nil
}
