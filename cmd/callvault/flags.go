package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commandFirst moves the words that name a command before all flags. Flags may then
// stand anywhere, even before the command, where cobra does not know yet which command
// they belong to and whether the next word is their value. Flags of the same name must
// therefore agree, across all commands, on whether they take a value.
func commandFirst(root *cobra.Command, args []string) []string {
	takesValue := map[string]bool{}
	eachCommand(root, func(c *cobra.Command) {
		for _, flags := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			flags.VisitAll(func(flag *pflag.Flag) { takesValue["--"+flag.Name] = flag.NoOptDefVal == "" })
		}
	})
	var words, rest []string
	command := root
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			rest = append(rest, args[i:]...)
			break
		}
		if below := child(command, arg); below != nil {
			command, words = below, append(words, arg)
			continue
		}
		rest = append(rest, arg)
		if takesValue[arg] && i+1 < len(args) {
			i++
			rest = append(rest, args[i])
		}
		if !strings.HasPrefix(arg, "-") {
			command = &cobra.Command{} // an argument: what follows names no command
		}
	}
	return append(words, rest...)
}

// eachCommand calls fn for a command and all its subcommands.
func eachCommand(c *cobra.Command, fn func(*cobra.Command)) {
	fn(c)
	for _, below := range c.Commands() {
		eachCommand(below, fn)
	}
}

// child returns the subcommand of c with that name, or nil.
func child(c *cobra.Command, name string) *cobra.Command {
	for _, below := range c.Commands() {
		if below.Name() == name {
			return below
		}
	}
	return nil
}
