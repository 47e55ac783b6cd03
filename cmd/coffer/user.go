package main

import (
	"context"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"coffer/internal/client"
)

var (
	userColumns = client.Columns("SIGNS IN AS", "userPrincipalName", "NAME", "displayName", "ENABLED", "accountEnabled", "OBJECT ID", "id", "MADE", "createdDateTime")
	userDetails = client.Columns("SIGNS IN AS", "userPrincipalName", "NAME", "displayName", "OBJECT ID", "id", "ENABLED", "accountEnabled", "MADE", "createdDateTime")
)

func userCommand() *cobra.Command {
	r := &remote{}
	federate := noun("federate", "Users of an outside issuer",
		`Let somebody whom an outside issuer knows, such as a tenant of Entra, call as a user. The
configuration has to name the issuer among bearer_issuers, whose user_claim says by what the
issuer identifies its users.`,
		"  coffer user federate add jane@coffer.example.com --issuer https://sts.windows.net/TENANT/ --subject OBJECT-ID\n  coffer user federate list jane@coffer.example.com",
		r.identityAdd(), r.identityList(), r.identityDelete())
	cmd := noun("user", "Users who sign in with a password",
		`Make users, and set their passwords. It takes an administrator of the directory. A user may
do nothing before something is granted to them, or to a group that they are in. A password
is typed, or read from a file or from standard input, never from the command line, where
others could see it.`,
		`  coffer user create jane@coffer.example.com --name Jane
  coffer role assign --role "Key Vault Secrets User" --user jane@coffer.example.com --vault demo
  coffer user password jane@coffer.example.com --password-file new-password.txt`,
		r.userCreate(), r.userList(), r.userShow(), r.userUpdate(), r.userPassword(), r.userDelete(), federate)
	r.managementFlags(cmd)
	return cmd
}

const userArgument = "the user (the NAME@DOMAIN that they sign in with, or the object id)"

// A passwordFlag says where a password comes from.
type passwordFlag struct{ file string }

func (f *passwordFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "password-file", "-", "the `file` with the password; - is standard input, or what is typed on a terminal")
}

// read returns the password, without the end of its line. What is typed is typed twice.
func (f *passwordFlag) read(cmd *cobra.Command) (string, error) {
	if f.file == "-" {
		typed, ok, err := readTyped(cmd, "Password (it is not shown): ")
		if ok && err == nil {
			var again string
			if again, _, err = readTyped(cmd, "The same again: "); err == nil && again != typed {
				return "", client.Usagef("the two are not the same; nothing was done")
			}
		}
		if ok {
			return typed, err
		}
	}
	text, err := readInput(cmd, "password-file", f.file)
	if err != nil {
		return "", err
	}
	password := strings.TrimRight(string(text), "\r\n")
	switch {
	case password == "":
		return "", client.Usagef("--password-file: there is no password in it")
	case !utf8.ValidString(password) || strings.ContainsAny(password, "\r\n"):
		return "", client.Usagef("--password-file: a password is one line of text in UTF-8")
	}
	return password, nil
}

// passwordProfile is how the directory takes it.
func passwordProfile(password string) client.Object {
	return client.Object{"password": password, "forceChangePasswordNextSignIn": false}
}

func userPath(user client.Object) string { return "users/" + url.PathEscape(user.Text("id")) }

func (r *remote) userCreate() *cobra.Command {
	var password passwordFlag
	var outside identityFlag
	var name string
	cmd := &cobra.Command{
		Use: "create NAME@DOMAIN", Short: "Make a user", Args: oneArg("the NAME@DOMAIN that the user signs in with"),
		Example: "  coffer user create jane@coffer.example.com --name \"Jane Roe\"\n  coffer user create jane@coffer.example.com --password-file password.txt\n  coffer user create jane@coffer.example.com --issuer https://sts.windows.net/TENANT/ --subject OBJECT-ID     # no password",
		RunE: func(cmd *cobra.Command, args []string) error {
			local, _, _ := strings.Cut(args[0], "@")
			body := client.Object{"userPrincipalName": args[0], "displayName": firstText(name, local), "mailNickname": local, "accountEnabled": true}
			if outside.issuer+outside.subject != "" {
				if err := outside.check(); err != nil {
					return err
				}
				body["identities"] = []any{outside.identity()}
			} else {
				text, err := password.read(cmd)
				if err != nil {
					return err
				}
				body["passwordProfile"] = passwordProfile(text)
			}
			return r.onDirectory(cmd, func(ctx context.Context, d *client.Directory) error {
				made, err := d.Post(ctx, "users", body)
				if err != nil {
					return err
				}
				return r.print(cmd, made, userDetails)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the `name` to show (default: what stands before the @)")
	password.add(cmd)
	outside.add(cmd)
	cmd.MarkFlagsMutuallyExclusive("password-file", "issuer")
	return cmd
}

func (r *remote) userList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the users", Args: noArgs, Example: "  coffer user list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.onDirectory(cmd, func(ctx context.Context, d *client.Directory) error {
				found, err := d.List(ctx, "users", "")
				if err != nil {
					return err
				}
				return r.print(cmd, found, userColumns)
			})
		},
	}
}

// onUser makes a verb that finds a user and does something with them. before, if not nil,
// is done first.
func (r *remote) onUser(use, short, example string, before func(*cobra.Command) error, fn func(context.Context, *cobra.Command, *client.Directory, client.Object) error) *cobra.Command {
	return r.completing(&cobra.Command{
		Use: use, Short: short, Args: oneArg(userArgument), Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			if before != nil {
				if err := before(cmd); err != nil {
					return err
				}
			}
			return r.onDirectory(cmd, func(ctx context.Context, d *client.Directory) error {
				user, err := d.User(ctx, args[0])
				if err != nil {
					return err
				}
				return fn(ctx, cmd, d, user)
			})
		},
	}, r.completeUsers)
}

func (r *remote) userShow() *cobra.Command {
	return r.onUser("show USER", "Show a user", "  coffer user show jane@coffer.example.com", nil, func(_ context.Context, cmd *cobra.Command, _ *client.Directory, user client.Object) error {
		return r.print(cmd, user, userDetails)
	})
}

func (r *remote) userUpdate() *cobra.Command {
	var enabled, disabled bool
	var name string
	change := client.Object{}
	cmd := r.onUser("update USER", "Rename a user, or let them not sign in", "  coffer user update jane@coffer.example.com --disabled",
		func(*cobra.Command) error {
			if name != "" {
				change["displayName"] = name
			}
			if enabled || disabled {
				change["accountEnabled"] = enabled
			}
			if enabled && disabled || len(change) == 0 {
				return client.Usagef("say what to change: --name, or one of --enabled and --disabled")
			}
			return nil
		},
		func(ctx context.Context, cmd *cobra.Command, d *client.Directory, user client.Object) error {
			if err := d.Patch(ctx, userPath(user), change); err != nil {
				return err
			}
			changed, err := d.User(ctx, user.Text("id"))
			if err != nil {
				return err
			}
			return r.print(cmd, changed, userDetails)
		})
	cmd.Flags().StringVar(&name, "name", "", "the `name` to show")
	cmd.Flags().BoolVar(&enabled, "enabled", false, "let them sign in")
	cmd.Flags().BoolVar(&disabled, "disabled", false, "let them not sign in; their tokens end at once")
	return cmd
}

func (r *remote) userPassword() *cobra.Command {
	var password passwordFlag
	text := ""
	cmd := r.onUser("password USER", "Set a user's password; whoever signed in with the old one signs in again", "  coffer user password jane@coffer.example.com\n  coffer user password jane@coffer.example.com --password-file password.txt",
		func(cmd *cobra.Command) (err error) {
			text, err = password.read(cmd)
			return err
		},
		func(ctx context.Context, cmd *cobra.Command, d *client.Directory, user client.Object) error {
			if err := d.Patch(ctx, userPath(user), client.Object{"passwordProfile": passwordProfile(text)}); err != nil {
				return err
			}
			say(cmd, "coffer: set the password of %s", client.Printable(user.Text("userPrincipalName")))
			return nil
		})
	password.add(cmd)
	return cmd
}

func (r *remote) userDelete() *cobra.Command {
	cmd := r.onUser("delete USER", "Remove a user; they can sign in no more", "  coffer user delete jane@coffer.example.com --yes", nil, func(ctx context.Context, cmd *cobra.Command, d *client.Directory, user client.Object) error {
		name := client.Printable(user.Text("userPrincipalName"))
		if err := r.confirm(cmd, "Remove the user %s, for ever?", name); err != nil {
			return err
		}
		if err := d.Delete(ctx, userPath(user)); err != nil {
			return err
		}
		say(cmd, "coffer: removed the user %s", name)
		return nil
	})
	r.yesFlag(cmd)
	return cmd
}

func (r *remote) completeUsers(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return r.completeListed(cmd, begun, "users", "userPrincipalName")
}

// completeListed completes with a member of everything in a collection of the directory.
func (r *remote) completeListed(cmd *cobra.Command, begun, collection, member string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return r.complete(cmd, begun, func(ctx context.Context, s *client.Session) (names []string, err error) {
		found, err := s.Directory().List(ctx, collection, "")
		for _, object := range found {
			names = append(names, object.Text(member))
		}
		return names, err
	})
}
