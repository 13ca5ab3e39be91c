package main

import (
	"context"
	"fmt"
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
		Short: "Decide about a recording, or an item of a list, that cannot be mended",
		Long: `Decide about a recording that cannot be mended: --accept admits what was set aside as it is, --give-up
stops asking for it. An item of a source's lists that cannot be read, and that the source does not mend,
can be given up by the name that collect and status --days tell. Either is written down with who, when
and why, is shown by status, and no longer makes a run incomplete.`,
		Example: `  callvault settle --tenant acme-ns 91a1e1e8-1707770449131 --give-up --reason "deleted there by request 4711"
  callvault settle --source acme malformed-1f00ab34cd56 --give-up --reason "a test call, ticket 4712"`,
		Args: oneArgument("the recording's KEY, or the ITEM of a list"),
		RunE: func(c *cobra.Command, args []string) error {
			if (s.Tenant == "") == (source == "") || s.Accept == giveUp || strings.TrimSpace(s.Reason) == "" {
				return usageError{fmt.Errorf("say --tenant T or --source S, one of --accept and --give-up, and --reason \"...\"")}
			}
			if source != "" && s.Accept {
				return usageError{fmt.Errorf("what cannot be read of a list cannot be accepted; --give-up passes it over from now on")}
			}
			s.Key, s.Who = args[0], operator()
			return withVault(c.Context(), o, func(v *vault) error { return settle(c.Context(), v, source, &s) })
		},
	}
	c.Flags().StringVar(&s.Tenant, "tenant", "", "the recording's tenant")
	c.Flags().StringVar(&source, "source", "", "the source of an item that could not be read of a list")
	c.Flags().BoolVar(&s.Accept, "accept", false, "admit what was set aside, as it is")
	c.Flags().BoolVar(&giveUp, "give-up", false, "do not ask for it any more")
	c.Flags().StringVar(&s.Reason, "reason", "", "why, for who reads it in years")
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

// decision tells a settlement in the audit trail.
func decision(s *collect.Settlement) string {
	if s.Accept {
		return "accepted: " + s.Reason
	}
	return "given up: " + s.Reason
}

// operator is who runs this program.
func operator() string {
	if me, err := user.Current(); err == nil {
		return me.Username
	}
	return "unknown"
}
