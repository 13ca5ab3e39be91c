package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commandFirst puts the words that name a command before all flags, so that flags
// may stand anywhere, also where cobra does not know yet whose they are and
// whether the next word is their value. All commands' flags of one name must
// agree on that.
func commandFirst(root *cobra.Command, args []string) []string {
	bare := map[string]bool{"--help": true, "-h": true}
	eachCommand(root, func(c *cobra.Command) {
		for _, flags := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			flags.VisitAll(func(flag *pflag.Flag) { bare["--"+flag.Name] = flag.NoOptDefVal != "" })
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
		if noValue, known := bare[arg]; known && !noValue && i+1 < len(args) {
			i++
			rest = append(rest, args[i])
		}
		if !strings.HasPrefix(arg, "-") {
			command = &cobra.Command{} // an argument: what follows names no command
		}
	}
	return append(words, rest...)
}

// eachCommand calls fn for a command and all below it.
func eachCommand(c *cobra.Command, fn func(*cobra.Command)) {
	fn(c)
	for _, below := range c.Commands() {
		eachCommand(below, fn)
	}
}

// child is the command of that name below c, or nil.
func child(c *cobra.Command, name string) *cobra.Command {
	for _, below := range c.Commands() {
		if below.Name() == name {
			return below
		}
	}
	return nil
}
