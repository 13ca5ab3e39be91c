package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

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
		collectCommand(o), planCommand(o), statusCommand(o), settleCommand(o), exportCommand(o), verifyCommand(o), rebuildCommand(o), moveCommand(o), versionCommand(o),
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
	return usageError{fmt.Errorf("%s takes no arguments, and was given %q", words(c), args)}
}

func oneArgument(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s takes one argument, %s, and was given %d", words(c), what, len(args))}
		}
		return nil
	}
}

func someArguments(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("%s needs %s", words(c), what)}
		}
		return nil
	}
}

// words is a command as it is called, without the program's name.
func words(c *cobra.Command) string { return strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ") }

// setsNothing tells whether none of a command's own flags was given.
func setsNothing(c *cobra.Command) bool {
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

// statusNumber is how a callvault.Code stands in the text of an error, otherStatus
// one that the API does not use.
var (
	statusNumber = regexp.MustCompile(`: \d{3} [a-z_]+`)
	otherStatus  = regexp.MustCompile(`: (\d{3}) status_\d{3}`)
)

// forPeople is an error's text without the status numbers of the API, on one line.
func forPeople(err error) string {
	text := otherStatus.ReplaceAllString(err.Error(), ": answered with status $1")
	text = statusNumber.ReplaceAllString(text, "")
	return strings.ReplaceAll(text, "\n", "; ")
}

// printJSON prints a value as JSON.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// printTable prints rows under a header, in columns. What came from outside can
// neither break the table nor command the terminal.
func printTable(w io.Writer, header []string, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(header, "\t"))
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(table, "\t")
			}
			fmt.Fprint(table, strings.Map(printable, cell))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// printable is a character of a table's cell; a space for what is none.
func printable(c rune) rune {
	if unicode.IsControl(c) {
		return ' '
	}
	return c
}

// byteCount writes a number of bytes for people.
func byteCount(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n)/unit, 0
	for value >= unit && prefix < 5 {
		value, prefix = value/unit, prefix+1
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTPE"[prefix])
}

// moment writes Unix milliseconds for people, in UTC; a dash for never.
func moment(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05Z")
}
