//go:build unix

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestFlagsStandAnywhere(t *testing.T) {
	for given, want := range map[string]string{
		"":                                      "",
		"tenant list":                           "tenant list",
		"--json tenant list":                    "tenant list --json",
		"--data tenant tenant --json list":      "tenant list --data tenant --json",
		"--all-tenants user add robot":          "user add --all-tenants robot",
		"user --can read --all-tenants add add": "user add --can read --all-tenants add",
		"--agents 3 tenant add list":            "tenant add --agents 3 list",
		"--agents=3 tenant add x":               "tenant add --agents=3 x",
		"--days status --json":                  "status --days --json",
		"user add robot list --tenant t":        "user add robot list --tenant t",
		"tenant add -- --json":                  "tenant add -- --json",
		"--bogus tenant list":                   "tenant list --bogus",
		"nonsense tenant list":                  "nonsense tenant list",
		"help tenant add":                       "help tenant add",
		"__complete tenant add":                 "__complete tenant add",
		"tenant add x --agents":                 "tenant add x --agents",
	} {
		got := commandFirst(newCommand(), strings.Fields(given))
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%q (-want +got): %s", given, diff)
		}
	}
}

// Flags of the same name must agree on whether they take a value, because commandFirst
// looks at them before it knows the command; and every command's help shows an example.
func TestCommandsAreOfOneForm(t *testing.T) {
	values := map[string]bool{}
	eachCommand(newCommand(), func(c *cobra.Command) {
		if c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		c.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			takes := flag.NoOptDefVal == ""
			if before, known := values[flag.Name]; known && before != takes {
				t.Errorf("--%s of %s takes a value: %v, elsewhere %v", flag.Name, c.CommandPath(), takes, before)
			}
			values[flag.Name] = takes
		})
	})
}
