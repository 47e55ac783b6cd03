package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"coffer/internal/client"
	"coffer/internal/httpd"
	"coffer/internal/server"
)

func serveCommand() *cobra.Command {
	var path string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Serve vaults on an own domain",
		Long: `Serve the vaults of an installation that coffer init has made, until the process is
asked to stop (SIGTERM or Ctrl-C). Requests under way are finished then.`,
		Example: "  coffer serve --config coffer.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := harden(); err != nil {
				return fmt.Errorf("core dumps cannot be switched off: %w", err)
			}
			config, err := server.ReadConfig(path)
			if err != nil {
				return err
			}
			config.Prompt = func() ([]byte, error) { return askPassphrase(cmd, "Passphrase of the seal: ") }
			stderr := &lockedWriter{w: cmd.ErrOrStderr()}
			log := slog.New(slog.NewTextHandler(stderr, nil))
			var access func(httpd.Access)
			if verbose {
				access = func(a httpd.Access) { printAccess(stderr, a) }
			}
			ctx, stop := contextWithSignals(cmd.Context())
			defer stop()
			return explainSeal(server.Serve(ctx, config, log, access, func(address net.Addr) {
				log.Info("serving", "address", address.String(), "vaults", config.VaultURL("NAME"))
			}))
		},
	}
	cmd.Flags().StringVar(&path, "config", "coffer.yaml", "the configuration `file`")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "show each request on stderr")
	return cmd
}

func initCommand() *cobra.Command {
	var i server.Init
	var output string
	var database server.PostgresConfig
	cmd := &cobra.Command{
		Use:   "init --domain DOMAIN",
		Short: "Make an installation for coffer serve",
		Long: `Make everything that coffer serve needs in a directory: a commented configuration, the
root key, a certificate authority, the store, and the application of the first
administrator, whose secret is printed once and kept nowhere.`,
		Example: "  coffer init --dir /var/lib/coffer --domain coffer.example.com --vault main",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return client.Usagef("--output is table or json, not %q", output)
			}
			if err := inDatabase(&i, database); err != nil {
				return err
			}
			made, err := server.Initialize(cmd.Context(), i, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})))
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(made)
			}
			return printMade(cmd.OutOrStdout(), made)
		},
	}
	cmd.Flags().StringVar(&i.Dir, "dir", ".", "the `directory` to make it in")
	cmd.Flags().StringVar(&i.Domain, "domain", "", "the `domain` that the installation has to itself")
	cmd.Flags().StringVar(&i.Listen, "listen", "127.0.0.1:8443", "the `address` to listen on")
	cmd.Flags().StringVar(&database.URL, "postgres", "", "keep everything in the database at this `url`, postgres://USER@HOST/DATABASE, instead of a file")
	cmd.Flags().StringVar(&database.PasswordFile, "postgres-password-file", "", "the `file` with the password of the database's user")
	cmd.Flags().StringArrayVar(&i.Vaults, "vault", nil, "make a vault with this `name` for the administrator; may be repeated")
	cmd.Flags().StringVar(&output, "output", "table", "table or json")
	_ = cmd.MarkFlagRequired("domain") // the flag is defined above
	return cmd
}

// inDatabase has the store made in a database, if one is named.
func inDatabase(i *server.Init, database server.PostgresConfig) (err error) {
	switch {
	case database.URL == "" && database.PasswordFile == "":
		return nil
	case database.URL == "":
		return client.Usagef("--postgres-password-file needs --postgres")
	case database.PasswordFile != "": // the configuration may lie elsewhere
		database.PasswordFile, err = filepath.Abs(database.PasswordFile)
	}
	i.Postgres = &database
	return err
}

func printMade(w io.Writer, m server.Made) error {
	vaults := "none yet: coffer vault create NAME makes one, once the server runs and you are signed in"
	if len(m.VaultURLs) > 0 {
		vaults = strings.Join(m.VaultURLs, " ")
	}
	var variables strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.Environment)) {
		fmt.Fprintf(&variables, "  %s=%s\n", name, m.Environment[name])
	}
	_, err := fmt.Fprintf(w, `Made %s
Vaults  %s

The first administrator. The secret is not kept; write it down now:

%s
Clients have to trust %s. Next: coffer serve --config %s
and for a shell with these variables: coffer env --config %s --client-id %s --client-secret-file FILE
`, m.Config, vaults, variables.String(), m.AuthorityFile, m.Config, m.Config, m.ClientID)
	return err
}
