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

// newCommand builds the whole command line.
func newCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "callvault",
		Short: "An archive for call recordings: serves them over the recordings API, collects and imports them",
		Example: `  callvault demo                                  see it work, with sample calls
  callvault tenant add acme-ns --agents 25        add a site
  callvault user add robot --tenant acme-ns       add a service user; prints its key
  callvault import --tenant acme-ns /var/spool/asterisk/monitor
  callvault serve                                 run the service`,
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
	root.PersistentFlags().StringVar(&o.database, "database", os.Getenv("CALLVAULT_DATABASE"), "use this database instead of the one in the data folder: postgres://USER@HOST/NAME (CALLVAULT_DATABASE)")
	root.PersistentFlags().StringVar(&o.audio, "audio", os.Getenv("CALLVAULT_AUDIO"), "store audio here instead of in the data folder: s3://BUCKET/PREFIX?endpoint=URL&region=R (CALLVAULT_AUDIO)")
	for _, secretive := range []string{"database", "audio"} { // --help must not print a password from the environment
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

// helpCommand is help COMMAND. Unlike cobra's own it fails when there is no such command.
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

// noArguments, like oneArgument and someArguments, makes a wrong number of arguments a
// usage error.
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

// commandName is the command as it is typed, without the program's name.
func commandName(c *cobra.Command) string {
	return strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
}

// noFlagsSet reports whether none of a command's own flags was given.
func noFlagsSet(c *cobra.Command) bool {
	nothing := true
	c.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) { nothing = nothing && !flag.Changed })
	return nothing
}

// group is a command that does nothing itself but has subcommands; the example is one
// of theirs.
func group(use, short, example string, subcommands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Example: example, Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(subcommands...)
	return c
}

// asUsage turns an error that wraps callvault.InvalidParameter into a usage error.
func asUsage(err error) error {
	if errors.Is(err, callvault.InvalidParameter) {
		return usageError{err}
	}
	return err
}

// statusNumber matches a callvault.Code in the text of an error.
var (
	statusNumber = regexp.MustCompile(`: \d{3} [a-z_]+`)
	asOneLine    = strings.NewReplacer(":\n\t", ": ", "\n\t", "; ", "\n", "; ")
)

// forPeople returns an error's text on one line, without the API's status numbers, and
// without characters that could control the terminal: a part of it may come from outside.
func forPeople(err error) string {
	text := statusNumber.ReplaceAllString(err.Error(), "")
	return strings.Map(printable, asOneLine.Replace(text))
}
