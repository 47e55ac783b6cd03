package main

import (
	"context"

	"github.com/spf13/cobra"

	"coffer/internal/client"
)

// A principalFlag names whom a permission is for: an application, a user, the members of a
// group, or whatever has an object id.
type principalFlag struct{ app, user, group, object string }

func (p *principalFlag) add(cmd *cobra.Command, r *remote) {
	p.addOne(cmd, r)
	cmd.Flags().StringVar(&p.group, "members-of", "", "whoever is in this group of the directory: its `name` or object id")
	_ = cmd.RegisterFlagCompletionFunc("members-of", r.completeGroups) // the flag is there
}

// addOne adds the flags without that for a group.
func (p *principalFlag) addOne(cmd *cobra.Command, r *remote) {
	cmd.Flags().StringVar(&p.app, "app", "", "the application: its `name`, client id or object id")
	cmd.Flags().StringVar(&p.user, "user", "", "the user: the `name` that the user signs in with")
	cmd.Flags().StringVar(&p.object, "object-id", "", "the object `id` of a principal, taken as it is")
	_ = cmd.RegisterFlagCompletionFunc("app", r.completeApps) // the flags are there
	_ = cmd.RegisterFlagCompletionFunc("user", r.completeUsers)
}

func (p *principalFlag) named() int {
	n := 0
	for _, text := range []string{p.app, p.user, p.group, p.object} {
		if text != "" {
			n++
		}
	}
	return n
}

// check wants exactly one of them.
func (p *principalFlag) check() error {
	if p.named() != 1 {
		return client.Usagef("say for whom, by exactly one flag: --app, --user, --object-id, or --members-of where a group can stand")
	}
	return nil
}

// find returns the object id and the kind of the principal; the kind of an object id is
// not known.
func (p *principalFlag) find(ctx context.Context, s *client.Session) (id, kind string, err error) {
	if err := p.check(); err != nil {
		return "", "", err
	}
	var object client.Object
	switch {
	case p.object != "":
		return p.object, "", nil
	case p.user != "":
		kind = "User"
		object, err = s.Directory().User(ctx, p.user)
	case p.group != "":
		kind = "Group"
		object, err = s.Directory().Group(ctx, p.group)
	default:
		kind = "ServicePrincipal"
		object, err = findPrincipal(ctx, s.Directory(), p.app)
	}
	return object.Text("id"), kind, err
}

// findPrincipal finds the principal of an application, also by the application's own
// object id, which is another one.
func findPrincipal(ctx context.Context, d *client.Directory, name string) (client.Object, error) {
	principal, err := d.Principal(ctx, name)
	if err == nil || client.Describe(err).Code != client.ExitNotFound {
		return principal, err
	}
	app, err := d.Application(ctx, name)
	if err != nil {
		return nil, err
	}
	return d.Principal(ctx, app.Text("appId"))
}
