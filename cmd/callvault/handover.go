package main

import (
	"context"
	"errors"
	"fmt"

	"callvault/account"
	"callvault/collect"
	"callvault/database"

	"github.com/spf13/cobra"
)

func reopenCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "reopen TENANT",
		Short: "Fetch again from a tenant whose egress limit the source has reset",
		Long: `Fetch again from a tenant that is closed because of its egress limit (509), after its provider has reset
or raised the limit. What was fetched so far no longer counts against the limit, and the next run asks for
what is due. Refused while a run over the tenant's source is under way.`,
		Example: `  callvault reopen acme-ns && callvault collect`,
		Args:    oneArgument("the TENANT as it is called here"),
		RunE: func(c *cobra.Command, args []string) error {
			return withDatabase(c.Context(), o, func(v *vault) error {
				return changeWhileIdle(c.Context(), v, args[0], func(collector *collect.Collector) (account.Event, error) {
					return account.Event{Action: account.ActionReopen, Tenant: args[0]}, collector.Reopen(c.Context(), args[0])
				})
			})
		},
	}
}

func handoverCommand(o *options) *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "handover TENANT --to SOURCE",
		Short: "Collect a tenant from another source from now on",
		Long: `Collect a tenant from another source of the configuration from now on, because its account has moved or
two sources were merged. What is held stays as it is. The next run lists all days of the new source again,
and fetches what is not held. Refused while a run over either source is under way.`,
		Example: `  callvault handover acme-ns --to acme-west && callvault collect`,
		Args:    oneArgument("the TENANT as it is called here"),
		RunE: func(c *cobra.Command, args []string) error {
			if to == "" {
				return usageError{errors.New("name the source to collect it from: --to SOURCE")}
			}
			config, err := readConfig(o)
			if err != nil {
				return err
			}
			sources, err := config.withoutClients([]string{to})
			if err == nil {
				err = checkNames(sources, []string{to})
			}
			if err != nil {
				return err
			}
			return withDatabase(c.Context(), o, func(v *vault) error {
				return changeWhileIdle(c.Context(), v, args[0], func(collector *collect.Collector) (account.Event, error) {
					from, err := collector.HandOver(c.Context(), args[0], sources[0].Source)
					return account.Event{Action: account.ActionHandOver, Tenant: args[0], Detail: "from source " + from + " to " + to}, err
				})
			})
		},
	}
	c.Flags().StringVar(&to, "to", "", "the name of the source in the configuration")
	return c
}

// changeWhileIdle changes how a tenant is collected, and notes it in the audit trail. It
// fails while a run over the tenant's source is under way.
func changeWhileIdle(ctx context.Context, v *vault, tenant string, change func(*collect.Collector) (account.Event, error)) error {
	collector, closeQuarantine, err := newCollector(v, warningLog())
	if err != nil {
		return err
	}
	defer closeQuarantine()
	done, err := change(collector)
	var taken database.Held
	if errors.As(err, &taken) {
		return fmt.Errorf("a run over the source of %s is under way, by %s; try again when it has ended", tenant, taken.Holder)
	}
	if err != nil {
		return err
	}
	return v.accounts.Record(ctx, done)
}
