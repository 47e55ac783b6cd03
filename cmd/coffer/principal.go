package main

import (
	"context"

	"github.com/spf13/cobra"

	"coffer/internal/client"
)

// A principalFlag names whom a permission is for: an application, a user, or whatever has
// an object id.
type principalFlag struct{ app, user, object string }

func (p *principalFlag) add(cmd *cobra.Command, r *remote) {
	cmd.Flags().StringVar(&p.app, "app", "", "the application: its `name`, client id or object id")
	cmd.Flags().StringVar(&p.user, "user", "", "the user: the `name` that the user signs in with")
	cmd.Flags().StringVar(&p.object, "object-id", "", "the object `id` of a principal, taken as it is")
	_ = cmd.RegisterFlagCompletionFunc("app", r.completeApps) // the flag is there
}

func (p *principalFlag) named() int {
	n := 0
	for _, text := range []string{p.app, p.user, p.object} {
		if text != "" {
			n++
		}
	}
	return n
}

// check wants exactly one of the three.
func (p *principalFlag) check() error {
	if p.named() != 1 {
		return client.Usagef("say for whom, by one of --app, --user and --object-id")
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
