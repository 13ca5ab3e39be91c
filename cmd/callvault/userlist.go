package main

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"callvault"
	"callvault/account"

	"github.com/spf13/cobra"
)

func userListCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the service users and the people",
		Example: "  callvault user list --json",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return withDatabase(c.Context(), o, func(v *vault) error {
				list, err := v.listUsers(c.Context())
				if err != nil {
					return err
				}
				if o.json {
					forms := []any{}
					for i := range list {
						fillLists(list[i].grant)
						forms = append(forms, list[i].json)
					}
					return printJSON(c.OutOrStdout(), forms)
				}
				var rows [][]string
				for i := range list {
					rows = append(rows, list[i].row())
				}
				return printTable(c.OutOrStdout(), []string{"USER", "KIND", "ENABLED", "CAN", "TENANTS", "NARROWED TO", "KEY OR PASSWORD", "LAST USED"}, rows)
			})
		},
	}
}

// listedUser is a service user or a person in the list.
type listedUser struct {
	name, kind string
	enabled    bool
	can        []callvault.Capability
	grant      *callvault.Grant
	secret     string // the state of the key or password, in words
	lastUsed   int64
	json       any
}

// listUsers returns the service users and the people, by name.
func (v *vault) listUsers(ctx context.Context) ([]listedUser, error) {
	users, err := v.accounts.Users(ctx)
	if err != nil {
		return nil, err
	}
	people, err := v.accounts.People(ctx)
	if err != nil {
		return nil, err
	}
	var list []listedUser
	for i := range users {
		u, kind := &users[i], account.ServiceUser
		form := struct {
			*callvault.ServiceUser
			LastUsed *int64 `json:"lastUsedAt"`
			Kind     string `json:"kind"`
		}{u, orNull(u.LastUsed), kind}
		list = append(list, listedUser{u.Name, kind, u.Enabled, u.Can, &u.Grant, "key of " + moment(u.Refreshed), u.LastUsed, form})
	}
	for i := range people {
		p, kind := &people[i], account.Person
		form := struct {
			*callvault.Person
			InvitedUntil *int64 `json:"invitedUntil"`
			LastUsed     *int64 `json:"lastUsedAt"`
			Kind         string `json:"kind"`
		}{p, orNull(p.InvitedUntil), orNull(p.LastUsed), kind}
		list = append(list, listedUser{p.Name, kind, p.Enabled, p.Can, &p.Grant, passwordWords(p), p.LastUsed, form})
	}
	slices.SortFunc(list, func(a, b listedUser) int { return cmp.Compare(a.name, b.name) })
	return list, nil
}

// orNull returns nil, which is null in JSON, for a time of 0, which means never.
func orNull(ms int64) *int64 {
	if ms == 0 {
		return nil
	}
	return &ms
}

// fillLists makes the empty lists of a grant [] in JSON rather than null.
func fillLists(g *callvault.Grant) {
	for _, list := range []*[]string{&g.Tenants, &g.Agents, &g.Skills} {
		if *list == nil {
			*list = []string{}
		}
	}
}

func passwordWords(p *callvault.Person) string {
	switch {
	case p.PasswordSet:
		return "password set"
	case p.InvitedUntil > 0:
		return "link until " + moment(p.InvitedUntil)
	}
	return "none"
}

func (u *listedUser) row() []string {
	enabled, tenants := "yes", strings.Join(u.grant.Tenants, " ")
	if !u.enabled {
		enabled = "no"
	}
	if u.grant.AllTenants {
		tenants = "all"
	}
	var can, narrowed []string
	for _, capability := range u.can {
		can = append(can, string(capability))
	}
	for _, agent := range u.grant.Agents {
		narrowed = append(narrowed, "agent "+agent)
	}
	for _, skill := range u.grant.Skills {
		narrowed = append(narrowed, "skill "+skill)
	}
	return []string{u.name, u.kind, enabled, strings.Join(can, ","), tenants, strings.Join(narrowed, ", "), u.secret, moment(u.lastUsed)}
}
