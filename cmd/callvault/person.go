package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"callvault"
	"callvault/account"

	"github.com/spf13/cobra"
)

func userInviteCommand(o *options) *cobra.Command {
	var url string
	c := &cobra.Command{
		Use:     "invite NAME",
		Short:   "Print a new link with which a person sets a password; the last one stops working",
		Example: "  callvault user invite kelly --url https://calls.example.com",
		Args:    oneArgument("the person's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return withDatabase(c.Context(), o, func(v *vault) error {
				if kind, err := v.accounts.Kind(c.Context(), args[0]); err == nil && kind == account.ServiceUser {
					return fmt.Errorf("%s is a service user, with a key and no password: make a new key with user refresh", args[0])
				}
				ticket, err := v.accounts.InvitePerson(c.Context(), args[0], time.Now())
				return printLink(c, url, ticket, err)
			})
		},
	}
	c.Flags().StringVar(&url, "url", "", "address of the service, to print the link in full")
	return c
}

// printLink prints a person's one-time link alone on standard output.
func printLink(c *cobra.Command, url, ticket string, err error) error {
	if err != nil {
		return err
	}
	until := time.Now().Add(account.PasswordTicketLife)
	fmt.Fprintf(c.ErrOrStderr(), "the link to set a password; it is good once, until %s:\n", moment(until.UnixMilli()))
	if _, err = fmt.Fprintln(c.OutOrStdout(), welcome(url, ticket)); err != nil {
		return fmt.Errorf("the link was made, but could not be shown: make another with user invite: %w", err)
	}
	return nil
}

// welcome returns a one-time link under the address of the service.
func welcome(url, ticket string) string { return strings.TrimSuffix(url, "/") + "/welcome/" + ticket }

// editGrantee changes the service user or person with this name.
func (v *vault) editGrantee(ctx context.Context, name string, edit func(h grantee, enabled *bool) error) error {
	kind, err := v.accounts.Kind(ctx, name)
	if err != nil && !errors.Is(err, callvault.NotFound) {
		return err
	}
	if kind == account.Person {
		return v.accounts.SetPerson(ctx, name, func(p *callvault.Person) error { return edit(personGrantee(p), &p.Enabled) })
	}
	return v.accounts.SetUser(ctx, name, func(u *callvault.ServiceUser) error { return edit(userGrantee(u), &u.Enabled) })
}
