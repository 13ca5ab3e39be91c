package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"callvault/account"

	"github.com/spf13/cobra"
)

func auditCommand(o *options) *cobra.Command {
	return group("audit", "Show, verify and export the audit trail: who did what, when and from where", "  callvault audit list --who kelly", auditListCommand(o), auditVerifyCommand(o), auditExportCommand(o))
}

func auditListCommand(o *options) *cobra.Command {
	var q account.AuditQuery
	var since, until string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the newest entries of the audit trail",
		Example: `  callvault audit list --who kelly --since 2024-02-01
  callvault audit list --recording 91a1e1e8-1707770449131 --json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if q.Limit < 1 {
				return usageError{fmt.Errorf("--limit %d is not a number of entries", q.Limit)}
			}
			var err error
			if q.Span, err = spanOf(since, until); err != nil {
				return err
			}
			return withDatabase(c.Context(), o, func(v *vault) error {
				events, err := v.accounts.Events(c.Context(), &q)
				if err != nil {
					return err
				}
				if o.json {
					return printJSON(c.OutOrStdout(), events)
				}
				var rows [][]string
				for i := range events {
					rows = append(rows, eventRow(&events[i]))
				}
				return printTable(c.OutOrStdout(), []string{"ENTRY", "WHEN", "WHO", "VIA", "FROM", "ACTION", "TENANT", "RECORDING", "DETAIL"}, rows)
			})
		},
	}
	c.Flags().StringVar(&q.Who, "who", "", "only what this person, service user or operating system user did")
	c.Flags().StringVar(&q.Tenant, "tenant", "", "only what concerns this tenant")
	c.Flags().StringVar(&q.Recording, "recording", "", "only what was done with the recording with this key")
	c.Flags().StringVar(&since, "since", "", "only what was done then or later: a day, or a time with an offset")
	c.Flags().StringVar(&until, "until", "", "only what was done before then")
	c.Flags().IntVar(&q.Limit, "limit", 100, "the most entries to list")
	return c
}

// eventRow returns an entry as a row of the table.
func eventRow(e *account.Event) []string {
	action := e.Action
	if e.Times > 1 {
		action += fmt.Sprintf(" (%d times)", e.Times)
	}
	return []string{strconv.FormatInt(e.Seq, 10), moment(e.At), e.Who, e.Via, e.From, action, e.Tenant, e.Recording, e.Detail}
}

// chain is the result of audit verify, as --json prints it.
type chain struct {
	Entries int64        `json:"entries"`
	Hash    account.Hash `json:"hash"` // of the last entry that matches
	Fault   string       `json:"fault"`
}

func auditVerifyCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Recompute the audit trail's chain of hashes",
		Long: `Recompute the audit trail's chain of hashes, and name the first entry that does not match. Keep the
length and the last hash that are printed in another place: a later trail in which that entry does not
have that hash has been rewritten.

Exit status 3: the chain is broken.`,
		Example: "  callvault audit verify",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return withExisting(c.Context(), o, func(v *vault) error {
				var found chain
				var outcome error
				var broken account.Broken
				var err error
				found.Entries, found.Hash, err = v.accounts.VerifyAudit(c.Context())
				if errors.As(err, &broken) {
					found.Fault, outcome = broken.Error(), errIncomplete
				} else if err != nil {
					return err
				}
				if o.json {
					return errors.Join(printJSON(c.OutOrStdout(), found), outcome)
				}
				if outcome != nil {
					fmt.Fprintln(c.ErrOrStderr(), found.Fault)
				}
				fmt.Fprintf(c.OutOrStdout(), "%d entries of the audit trail are intact; the last has the hash %v\n", found.Entries, found.Hash)
				return outcome
			})
		},
	}
}

func auditExportCommand(o *options) *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:     "export",
		Short:   "Write the whole audit trail as JSON lines, each entry with its hash",
		Example: "  callvault audit export --to audit.jsonl",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return withDatabase(c.Context(), o, func(v *vault) error {
				if to == "" {
					return writeEvents(c, v, c.OutOrStdout())
				}
				if target, err := filepath.EvalSymlinks(to); err == nil {
					to = target
				}
				if info, err := os.Lstat(to); err == nil && !info.Mode().IsRegular() {
					return writeEventsInto(c, v, to)
				}
				return writeAtomically(to, func(file *os.File) error {
					return errors.Join(file.Chmod(0o600), writeEvents(c, v, file))
				})
			})
		},
	}
	c.Flags().StringVar(&to, "to", "", "the file to write (default: standard output)")
	return c
}

// writeEventsInto writes the audit trail into a pipe, a device or the like, which cannot be
// replaced by a file.
func writeEventsInto(c *cobra.Command, v *vault, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(writeEvents(c, v, file), file.Close())
}

// writeEvents writes the audit trail as JSON lines, and then adds to it that it was
// exported.
func writeEvents(c *cobra.Command, v *vault, to io.Writer) error {
	buffer := bufio.NewWriter(to)
	lines := json.NewEncoder(buffer)
	lines.SetEscapeHTML(false)
	entries := 0
	for e, err := range v.accounts.AllEvents(c.Context()) {
		if err != nil {
			return err
		}
		if err := lines.Encode(&e); err != nil {
			return err
		}
		entries++
	}
	if err := buffer.Flush(); err != nil {
		return err
	}
	return v.accounts.Record(c.Context(), account.Event{Action: account.ActionExport, Detail: fmt.Sprintf("%d entries of the audit trail", entries)})
}
