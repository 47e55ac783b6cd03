package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"coffer/internal/audit"
	"coffer/internal/client"
	"coffer/internal/server"
)

// exitChanged says that a log was verified, and is not what was written.
const exitChanged = 4

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Verify and search the audit log of coffer serve",
		Example: "  coffer audit verify --config coffer.yaml\n  coffer audit query --config coffer.yaml --result Denied",
		Args:    cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(auditVerifyCommand(), auditQueryCommand(), auditKeyCommand())
	return cmd
}

func auditVerifyCommand() *cobra.Command {
	var path, keyFile string
	cmd := &cobra.Command{
		Use:   "verify [FILE…]",
		Short: "Find lines that were removed, altered or reordered",
		Long: `Verify the chain of the audit log: every line, that every file goes on where the one
before it ends, and that nothing is missing at the end. Without FILE the log that the
configuration names is verified, with the files that were put away.

The key of the chain is in the store, so the server has to be stopped; or it comes from a
file that coffer audit export-key has made before.

The exit code is 0 if all lines are what was written, 4 if they are not, and 1 if that
could not be found out.`,
		Example: "  coffer audit verify --config coffer.yaml\n  coffer audit verify --key-file chain.json audit.log audit.log.000001",
		RunE: func(cmd *cobra.Command, files []string) error {
			var config server.Config
			var err error
			if keyFile == "" || len(files) == 0 {
				if config, err = server.ReadConfig(path); err != nil {
					return err
				}
			}
			chain, err := readChain(cmd, config, keyFile)
			if err != nil {
				return err
			}
			if files, err = auditFiles(config, files); err != nil {
				return err
			}
			return verifyFiles(cmd.OutOrStdout(), cmd.ErrOrStderr(), files, chain)
		},
	}
	cmd.Flags().StringVar(&path, "config", "coffer.yaml", "the configuration `file` of the installation")
	cmd.Flags().StringVar(&keyFile, "key-file", "", "a `file` that coffer audit export-key has made")
	return cmd
}

func readChain(cmd *cobra.Command, config server.Config, keyFile string) (audit.Chain, error) {
	var chain audit.Chain
	if keyFile == "" {
		log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		chain, err := server.ReadAuditChain(cmd.Context(), config, log)
		if err != nil {
			return chain, fmt.Errorf("the key of the chain cannot be read from the store: %w; while the server runs, use --key-file", err)
		}
		return chain, nil
	}
	text, err := server.ReadPrivate(keyFile)
	if err != nil {
		return chain, fmt.Errorf("the key of the chain cannot be read: %w", err)
	}
	if err := json.Unmarshal(text, &chain); err != nil || len(chain.Key) == 0 {
		return chain, fmt.Errorf("%s was not made by coffer audit export-key", keyFile)
	}
	return chain, nil
}

// auditFiles are those that were named, or those of the configuration, the oldest first.
func auditFiles(config server.Config, files []string) ([]string, error) {
	if len(files) > 0 {
		return files, nil
	}
	old, err := audit.PutAway(config.AuditFile)
	return append(old, config.AuditFile), err
}

func verifyFiles(stdout, stderr io.Writer, paths []string, chain audit.Chain) error {
	var sources []audit.Source
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		sources = append(sources, audit.Source{Name: path, Text: file})
	}
	reports, changed := audit.VerifyFiles(sources, chain.Key, chain.Heads)
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FILE\tNODE\tLINES\tFROM\tTO\tTORN\tRESULT")
	for _, r := range reports {
		result := "verified"
		if r.Err != nil {
			result = "CHANGED"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%s\n", r.Name, r.Head.Node, r.Lines, r.First, r.Head.Sequence, r.Torn, result)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if changed != nil {
		fmt.Fprintln(stderr, changed)
		return &exitError{exitChanged}
	}
	return nil
}

func auditKeyCommand() *cobra.Command {
	var path, out string
	cmd := &cobra.Command{
		Use:   "export-key --out FILE",
		Short: "Write the key by which the log is verified to a file",
		Long: `Write the key of the chain, and how far the log goes now, to a file that only you can
read. With it the log can be verified while the server runs, and on another machine. The
server has to be stopped meanwhile.

Whoever has this file can also forge lines that verify: give it to whoever audits, and to
nobody who can write the log.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := server.ReadConfig(path)
			if err != nil {
				return err
			}
			chain, err := readChain(cmd, config, "")
			if err != nil {
				return err
			}
			text, err := json.Marshal(chain)
			if err != nil {
				return err
			}
			file, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			_, err = file.Write(append(text, '\n'))
			return errors.Join(err, file.Sync(), file.Close())
		},
	}
	cmd.Flags().StringVar(&path, "config", "coffer.yaml", "the configuration `file` of the installation")
	cmd.Flags().StringVar(&out, "out", "", "the `file` to make")
	_ = cmd.MarkFlagRequired("out") // the flag is defined above
	return cmd
}

func auditQueryCommand() *cobra.Command {
	var path, since, until, output string
	var q audit.Query
	cmd := &cobra.Command{
		Use:   "query [FILE…]",
		Short: "Search the log by time, caller, object, operation and result",
		Long: `Show the lines of the log that fit every flag. Without FILE the log that the
configuration names is searched, with the files that were put away. With --output json
each line is shown as it stands in the log. Lines are shown, not verified.`,
		Example: "  coffer audit query --since 24h --operation 'Secret*' --result Denied\n  coffer audit query --object /secrets/db --output json audit.log",
		RunE: func(cmd *cobra.Command, files []string) (err error) {
			if output != "table" && output != "json" {
				return client.Usagef("--output is table or json, not %q", output)
			}
			if q.Since, err = readTime("since", since); err != nil {
				return err
			}
			if q.Until, err = readTime("until", until); err != nil {
				return err
			}
			var config server.Config
			if len(files) == 0 {
				if config, err = server.ReadConfig(path); err != nil {
					return err
				}
			}
			if files, err = auditFiles(config, files); err != nil {
				return err
			}
			return queryFiles(cmd.OutOrStdout(), cmd.ErrOrStderr(), files, q, output)
		},
	}
	cmd.Flags().StringVar(&path, "config", "coffer.yaml", "the configuration `file` of the installation")
	cmd.Flags().StringVar(&since, "since", "", "from this `time` on: 2027-01-31, 2027-01-31T12:00:00Z, or 24h ago")
	cmd.Flags().StringVar(&until, "until", "", "before this `time`, in the same forms")
	cmd.Flags().StringVar(&q.Caller, "caller", "", "the application or object `id` of who asked, or the part of the server")
	cmd.Flags().StringVar(&q.Object, "object", "", "a part of the `id` of the object or vault")
	cmd.Flags().StringVar(&q.Operation, "operation", "", "the `name`, such as SecretGet; 'Secret*' for all that begin so")
	cmd.Flags().StringVar(&q.Result, "result", "", "Success, Failure, Denied or Started, or a `code` such as SecretNotFound")
	cmd.Flags().StringVar(&output, "output", "table", "table or json")
	return cmd
}

// readTime reads a time, or how long it is ago.
func readTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, client.Usagef("--%s is a time such as 2027-01-31, 2027-01-31T12:00:00Z or 24h, not %q", flag, text)
}

func queryFiles(stdout, stderr io.Writer, paths []string, q audit.Query, output string) error {
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	show := func(e audit.Entry) error {
		if output == "json" {
			_, err := stdout.Write(append(e.Text, '\n'))
			return err
		}
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Time.Format(time.RFC3339), printable(e.Operation), e.Result, printable(e.Code), printable(e.Caller), printable(e.Address), printable(e.Object))
		return err
	}
	if output == "table" {
		fmt.Fprintln(table, "TIME\tOPERATION\tRESULT\tCODE\tCALLER\tADDRESS\tOBJECT")
	}
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		odd, err := audit.Search(file, q, show)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
		if odd > 0 {
			fmt.Fprintf(stderr, "coffer: %s has %d lines that are not of an audit log; coffer audit verify says more\n", path, odd)
		}
	}
	return table.Flush()
}
