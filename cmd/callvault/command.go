package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
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
	root.AddCommand(
		serveCommand(o), workerCommand(o), demoCommand(o), tenantCommand(o), userCommand(o), auditCommand(o), importCommand(o),
		collectCommand(o), planCommand(o), statusCommand(o), settleCommand(o), exportCommand(o), verifyCommand(o), rebuildCommand(o), moveCommand(o), versionCommand(),
	)
	return root
}

func envOr(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// noArguments and the like tell a wrong number of arguments as a wrong usage.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if c.HasSubCommands() {
		return usageError{fmt.Errorf("there is no command %q", strings.TrimSpace(c.CommandPath()+" "+args[0]))}
	}
	return usageError{fmt.Errorf("%s takes no arguments, and was given %q", c.CommandPath(), args)}
}

func oneArgument(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s takes one argument, %s, and was given %d", c.CommandPath(), what, len(args))}
		}
		return nil
	}
}

func someArguments(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("%s needs %s", c.CommandPath(), what)}
		}
		return nil
	}
}

// group is a command that only has others below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noArguments, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(below...)
	return c
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

// printTable prints rows under a header, in columns.
func printTable(w io.Writer, header []string, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(header, "\t"))
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

// byteCount writes a number of bytes for people.
func byteCount(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n)/unit, 0
	for value >= unit && prefix < 4 {
		value, prefix = value/unit, prefix+1
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTP"[prefix])
}

// moment writes Unix milliseconds for people, in UTC; a dash for never.
func moment(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05Z")
}
