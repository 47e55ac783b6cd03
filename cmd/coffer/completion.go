package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coffer/internal/client"
)

// maxCompletion is how long a person waits for names after the tabulator key.
const maxCompletion = 3 * time.Second

// completing gives the first argument of a verb its names.
func (r *remote) completing(cmd *cobra.Command, names cobra.CompletionFunc) *cobra.Command {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(cmd, args, begun)
	}
	return cmd
}

// complete asks a server for names. Where it does not answer there are none: a line that
// is being typed is no place for an error.
func (r *remote) complete(cmd *cobra.Command, begun string, names func(context.Context, *client.Session) ([]string, error)) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), maxCompletion)
	defer cancel()
	r.settings.Getenv = os.Getenv
	session, err := client.Open(r.settings)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	found, err := names(ctx, session)
	var out []cobra.Completion
	for _, name := range found {
		if err == nil && strings.HasPrefix(name, begun) && client.Printable(name) == name {
			out = append(out, name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (r *remote) completeVaults(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return r.complete(cmd, begun, func(ctx context.Context, s *client.Session) (names []string, err error) {
		place, err := openVaults(ctx, s)
		if err != nil {
			return nil, err
		}
		found, err := place.list(ctx)
		for _, v := range found {
			names = append(names, *v.Name)
		}
		return names, err
	})
}

func (r *remote) completeDeletedVaults(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return r.complete(cmd, begun, func(ctx context.Context, s *client.Session) (names []string, err error) {
		place, err := openVaults(ctx, s)
		if err != nil {
			return nil, err
		}
		found, err := place.listDeleted(ctx)
		for _, v := range found {
			names = append(names, *v.Name)
		}
		return names, err
	})
}
