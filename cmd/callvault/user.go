package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"callvault"
	"callvault/account"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func userCommand(o *options) *cobra.Command {
	return group("user", "Manage service users, their authentication keys, and people", "  callvault user add robot --tenant acme-ns",
		userAddCommand(o), userSetCommand(o), userListCommand(o), userRefreshCommand(o), userInviteCommand(o), userEnableCommand(o, true), userEnableCommand(o, false), userRemoveCommand(o))
}

// userFlags are the grant and capabilities of a service user or a person as flags.
type userFlags struct {
	tenants, agents, skills, can []string
	allTenants                   bool
	requestLimit                 string
}

func (f *userFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.tenants, "tenant", nil, "a `TENANT` that the user may reach (repeat for more)")
	flags.BoolVar(&f.allTenants, "all-tenants", false, "the user may reach all tenants, including future ones")
	flags.StringArrayVar(&f.agents, "agent", nil, "only recordings of this `AGENT` (repeat for more)")
	flags.StringArrayVar(&f.skills, "skill", nil, "only recordings of this `SKILL` (repeat for more)")
	flags.StringArrayVar(&f.can, "can", nil, "comma-separated `CAPABILITIES`: read, write, admin; for a person: listen, download, admin; a new user has the first")
	flags.StringVar(&f.requestLimit, "request-limit", "on", "limit of 3 lists in 10 s: on or off; not for people")
}

// grantee is a service user or a person, as far as flags can change it.
type grantee struct {
	*callvault.Grant
	can          *[]callvault.Capability
	parse        func(string) ([]callvault.Capability, error)
	requestLimit *bool // nil for a person, who has none
}

func userGrantee(u *callvault.ServiceUser) grantee {
	return grantee{&u.Grant, &u.Can, callvault.ParseCapabilities, &u.RequestLimit}
}

func personGrantee(p *callvault.Person) grantee {
	return grantee{&p.Grant, &p.Can, callvault.ParsePersonCapabilities, nil}
}

// apply changes a user's or person's settings to those that were given as flags.
func (f *userFlags) apply(flags *pflag.FlagSet, u grantee) (err error) {
	if f.allTenants && len(f.tenants) > 0 {
		return usageError{fmt.Errorf("--tenant and --all-tenants exclude each other")}
	}
	flags.Visit(func(flag *pflag.Flag) {
		if err != nil {
			return
		}
		switch flag.Name {
		case "tenant":
			u.Tenants, u.AllTenants = unique(f.tenants), false
		case "all-tenants":
			u.AllTenants = f.allTenants
			if f.allTenants {
				u.Tenants = nil
			}
		case "agent":
			u.Agents, err = parseNarrowing(f.agents)
		case "skill":
			u.Skills, err = parseNarrowing(f.skills)
		case "can":
			*u.can, err = u.parse(strings.Join(f.can, ","))
		case "request-limit":
			if u.requestLimit == nil {
				err = errors.New("people have no such limit")
				break
			}
			*u.requestLimit, err = onOff(f.requestLimit)
		}
		if err != nil {
			err = usageError{fmt.Errorf("--%s: %s", flag.Name, forPeople(err))}
		}
	})
	return err
}

// parseNarrowing returns the agents or skills that a grant is narrowed to. A single
// empty name removes the narrowing.
func parseNarrowing(names []string) ([]string, error) {
	if len(names) == 1 && names[0] == "" {
		return nil, nil
	}
	for _, name := range names {
		if strings.TrimSpace(name) == "" {
			return nil, errors.New("one of the names is empty")
		}
	}
	return unique(names), nil
}

// unique returns the words in their order, without repetitions.
func unique(words []string) (kept []string) {
	for _, word := range words {
		if !slices.Contains(kept, word) {
			kept = append(kept, word)
		}
	}
	return kept
}

func userAddCommand(o *options) *cobra.Command {
	var flags userFlags
	var person bool
	var url string
	c := &cobra.Command{
		Use:   "add NAME (--tenant T... | --all-tenants) [--person]",
		Short: "Add a service user and print its authentication key, once; or add a person and print a link",
		Long: `Add a service user and print its authentication key, once. With --person, add somebody who signs in to
the pages with a password of their own, and print the link with which they set it. The link can be used
once, within three days; user invite makes another.`,
		Example: `  callvault user add robot --tenant acme-ns
  KEY=$(callvault user add collector --all-tenants)
  callvault user add kelly --person --tenant acme-ns --can listen,download --url https://calls.example.com`,
		Args: oneArgument("the user's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if url != "" && !person {
				return usageError{errors.New("--url is for the link of a --person")}
			}
			if slices.Contains(flags.agents, "") || slices.Contains(flags.skills, "") {
				// With user set an empty name removes the narrowing. Here it is more likely a
				// shell variable that was not set, and would grant everything.
				return usageError{errors.New("--agent and --skill need a name")}
			}
			user := callvault.ServiceUser{
				Name: args[0], Can: []callvault.Capability{callvault.Read}, Enabled: true, RequestLimit: true,
			}
			somebody := callvault.Person{Name: args[0], Can: []callvault.Capability{callvault.Listen}, Enabled: true}
			who := userGrantee(&user)
			if person {
				who = personGrantee(&somebody)
			}
			if err := flags.apply(c.Flags(), who); err != nil {
				return err
			}
			if !who.AllTenants && len(who.Tenants) == 0 {
				return usageError{fmt.Errorf("say which tenants %q may reach: --tenant T, or --all-tenants", args[0])}
			}
			return withDatabase(c.Context(), o, func(v *vault) error {
				if person {
					ticket, err := v.accounts.AddPerson(c.Context(), somebody, time.Now())
					return printLink(c, url, ticket, asUsage(err))
				}
				key, err := v.accounts.AddUser(c.Context(), user, time.Now())
				return printKey(c, key, asUsage(err))
			})
		},
	}
	flags.add(c.Flags())
	c.Flags().BoolVar(&person, "person", false, "somebody who signs in to the pages with a password")
	c.Flags().StringVar(&url, "url", "", "address of the service, to print a person's link in full")
	return c
}

// printKey prints an authentication key alone on standard output.
func printKey(c *cobra.Command, key string, err error) error {
	if err != nil {
		return err
	}
	fmt.Fprintln(c.ErrOrStderr(), "the authentication key; it is not shown again:")
	if _, err = fmt.Fprintln(c.OutOrStdout(), key); err != nil {
		return fmt.Errorf("the key was made, but could not be shown: make another with user refresh: %w", err)
	}
	return nil
}

func userSetCommand(o *options) *cobra.Command {
	var flags userFlags
	c := &cobra.Command{
		Use:     "set NAME",
		Short:   "Change the given parts of a user's or person's grant and capabilities",
		Example: "  callvault user set robot --tenant acme-ns --tenant acme-sf --can read,write",
		Args:    oneArgument("the user's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if noFlagsSet(c) {
				return usageError{fmt.Errorf("say what to change about %s, such as --can read,write", args[0])}
			}
			return withDatabase(c.Context(), o, func(v *vault) error {
				return asUsage(v.editGrantee(c.Context(), args[0], func(h grantee, _ *bool) error { return flags.apply(c.Flags(), h) }))
			})
		},
	}
	flags.add(c.Flags())
	return c
}

func userRefreshCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "refresh NAME",
		Short:   "Print a new authentication key; the old one stops working at once",
		Example: "  callvault user refresh robot > /etc/callvault/robot.key",
		Args:    oneArgument("the user's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return withDatabase(c.Context(), o, func(v *vault) error {
				if kind, err := v.accounts.Kind(c.Context(), args[0]); err == nil && kind == account.Person {
					return fmt.Errorf("%s is a person, who has a password and no key: make a new link with user invite", args[0])
				}
				key, err := v.accounts.RefreshUser(c.Context(), args[0], time.Now())
				return printKey(c, key, err)
			})
		},
	}
}

func userEnableCommand(o *options, enable bool) *cobra.Command {
	word, short := "disable", "Lock a user or person out until enabled again"
	if enable {
		word, short = "enable", "Let a disabled user or person in again, with the same key or password"
	}
	return &cobra.Command{
		Use:     word + " NAME",
		Short:   short,
		Example: "  callvault user " + word + " robot",
		Args:    oneArgument("the user's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return withDatabase(c.Context(), o, func(v *vault) error {
				return v.editGrantee(c.Context(), args[0], func(_ grantee, enabled *bool) error {
					*enabled = enable
					return nil
				})
			})
		},
	}
}

func userRemoveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Remove a user or person for good; key and sessions end at once",
		Example: "  callvault user remove robot",
		Args:    oneArgument("the user's NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return withDatabase(c.Context(), o, func(v *vault) error {
				kind, err := v.accounts.Kind(c.Context(), args[0])
				if err != nil {
					return err
				}
				if kind == account.Person {
					return v.accounts.RemovePerson(c.Context(), args[0])
				}
				return v.accounts.RemoveUser(c.Context(), args[0])
			})
		},
	}
}
