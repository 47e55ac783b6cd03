package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"coffer/internal/client"
	"coffer/internal/server"
)

// carried are the variables that lead a program to its vaults, as coffer run sets them
// and as people set them for an installation.
var carried = []string{
	"AZURE_AUTHORITY_HOST", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CONFIG_DIR",
	"AZURE_CORE_COLLECT_TELEMETRY", "AZURE_SUBSCRIPTION_ID", "COFFER_MANAGEMENT_URL", "KEY_VAULT_NAME",
	"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy",
	"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "JAVA_TOOL_OPTIONS",
}

// shells are the forms in which a variable is set.
var shells = map[string]func(name, value string) string{
	"bash": posix, "zsh": posix, "sh": posix,
	"fish": func(name, value string) string {
		return "set -gx " + name + " '" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
	},
	"powershell": func(name, value string) string {
		return "$Env:" + name + " = '" + strings.ReplaceAll(value, "'", "''") + "'"
	},
}

func posix(name, value string) string {
	return "export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// An envFlags says for which installation the variables are.
type envFlags struct{ shell, config, domain, ca, clientID, secretFile string }

func envCommand() *cobra.Command {
	var f envFlags
	cmd := &cobra.Command{
		Use: "env", Short: "Print the variables by which programs find their vaults, for a shell", Args: noArgs,
		Long: `Print the variables by which programs find their vaults and sign in, as commands for a
shell.

With --config they are those of an installation of coffer serve, and with --domain and
--ca-file those of one on another machine: where tokens come from, whom to trust, and the
application that --client-id and --client-secret-file name, or AZURE_CLIENT_ID and
AZURE_CLIENT_SECRET of the environment. A secret is never an argument.

Without them they are those of the environment that this command has: inside coffer run
they let another terminal into the same run. Then, and whenever a secret is known, what is
printed has it.`,
		Example: `  eval "$(coffer env --config /var/lib/coffer/coffer.yaml --client-id ID --client-secret-file secret)"
  coffer env --domain coffer.example.com --ca-file ca.pem --shell fish | source
  coffer env --shell powershell | Out-String | Invoke-Expression`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			form, err := f.form(os.Getenv("SHELL"))
			if err != nil {
				return err
			}
			variables, err := f.variables(cmd, os.LookupEnv)
			if err != nil {
				return err
			}
			return printVariables(cmd.OutOrStdout(), form, variables)
		},
	}
	cmd.Flags().StringVar(&f.shell, "shell", "", "the `shell`: bash, zsh, sh, fish or powershell (default: the variable SHELL)")
	cmd.Flags().StringVar(&f.config, "config", "", "the configuration `file` of an installation")
	cmd.Flags().StringVar(&f.domain, "domain", "", "the `domain` of an installation, with its port if that is not 443")
	cmd.Flags().StringVar(&f.ca, "ca-file", "", "the `file` with the authority of the installation at --domain")
	cmd.Flags().StringVar(&f.clientID, "client-id", "", "the application's client `id`")
	cmd.Flags().StringVar(&f.secretFile, "client-secret-file", "", "the `file` with its secret; - is standard input")
	cmd.MarkFlagsMutuallyExclusive("config", "domain")
	_ = cmd.RegisterFlagCompletionFunc("shell", cobra.FixedCompletions(slices.Sorted(maps.Keys(shells)), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// form is that of the shell that is named, or of the user's own.
func (f *envFlags) form(login string) (func(name, value string) string, error) {
	name := f.shell
	switch {
	case name != "":
	case login != "" && shells[filepath.Base(login)] != nil:
		name = filepath.Base(login)
	case runtime.GOOS == "windows":
		name = "powershell"
	default:
		name = "sh"
	}
	if shells[name] == nil {
		return nil, client.Usagef("--shell is %s, not %q", strings.Join(slices.Sorted(maps.Keys(shells)), ", "), name)
	}
	return shells[name], nil
}

func printVariables(w io.Writer, form func(name, value string) string, variables map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if _, err := fmt.Fprintln(w, form(name, variables[name])); err != nil {
			return err
		}
	}
	return nil
}

func (f *envFlags) variables(cmd *cobra.Command, lookup func(string) (string, bool)) (map[string]string, error) {
	if f.config == "" && f.domain == "" {
		if f.ca != "" || f.clientID != "" || f.secretFile != "" {
			return nil, client.Usagef("say for which installation: --config FILE or --domain DOMAIN")
		}
		return inherited(lookup)
	}
	out, err := f.installation()
	if err != nil {
		return nil, err
	}
	return out, f.application(cmd, out, lookup)
}

// inherited are the variables that the environment has.
func inherited(lookup func(string) (string, bool)) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range carried {
		if value, ok := lookup(name); ok {
			out[name] = value
		}
	}
	if out["AZURE_CLIENT_ID"] == "" && out["AZURE_AUTHORITY_HOST"] == "" && out["IDENTITY_ENDPOINT"] == "" {
		return nil, &client.Failure{Code: client.ExitFailure, Text: "the environment has no variables of a vault", Next: "run this inside coffer run -- bash, or name an installation: --config FILE or --domain DOMAIN"}
	}
	return out, nil
}

// installation are the variables that every client of an installation has.
func (f *envFlags) installation() (map[string]string, error) {
	authority, ca := "https://login."+f.domain, f.ca
	if f.config != "" {
		config, err := server.ReadConfig(f.config)
		if err != nil {
			return nil, err
		}
		authority = config.AuthorityHost()
		if ca == "" {
			ca = config.TLS.AuthorityFile
		}
	}
	if err := client.CheckAuthority(authority); err != nil {
		return nil, err
	}
	out := map[string]string{"AZURE_AUTHORITY_HOST": authority, "AZURE_TENANT_ID": "adfs"} // not by its id: their libraries would ask the public cloud about the host
	if ca == "" {
		return out, nil
	}
	ca, err := filepath.Abs(ca)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(ca); err != nil {
		return nil, client.Usagef("the authority's file cannot be read: %v", err)
	}
	for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} {
		out[name] = ca
	}
	return out, nil
}

// application adds who signs in, as far as that is known.
func (f *envFlags) application(cmd *cobra.Command, out map[string]string, lookup func(string) (string, bool)) error {
	id, secret := f.clientID, ""
	if id == "" {
		id, _ = lookup("AZURE_CLIENT_ID")
	}
	if f.secretFile != "" {
		text, err := readInput(cmd, "client-secret-file", f.secretFile)
		if err != nil {
			return err
		}
		secret = strings.TrimRight(string(text), "\r\n")
	} else if f.clientID == "" { // that of the environment belongs to the id of the environment
		secret, _ = lookup("AZURE_CLIENT_SECRET")
	}
	for name, value := range map[string]string{"AZURE_CLIENT_ID": id, "AZURE_CLIENT_SECRET": secret} {
		if value != "" {
			out[name] = value
		}
	}
	if id == "" || secret == "" {
		say(cmd, "coffer: %s", "the application that signs in is not known whole; name it with --client-id and --client-secret-file")
	}
	return nil
}
