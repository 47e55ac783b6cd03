package main

import (
	"context"

	"github.com/spf13/cobra"

	"coffer/internal/client"
)

func deviceCommand() *cobra.Command {
	r := &remote{}
	cmd := noun("device", "Sign-ins that wait for an administrator",
		`Approve or decline the code that a program shows when somebody signs in without a browser,
such as az login --use-device-code. It takes an administrator of the directory. Ask who
began the sign-in before you approve it: whoever has the program is that user then.`,
		"  coffer device approve BCDFG-HJKLM --user jane@coffer.example.com\n  coffer device decline BCDFG-HJKLM",
		r.deviceApprove(), r.deviceDecline())
	r.managementFlags(cmd)
	return cmd
}

func (r *remote) deviceApprove() *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use: "approve CODE", Short: "Let the program that shows this code sign a user in", Args: oneArg("the CODE that the program shows"),
		Example: "  coffer device approve BCDFG-HJKLM --user jane@coffer.example.com",
		RunE: func(cmd *cobra.Command, args []string) error {
			if user == "" {
				return client.Usagef("--user is missing: whom is the program to sign in?")
			}
			return r.decideDevice(cmd, "approve", "approved", client.Object{"userCode": args[0], "userPrincipalName": user})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "the `name` that the user signs in with")
	return cmd
}

func (r *remote) deviceDecline() *cobra.Command {
	return &cobra.Command{
		Use: "decline CODE", Short: "Refuse the program that shows this code", Args: oneArg("the CODE that the program shows"),
		Example: "  coffer device decline BCDFG-HJKLM",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.decideDevice(cmd, "decline", "declined", client.Object{"userCode": args[0]})
		},
	}
}

func (r *remote) decideDevice(cmd *cobra.Command, verb, done string, body client.Object) error {
	return r.onDirectory(cmd, func(ctx context.Context, d *client.Directory) error {
		if _, err := d.Post(ctx, "deviceCodes/"+verb, body); err != nil {
			return err
		}
		say(cmd, "%s", done)
		return nil
	})
}
