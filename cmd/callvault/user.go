package main

import (
	"fmt"
	"strings"
	"time"

	"callvault"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func userCommand(o *options) *cobra.Command {
	return group("user", "Service users and their authentication keys", userAddCommand(o), userSetCommand(o), userListCommand(o),
		userRefreshCommand(o), userEnableCommand(o, true), userEnableCommand(o, false), userRemoveCommand(o))
}

// userFlags are a service user's grant and capabilities as flags.
type userFlags struct {
	tenants, agents, skills []string
	allTenants              bool
	can, requestLimit       string
}

func (f *userFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.tenants, "tenant", nil, "a tenant that he may reach (repeat for more)")
	flags.BoolVar(&f.allTenants, "all-tenants", false, "he may reach all tenants, also those to come")
	flags.StringArrayVar(&f.agents, "agent", nil, "only recordings of this agent (repeat for more)")
	flags.StringArrayVar(&f.skills, "skill", nil, "only recordings of this skill (repeat for more)")
	flags.StringVar(&f.can, "can", "read", "capabilities: read, write, admin, separated by commas")
	flags.StringVar(&f.requestLimit, "request-limit", "on", "limit of 3 lists in 10 s: on or off")
}

// apply changes a user as those flags say that were given.
func (f *userFlags) apply(flags *pflag.FlagSet, u *callvault.ServiceUser) (err error) {
	if f.allTenants && len(f.tenants) > 0 {
		return usageError{fmt.Errorf("--tenant and --all-tenants exclude each other")}
	}
	flags.Visit(func(flag *pflag.Flag) {
		if err != nil {
			return
		}
		switch flag.Name {
		case "tenant":
			u.Tenants, u.AllTenants = f.tenants, false
		case "all-tenants":
			u.AllTenants = f.allTenants
			if f.allTenants {
				u.Tenants = nil
			}
		case "agent":
			u.Agents = withoutEmpty(f.agents)
		case "skill":
			u.Skills = withoutEmpty(f.skills)
		case "can":
			u.Can, err = callvault.ParseCapabilities(f.can)
		case "request-limit":
			u.RequestLimit, err = onOff(f.requestLimit)
		}
		if err != nil {
			err = usageError{fmt.Errorf("--%s: %s", flag.Name, forPeople(err))}
		}
	})
	return err
}

// withoutEmpty makes --agent "" take the narrowing away.
func withoutEmpty(words []string) []string {
	var kept []string
	for _, word := range words {
		if word != "" {
			kept = append(kept, word)
		}
	}
	return kept
}

func userAddCommand(o *options) *cobra.Command {
	var flags userFlags
	c := &cobra.Command{
		Use:   "add NAME (--tenant T... | --all-tenants)",
		Short: "Make a service user and print his authentication key, once",
		Example: `  callvault user add robot --tenant acme-ns
  KEY=$(callvault user add collector --all-tenants)`,
		Args: oneArgument("the user's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			user := callvault.ServiceUser{
				Name: args[0], Can: []callvault.Capability{callvault.Read}, Enabled: true, RequestLimit: true,
			}
			if err := flags.apply(c.Flags(), &user); err != nil {
				return err
			}
			if !user.AllTenants && len(user.Tenants) == 0 {
				return usageError{fmt.Errorf("say which tenants %s may reach: --tenant T, or --all-tenants", args[0])}
			}
			return withVault(c.Context(), o, func(v *vault) error {
				key, err := v.accounts.AddUser(c.Context(), user, time.Now())
				return printKey(c, key, err)
			})
		},
	}
	flags.add(c.Flags())
	return c
}

// printKey prints an authentication key alone on standard output.
func printKey(c *cobra.Command, key string, err error) error {
	if err != nil {
		return err
	}
	fmt.Fprintln(c.ErrOrStderr(), "the authentication key; it is not shown again:")
	_, err = fmt.Fprintln(c.OutOrStdout(), key)
	return err
}

func userSetCommand(o *options) *cobra.Command {
	var flags userFlags
	c := &cobra.Command{
		Use:     "set NAME",
		Short:   "Change a user's grant and capabilities, those that are given",
		Example: "  callvault user set robot --tenant acme-ns --tenant acme-sf --can read,write",
		Args:    oneArgument("the user's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return withVault(c.Context(), o, func(v *vault) error {
				return v.accounts.SetUser(c.Context(), args[0], func(u *callvault.ServiceUser) error {
					return flags.apply(c.Flags(), u)
				})
			})
		},
	}
	flags.add(c.Flags())
	return c
}

func userListCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "The service users",
		Example: "  callvault user list --json",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return withVault(c.Context(), o, func(v *vault) error {
				users, err := v.accounts.Users(c.Context())
				if err != nil {
					return err
				}
				if o.json {
					return printJSON(c.OutOrStdout(), users)
				}
				var rows [][]string
				for i := range users {
					rows = append(rows, userRow(&users[i]))
				}
				return printTable(c.OutOrStdout(), []string{"USER", "ENABLED", "CAN", "TENANTS", "NARROWED TO", "REFRESHED", "LAST USED"}, rows)
			})
		},
	}
}

func userRow(u *callvault.ServiceUser) []string {
	enabled, tenants := "yes", strings.Join(u.Tenants, " ")
	if !u.Enabled {
		enabled = "no"
	}
	if u.AllTenants {
		tenants = "all"
	}
	var can, narrowed []string
	for _, capability := range u.Can {
		can = append(can, string(capability))
	}
	for _, agent := range u.Agents {
		narrowed = append(narrowed, "agent "+agent)
	}
	for _, skill := range u.Skills {
		narrowed = append(narrowed, "skill "+skill)
	}
	return []string{u.Name, enabled, strings.Join(can, ","), tenants, strings.Join(narrowed, ", "), moment(u.Refreshed), moment(u.LastUsed)}
}

func userRefreshCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "refresh NAME",
		Short:   "Print a new authentication key; the old one ends at once",
		Example: "  callvault user refresh robot > /etc/callvault/robot.key",
		Args:    oneArgument("the user's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return withVault(c.Context(), o, func(v *vault) error {
				key, err := v.accounts.RefreshUser(c.Context(), args[0], time.Now())
				return printKey(c, key, err)
			})
		},
	}
}

func userEnableCommand(o *options, enable bool) *cobra.Command {
	word, short := "disable", "Lock a user out until he is enabled again"
	if enable {
		word, short = "enable", "Let a disabled user in again, with the key that he has"
	}
	return &cobra.Command{
		Use:     word + " NAME",
		Short:   short,
		Example: "  callvault user " + word + " robot",
		Args:    oneArgument("the user's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return withVault(c.Context(), o, func(v *vault) error {
				return v.accounts.SetUser(c.Context(), args[0], func(u *callvault.ServiceUser) error {
					u.Enabled = enable
					return nil
				})
			})
		},
	}
}

func userRemoveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Remove a user for good; his key ends at once",
		Example: "  callvault user remove robot",
		Args:    oneArgument("the user's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return withVault(c.Context(), o, func(v *vault) error {
				return v.accounts.RemoveUser(c.Context(), args[0])
			})
		},
	}
}
