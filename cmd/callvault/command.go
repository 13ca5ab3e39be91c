package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"callvault"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// options are the flags that every command has.
type options struct {
	place
	config string
	json   bool
}

// newCommand is the whole command line.
func newCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "callvault",
		Short: "Keeps call recordings: serves them by the recordings API, and takes them in",
		Example: `  callvault demo                                  see it work, with sample calls
  callvault tenant add acme-ns --agents 25        a site
  callvault user add robot --tenant acme-ns       a service user; prints its key
  callvault import --tenant acme-ns /var/spool/asterisk/monitor
  callvault serve                                 the service`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArguments,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if o.data == "" {
				return usageError{errors.New("--data is empty; name the folder of the archive")}
			}
			return nil
		},
	}
	root.PersistentFlags().StringVar(&o.data, "data", envOr("CALLVAULT_DATA", "callvault-data"), "folder of the archive (CALLVAULT_DATA)")
	root.PersistentFlags().StringVar(&o.database, "database", os.Getenv("CALLVAULT_DATABASE"), "the database instead: postgres://USER@HOST/NAME (CALLVAULT_DATABASE)")
	root.PersistentFlags().StringVar(&o.audio, "audio", os.Getenv("CALLVAULT_AUDIO"), "where audio is kept instead: s3://BUCKET/PREFIX?endpoint=URL&region=R (CALLVAULT_AUDIO)")
	for _, secretive := range []string{"database", "audio"} { // what the environment holds may have a password in it: not for --help
		root.PersistentFlags().Lookup(secretive).DefValue = ""
	}
	root.PersistentFlags().StringVar(&o.config, "config", os.Getenv("CALLVAULT_CONFIG"), "configuration file (CALLVAULT_CONFIG; else callvault.toml in the data folder)")
	root.PersistentFlags().BoolVar(&o.json, "json", false, "print tables as JSON")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(helpCommand())
	root.AddCommand(
		serveCommand(o), workerCommand(o), demoCommand(o), tenantCommand(o), userCommand(o), auditCommand(o), importCommand(o),
		collectCommand(o), planCommand(o), statusCommand(o), settleCommand(o), reopenCommand(o), handoverCommand(o), exportCommand(o), verifyCommand(o), rebuildCommand(o), moveCommand(o), versionCommand(o),
	)
	return root
}

func envOr(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// helpCommand is help COMMAND, for which there must be such a command.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Explain a command",
		Example: "  callvault help tenant add",
		RunE: func(c *cobra.Command, args []string) error {
			asked, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usageError{fmt.Errorf("there is no command %q", strings.Join(args, " "))}
			}
			asked.InitDefaultHelpFlag()
			return asked.Help()
		},
	}
}

// noArguments and the like tell a wrong number of arguments as a wrong usage.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if c.HasSubCommands() {
		return usageError{fmt.Errorf("there is no command %q", c.CommandPath()+" "+args[0])}
	}
	return usageError{fmt.Errorf("%s takes no arguments, and was given %q", commandName(c), args)}
}

func oneArgument(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s takes one argument, %s, and was given %d", commandName(c), what, len(args))}
		}
		return nil
	}
}

func someArguments(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("%s needs %s", commandName(c), what)}
		}
		return nil
	}
}

// commandName is a command as it is called, without the program's name.
func commandName(c *cobra.Command) string {
	return strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
}

// noFlagsSet tells whether none of a command's own flags was given.
func noFlagsSet(c *cobra.Command) bool {
	nothing := true
	c.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) { nothing = nothing && !flag.Changed })
	return nothing
}

// group is a command that only has others below it; the example is of one of them.
func group(use, short, example string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Example: example, Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(below...)
	return c
}

// asUsage makes a wrong usage of what is refused because it was given wrongly.
func asUsage(err error) error {
	if errors.Is(err, callvault.InvalidParameter) {
		return usageError{err}
	}
	return err
}

// statusNumber is how a callvault.Code stands in the text of an error.
var (
	statusNumber = regexp.MustCompile(`: \d{3} [a-z_]+`)
	asOneLine    = strings.NewReplacer(":\n\t", ": ", "\n\t", "; ", "\n", "; ")
)

// forPeople is an error's text without the status numbers of the API, on one line.
func forPeople(err error) string {
	text := statusNumber.ReplaceAllString(err.Error(), "")
	return asOneLine.Replace(text)
}
