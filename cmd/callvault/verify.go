package main

import (
	"fmt"
	"io"
	"math"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/collect"

	"github.com/spf13/cobra"
)

// verified is the result of verify, as --json prints it.
type verified struct {
	Read         int               `json:"read"`
	Bytes        int64             `json:"bytes"`
	Faults       []archive.Checked `json:"faults"`
	OldestReadAt *int64            `json:"oldestReadAt"`
}

func verifyCommand(o *options) *cobra.Command {
	var tenant, since, until, part string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read the audio back, and check its SHA-256 and its Ogg structure",
		Long: `Read the audio back, check its SHA-256 and its Ogg structure, name each fault, and remember when each
recording was last read. With --part 3/30, read only the third of thirty parts, so that one part each
night covers everything within a month.

Exit status 3: there are faults.`,
		Example: `  callvault verify
  callvault verify --part $(($(date +%s) / 86400 % 30 + 1))/30 --json    # tonight's part`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			selection := archive.Selection{Tenant: tenant}
			var err error
			if selection.Span, err = spanOf(since, until); err != nil {
				return err
			}
			if selection.Part, err = partOf(part); err != nil {
				return err
			}
			return withExisting(c.Context(), o, func(v *vault) error { return verify(c, o, v, selection) })
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant's recordings")
	c.Flags().StringVar(&since, "since", "", "only recordings that start then or later: a day, or a time with an offset")
	c.Flags().StringVar(&until, "until", "", "only recordings that start before then")
	c.Flags().StringVar(&part, "part", "", "n/t: only the nth of t parts")
	return c
}

func verify(c *cobra.Command, o *options, v *vault, selection archive.Selection) error {
	if selection.Tenant != "" {
		if _, err := v.accounts.Tenant(c.Context(), selection.Tenant); err != nil {
			return err // a mistyped name would otherwise be found to be whole
		}
	}
	done := verified{Faults: []archive.Checked{}}
	var bar *progress
	for checked, err := range v.archive.Verify(c.Context(), selection, time.Now()) {
		if err != nil {
			if !o.json { // the faults found so far are real, whatever the error
				done.printFaults(c.OutOrStdout())
			}
			return err
		}
		if bar == nil {
			bar = newProgress("verify", int64(checked.Total))
			defer bar.end()
		}
		if checked.Bytes > 0 {
			done.Read++
			done.Bytes += checked.Bytes
			bar.add(1)
		}
		if checked.Fault != "" {
			done.Faults = append(done.Faults, checked)
		}
	}
	oldest, err := v.archive.OldestRead(c.Context())
	if err != nil {
		return err
	}
	if oldest > 0 {
		done.OldestReadAt = &oldest
	}
	return done.print(c, o)
}

func (done *verified) print(c *cobra.Command, o *options) error {
	if o.json {
		if err := printJSON(c.OutOrStdout(), done); err != nil {
			return err
		}
	} else {
		done.printFaults(c.OutOrStdout())
		oldest := "some were never read whole"
		switch {
		case done.OldestReadAt != nil:
			oldest = "all were read since " + moment(*done.OldestReadAt)
		case done.Read == 0:
			oldest = "nothing was read yet"
		}
		fmt.Fprintf(c.OutOrStdout(), "%d recordings read, %s, %d faults; %s\n", done.Read, byteCount(done.Bytes), len(done.Faults), oldest)
	}
	if len(done.Faults) > 0 {
		return errIncomplete
	}
	return nil
}

func (done *verified) printFaults(out io.Writer) {
	for _, fault := range done.Faults {
		printFault(out, fault.Tenant, fault.RecordingKey, fault.Fault)
	}
}

// spanOf parses --since and --until: days in UTC, or times with an offset.
func spanOf(since, until string) (callvault.Span, error) { return spanIn(time.UTC, since, until) }

// spanIn is spanOf with days in a time zone.
func spanIn(zone *time.Location, since, until string) (callvault.Span, error) {
	span := callvault.Span{From: 0, To: math.MaxInt64}
	for _, end := range []struct {
		flag string // its value
		ms   *int64
	}{{since, &span.From}, {until, &span.To}} {
		if end.flag == "" {
			continue
		}
		day, err := collect.ParseDay(end.flag, zone)
		if err == nil {
			*end.ms = day.From
			continue
		}
		if *end.ms, err = callvault.ParseTime(end.flag); err != nil {
			return span, usageError{fmt.Errorf("%.40q is neither a day that exists, such as 2024-02-29, nor a time with an offset, such as 2024-02-29T23:59:59-06:00", end.flag)}
		}
	}
	if span.From > span.To {
		return span, usageError{fmt.Errorf("--until %s is before --since %s", until, since)}
	}
	return span, nil
}

// partOf parses --part.
func partOf(text string) (part archive.Part, err error) {
	if text == "" {
		return part, nil
	}
	n, err := fmt.Sscanf(text, "%d/%d", &part.N, &part.Of)
	if err != nil || n != 2 || part.N < 1 || part.N > part.Of || text != fmt.Sprintf("%d/%d", part.N, part.Of) {
		return part, usageError{fmt.Errorf("--part %q is not n/t with n from 1 to t, such as 3/30", text)}
	}
	return part, nil
}
