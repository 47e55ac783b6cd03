package main

import (
	"context"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"coffer/internal/client"
)

var (
	groupColumns  = client.Columns("NAME", "displayName", "DESCRIPTION", "description", "OBJECT ID", "id", "MADE", "createdDateTime")
	groupDetails  = client.Columns("NAME", "displayName", "DESCRIPTION", "description", "NICKNAME", "mailNickname", "OBJECT ID", "id", "MADE", "createdDateTime")
	memberColumns = client.Columns("NAME", "displayName", "SIGNS IN AS", "userPrincipalName", "CLIENT ID", "appId", "OBJECT ID", "id")
)

func groupCommand() *cobra.Command {
	r := &remote{}
	members := noun("member", "Who is in a group", "Say who is in a group: users, and applications by their service principals. A group is in no group.",
		"  coffer group member add readers --user jane@coffer.example.com\n  coffer group member list readers",
		r.referAdd("member", "Put somebody into a group; what is given to it holds for them at once"), r.referList("member", "List who is in a group"), r.referRemove("member", "Take somebody out of a group; what is given to it holds for them no more"))
	owners := noun("owner", "Who may change a group", "Say who may change a group and who is in it, besides administrators of the directory.",
		"  coffer group owner add readers --user jane@coffer.example.com\n  coffer group owner list readers",
		r.referAdd("owner", "Let somebody change a group"), r.referList("owner", "List who may change a group"), r.referRemove("owner", "Let somebody change a group no more"))
	cmd := noun("group", "Groups of the directory, to which permissions can be given",
		`Make groups, and say who is in them. What is given to a group its members have from their
next request on, and no longer than they are in it. Resource groups, in which vaults are,
are something else.`,
		`  coffer group create readers
  coffer group member add readers --user jane@coffer.example.com
  coffer role assign --role "Key Vault Secrets User" --members-of readers --vault demo`,
		r.groupCreate(), r.groupList(), r.groupShow(), r.groupDelete(), members, owners)
	r.managementFlags(cmd)
	return cmd
}

func groupPath(group client.Object) string { return "groups/" + url.PathEscape(group.Text("id")) }

func (r *remote) groupCreate() *cobra.Command {
	var description, nickname string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a group; you own it", Args: oneArg("the group's NAME"), Example: "  coffer group create readers --description \"who reads secrets\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			body := client.Object{"displayName": args[0], "mailNickname": firstText(nickname, nicknameOf(args[0])), "mailEnabled": false, "securityEnabled": true}
			if description != "" {
				body["description"] = description
			}
			return r.onDirectory(cmd, func(ctx context.Context, d *client.Directory) error {
				made, err := d.Post(ctx, "groups", body)
				if err != nil {
					return err
				}
				return r.print(cmd, made, groupDetails)
			})
		},
	}
	cmd.Flags().StringVar(&description, "description", "", "what it is for, a `text`")
	cmd.Flags().StringVar(&nickname, "nickname", "", "a `word` without spaces, which the protocol wants (default: of the letters and digits of NAME)")
	return cmd
}

// nicknameOf makes a nickname of a name; no two need to differ.
func nicknameOf(name string) string {
	word := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' {
			return c
		}
		return -1
	}, name)
	return firstText(word[:min(len(word), 64)], "group")
}

func (r *remote) groupList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the groups", Args: noArgs, Example: "  coffer group list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.onDirectory(cmd, func(ctx context.Context, d *client.Directory) error {
				found, err := d.List(ctx, "groups", "")
				if err != nil {
					return err
				}
				return r.print(cmd, found, groupColumns)
			})
		},
	}
}

// onGroup makes a verb that finds a group and does something with it.
func (r *remote) onGroup(use, short, example string, fn func(context.Context, *cobra.Command, *client.Session, client.Object) error) *cobra.Command {
	return r.completing(&cobra.Command{
		Use: use, Short: short, Args: oneArg("the group (its name or object id)"), Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.do(cmd, func(ctx context.Context, s *client.Session) error {
				group, err := s.Directory().Group(ctx, args[0])
				if err != nil {
					return err
				}
				return fn(ctx, cmd, s, group)
			})
		},
	}, r.completeGroups)
}

func (r *remote) groupShow() *cobra.Command {
	return r.onGroup("show GROUP", "Show a group", "  coffer group show readers", func(_ context.Context, cmd *cobra.Command, _ *client.Session, group client.Object) error {
		return r.print(cmd, group, groupDetails)
	})
}

func (r *remote) groupDelete() *cobra.Command {
	cmd := r.onGroup("delete GROUP", "Remove a group; what was given to it nobody has by it any more", "  coffer group delete readers --yes", func(ctx context.Context, cmd *cobra.Command, s *client.Session, group client.Object) error {
		if err := r.confirm(cmd, "Remove the group %s (%s), for ever?", client.Printable(group.Text("displayName")), group.Text("id")); err != nil {
			return err
		}
		if err := s.Directory().Delete(ctx, groupPath(group)); err != nil {
			return err
		}
		say(cmd, "coffer: removed the group %s", group.Text("id"))
		return nil
	})
	r.yesFlag(cmd)
	return cmd
}

// referList lists the members or the owners.
func (r *remote) referList(word, short string) *cobra.Command {
	return r.onGroup("list GROUP", short, "  coffer group "+word+" list readers", func(ctx context.Context, cmd *cobra.Command, s *client.Session, group client.Object) error {
		found, err := s.Directory().List(ctx, groupPath(group)+"/"+word+"s", "")
		if err != nil {
			return err
		}
		return r.print(cmd, found, memberColumns)
	})
}

func (r *remote) referAdd(word, short string) *cobra.Command {
	return r.onSomebody("add", word, short, "added", func(ctx context.Context, d *client.Directory, path, id string) error {
		return d.Refer(ctx, path+"/$ref", id)
	})
}

func (r *remote) referRemove(word, short string) *cobra.Command {
	return r.onSomebody("remove", word, short, "removed", func(ctx context.Context, d *client.Directory, path, id string) error {
		return d.Delete(ctx, path+"/"+url.PathEscape(id)+"/$ref")
	})
}

// onSomebody makes a verb that changes who is a member or an owner of a group.
func (r *remote) onSomebody(verb, word, short, done string, fn func(ctx context.Context, d *client.Directory, path, id string) error) *cobra.Command {
	var who principalFlag
	cmd := r.onGroup(verb+" GROUP", short, "  coffer group "+word+" "+verb+" readers --user jane@coffer.example.com\n  coffer group "+word+" "+verb+" readers --app my-program",
		func(ctx context.Context, cmd *cobra.Command, s *client.Session, group client.Object) error {
			id, _, err := who.find(ctx, s)
			if err != nil {
				return err
			}
			if err := fn(ctx, s.Directory(), groupPath(group)+"/"+word+"s", id); err != nil {
				return err
			}
			say(cmd, "coffer: %s the %s %s", done, word, id)
			return nil
		})
	inner := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := who.check(); err != nil {
			return err
		}
		return inner(cmd, args)
	}
	who.addOne(cmd, r)
	return cmd
}

func (r *remote) completeGroups(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return r.completeListed(cmd, begun, "groups", "displayName")
}
