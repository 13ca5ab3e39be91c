package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strings"

	"callvault/account"
	"callvault/collect"

	"github.com/spf13/cobra"
)

func settleCommand(o *options) *cobra.Command {
	var s collect.Settlement
	var source string
	var giveUp bool
	c := &cobra.Command{
		Use:   "settle (--tenant T KEY | --source S ITEM) (--accept | --give-up) --reason \"...\"",
		Short: "Accept or give up a recording, or an item of a list, that cannot be repaired",
		Long: `Decide about a recording that cannot be repaired: --accept admits what was quarantined as it is, --give-up
stops asking for the recording. An unreadable item of a source's lists that the source does not repair can
be given up by the name that collect and status --days print for it. Each decision is recorded with who,
when and why, is shown by status, and no longer makes a run incomplete.`,
		Example: `  callvault settle --tenant acme-ns 91a1e1e8-1707770449131 --give-up --reason "deleted there by request 4711"
  callvault settle --source acme malformed-1f00ab34cd56 --give-up --reason "a test call, ticket 4712"`,
		Args: oneArgument("the recording's KEY, or the ITEM of a list"),
		RunE: func(c *cobra.Command, args []string) error {
			if (s.Tenant == "") == (source == "") || s.Accept == giveUp || strings.TrimSpace(s.Reason) == "" {
				return usageError{fmt.Errorf("give --tenant T or --source S, either --accept or --give-up, and --reason \"...\"")}
			}
			if source != "" && s.Accept {
				return usageError{fmt.Errorf("an unreadable item of a list cannot be accepted; --give-up ignores it from now on")}
			}
			s.Key, s.Who = args[0], operator()
			return withVault(c.Context(), o, func(v *vault) error { return settle(c.Context(), v, source, &s) })
		},
	}
	c.Flags().StringVar(&s.Tenant, "tenant", "", "the recording's tenant")
	c.Flags().StringVar(&source, "source", "", "the source whose list has the unreadable item")
	c.Flags().BoolVar(&s.Accept, "accept", false, "admit what was quarantined, as it is")
	c.Flags().BoolVar(&giveUp, "give-up", false, "stop asking for it")
	c.Flags().StringVar(&s.Reason, "reason", "", "why, for somebody who reads it years later")
	return c
}

// settle carries out a decision, and notes it in the audit trail.
func settle(ctx context.Context, v *vault, source string, s *collect.Settlement) error {
	collector, closeQuarantine, err := newCollector(v, warningLog())
	if err != nil {
		return err
	}
	defer closeQuarantine()
	done := account.Event{Action: account.ActionSettle, Tenant: s.Tenant, Recording: s.Key, Detail: decision(s)}
	if source == "" {
		err = collector.Settle(ctx, s)
	} else {
		done.Recording, done.Detail = "", s.Key+" of the lists of "+source+" "+decision(s)
		err = collector.GiveUpMalformed(ctx, source, s)
	}
	if err != nil {
		return err
	}
	return v.accounts.Record(ctx, done)
}

// decision describes a settlement for the audit trail.
func decision(s *collect.Settlement) string {
	if s.Accept {
		return "accepted: " + s.Reason
	}
	return "given up: " + s.Reason
}

// operator returns the name of the user who runs this program, for the audit trail.
func operator() string {
	me, err := user.Current()
	return operatorName(me, err, os.Getuid())
}

// operatorName returns the name of a user; or the number of one without a name, as users of
// containers often are.
func operatorName(me *user.User, err error, uid int) string {
	switch {
	case err == nil && me.Username != "":
		return me.Username
	case uid >= 0: // not on Windows
		return fmt.Sprintf("uid %d", uid)
	}
	return "unknown"
}
