package main

import (
	"fmt"
	"strconv"
	"time"

	"callvault"
	"callvault/meter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func tenantCommand(o *options) *cobra.Command {
	return group("tenant", "Manage sites and their limits", "  callvault tenant add acme-ns --agents 25", tenantAddCommand(o), tenantSetCommand(o), tenantListCommand(o),
		tenantUsageCommand(o), tenantResetCommand(o))
}

// tenantFlags are the settings of a tenant as flags.
type tenantFlags struct {
	agents, title, timeZone, requestLimit, egressLimit string
}

func (f *tenantFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.agents, "agents", "", "number of licensed recorded agents, or none; sets the egress limit")
	flags.StringVar(&f.title, "title", "", "display name")
	flags.StringVar(&f.timeZone, "time-zone", "", "IANA time zone, such as America/Denver")
	flags.StringVar(&f.requestLimit, "request-limit", "", "limit of 3 requests in 10 s: on or off")
	flags.StringVar(&f.egressLimit, "egress-limit", "", "bytes in 5 days, off, or auto: derived from the number of agents")
}

// apply changes a tenant's settings to those that were given as flags.
func (f *tenantFlags) apply(flags *pflag.FlagSet, t *callvault.Tenant) (err error) {
	flags.Visit(func(flag *pflag.Flag) {
		if err != nil {
			return
		}
		switch flag.Name {
		case "agents":
			t.Agents, err = numberOr(f.agents, "none", "a number of agents, or none")
		case "title":
			t.Title = f.title
		case "time-zone":
			t.TimeZone = f.timeZone
		case "request-limit":
			t.RequestLimit, err = onOff(f.requestLimit)
		case "egress-limit":
			t.EgressOff = f.egressLimit == "off"
			t.EgressOverride = nil
			if !t.EgressOff {
				t.EgressOverride, err = numberOr(f.egressLimit, "auto", "a number of bytes, off, or auto")
			}
		}
		if err != nil {
			err = usageError{fmt.Errorf("--%s: %w", flag.Name, err)}
		}
	})
	return err
}

// numberOr parses a number, or returns nil for the word none, which stands for no number.
// what describes for the error what the text may be.
func numberOr(text, none, what string) (*int64, error) {
	if text == none {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%q is not %s", text, what)
	}
	return &n, nil
}

func onOff(text string) (bool, error) {
	if text != "on" && text != "off" {
		return false, fmt.Errorf("%q is neither on nor off", text)
	}
	return text == "on", nil
}

func tenantAddCommand(o *options) *cobra.Command {
	var flags tenantFlags
	c := &cobra.Command{
		Use:     "add NAME",
		Short:   "Add a tenant; its name never changes",
		Example: "  callvault tenant add acme-ns --agents 25 --time-zone America/Denver",
		Args:    oneArgument("the tenant's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			tenant := callvault.Tenant{Name: args[0], RequestLimit: true}
			if err := flags.apply(c.Flags(), &tenant); err != nil {
				return err
			}
			return withDatabase(c.Context(), o, func(v *vault) error {
				return asUsage(v.accounts.AddTenant(c.Context(), tenant, time.Now()))
			})
		},
	}
	flags.add(c.Flags())
	return c
}

func tenantSetCommand(o *options) *cobra.Command {
	var flags tenantFlags
	c := &cobra.Command{
		Use:     "set NAME",
		Short:   "Change the given settings of a tenant",
		Example: "  callvault tenant set acme-ns --egress-limit off",
		Args:    oneArgument("the tenant's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if noFlagsSet(c) {
				return usageError{fmt.Errorf("say what to change about %s, such as --agents 30", args[0])}
			}
			return withDatabase(c.Context(), o, func(v *vault) error {
				return asUsage(v.accounts.SetTenant(c.Context(), args[0], func(t *callvault.Tenant) error {
					return flags.apply(c.Flags(), t)
				}))
			})
		},
	}
	flags.add(c.Flags())
	return c
}

func tenantListCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the tenants with their settings",
		Example: "  callvault tenant list --json",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return withDatabase(c.Context(), o, func(v *vault) error {
				tenants, err := v.accounts.Tenants(c.Context())
				if err != nil {
					return err
				}
				if o.json {
					return printJSON(c.OutOrStdout(), tenants)
				}
				var rows [][]string
				for i := range tenants {
					rows = append(rows, tenantRow(&tenants[i]))
				}
				return printTable(c.OutOrStdout(), []string{"TENANT", "AGENTS", "TIME ZONE", "REQUEST LIMIT", "EGRESS LIMIT", "TITLE"}, rows)
			})
		},
	}
}

func tenantRow(t *callvault.Tenant) []string {
	agents, request, egress, zone := "-", "off", "off", t.TimeZone
	if t.Agents != nil {
		agents = strconv.FormatInt(*t.Agents, 10)
	}
	if t.RequestLimit {
		request = "on"
	}
	if limit, limited := t.EgressLimit(); limited {
		egress = byteCount(limit)
	}
	if zone == "" {
		zone = "UTC"
	}
	return []string{t.Name, agents, zone, request, egress, t.Title}
}

func tenantUsageCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "usage NAME",
		Short:   "Show a tenant's egress over the last five days, and its limit",
		Example: "  callvault tenant usage acme-ns",
		Args:    oneArgument("the tenant's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return withDatabase(c.Context(), o, func(v *vault) error {
				tenant, err := v.accounts.Tenant(c.Context(), args[0])
				if err != nil {
					return err
				}
				usage, err := meter.ReadUsage(c.Context(), v.db, tenant, time.Now())
				if err != nil {
					return err
				}
				if o.json {
					return printJSON(c.OutOrStdout(), usage)
				}
				limit, frees := "none", "-"
				if usage.Limit != nil {
					limit = byteCount(*usage.Limit)
				}
				if usage.FreesAt != nil {
					frees = moment(*usage.FreesAt)
				}
				return printTable(c.OutOrStdout(), []string{"TENANT", "USED IN 5 DAYS", "LIMIT", "ROOM FREES AT"},
					[][]string{{usage.Tenant, byteCount(usage.Used), limit, frees}})
			})
		},
	}
}

func tenantResetCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "reset-usage NAME",
		Short:   "Reset a tenant's egress to zero; a running service follows at once",
		Example: "  callvault tenant reset-usage acme-ns",
		Args:    oneArgument("the tenant's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return withDatabase(c.Context(), o, func(v *vault) error {
				return v.accounts.ResetUsage(c.Context(), args[0])
			})
		},
	}
}
