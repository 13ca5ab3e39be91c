package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"callvault"
	"callvault/account"
	"callvault/archive"
	"callvault/ingest"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// imported is the result of an import, as --json prints it.
type imported struct {
	Tenant  string        `json:"tenant"`
	Added   int           `json:"added"`
	Known   int           `json:"known"`
	Refused []importFault `json:"refused"`
}

type importFault struct {
	Path  string `json:"path"`
	Fault string `json:"fault"`
}

func importCommand(o *options) *cobra.Command {
	var tenant string
	c := &cobra.Command{
		Use:   "import --tenant T PATH...",
		Short: "Import audio files and folders into the archive",
		Long: `Import audio files and folders into the archive: Ogg Opus and WAV. A recording's metadata is read from a
KEY.json beside it, from a CSV in its folder whose header names the API's fields (and a column file), from
JSON lines as export writes them, or from its file name, if that is in the form of Asterisk's MixMonitor or
FreePBX. The same audio for the same tenant is one recording, so an import can be repeated.

Exit status 3: some files could not be imported; each is named, with the reason.`,
		Example: "  callvault import --tenant acme-ns /var/spool/asterisk/monitor",
		Args:    someArguments("the PATH of a file or folder"),
		RunE: func(c *cobra.Command, args []string) error {
			if tenant == "" {
				return usageError{errors.New("name the tenant that the recordings belong to: --tenant T")}
			}
			return withAudio(c.Context(), o, func(v *vault) error {
				owner, err := v.accounts.Tenant(c.Context(), tenant)
				if err != nil {
					return fmt.Errorf("%w; add it first with tenant add", err)
				}
				done, err := importPaths(c.Context(), v, owner, args)
				recordErr := v.accounts.Record(context.WithoutCancel(c.Context()), account.Event{
					Action: account.ActionImport, Tenant: tenant,
					Detail: fmt.Sprintf("%d recordings added, %d there already, %d files not imported", done.Added, done.Known, len(done.Refused)),
				})
				err = errors.Join(err, recordErr)
				if printErr := done.print(c, o); err == nil {
					err = printErr
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "the tenant that the recordings belong to")
	return c
}

// importPaths imports what it finds below the paths, several files at a time.
func importPaths(ctx context.Context, v *vault, tenant *callvault.Tenant, paths []string) (*imported, error) {
	done := &imported{Tenant: tenant.Name, Refused: []importFault{}}
	files, failures := ingest.Scan(paths)
	for _, path := range slices.Sorted(maps.Keys(failures)) {
		done.Refused = append(done.Refused, importFault{path, forPeople(failures[path])})
	}
	var total int64
	for i := range files {
		total += files[i].Size
	}
	bar := newProgress("import", total)
	defer bar.end()
	intake := ingest.New(v.archive)
	var mu sync.Mutex
	workers, working := errgroup.WithContext(ctx)
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for i := range files {
		if working.Err() != nil {
			break
		}
		workers.Go(func() error {
			outcome, err := intake.File(working, tenant, &files[i])
			bar.add(files[i].Size)
			mu.Lock()
			defer mu.Unlock()
			return done.note(files[i].Path, outcome, err)
		})
	}
	err := workers.Wait()
	if err == nil {
		err = ctx.Err() // interrupted between two files
	}
	return done, err
}

// note counts one file. It returns an error that the next file would meet too.
func (done *imported) note(path string, outcome archive.Outcome, err error) error {
	switch {
	case errors.Is(err, callvault.InsufficientStorage), errors.Is(err, callvault.Unavailable), errors.Is(err, context.Canceled):
		return err
	case err != nil:
		done.Refused = append(done.Refused, importFault{path, forPeople(err)})
	case outcome == archive.Unchanged:
		done.Known++
	default:
		done.Added++
	}
	return nil
}

// print prints the result; it returns errIncomplete if files were refused.
func (done *imported) print(c *cobra.Command, o *options) error {
	slices.SortFunc(done.Refused, func(a, b importFault) int { return strings.Compare(a.Path, b.Path) })
	if o.json {
		if err := printJSON(c.OutOrStdout(), done); err != nil {
			return err
		}
	} else {
		for _, fault := range done.Refused {
			fmt.Fprintf(c.ErrOrStderr(), "not imported: %s: %s\n", shownName(fault.Path), fault.Fault)
		}
		printSummary(c.OutOrStdout(), done)
	}
	if len(done.Refused) > 0 {
		return errIncomplete
	}
	return nil
}

func printSummary(w io.Writer, done *imported) {
	fmt.Fprintf(w, "%d recordings added to %s, %d were there already, %d files not imported\n",
		done.Added, done.Tenant, done.Known, len(done.Refused))
}
