package main

import (
	"errors"
	"fmt"
	"time"

	"callvault/archive"

	"github.com/spf13/cobra"
)

func rebuildCommand(o *options) *cobra.Command {
	var lost bool
	c := &cobra.Command{
		Use:   "rebuild",
		Short: "Rebuild the database from the files alone",
		Long: `Rebuild the recordings and calls of the database from the audio folder: the audio and the JSON file beside
each. Tenants found there are added, with default settings. Users, keys, the tenants' settings and the
counted egress are only in the database; if that was lost, restore them from a backup, or make them again.
Recordings whose files are gone are removed from the database. If no file is there at all, that needs
--audio-lost: a disk that is not mounted looks the same.

Exit status 3: some files could not be used; each is named, with the reason.`,
		Example: "  callvault rebuild --data callvault-data",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			with := withAudio
			if lost {
				with = withVault
			}
			config, err := readConfig(o) // a mistake in it must not end hours of work
			if err != nil {
				return err
			}
			return with(c.Context(), o, func(v *vault) error { return rebuild(c, o, v, config) })
		},
	}
	c.Flags().BoolVar(&lost, "audio-lost", false, "go on although no audio file is there, because all are lost")
	return c
}

func rebuild(c *cobra.Command, o *options, v *vault, config *config) error {
	long := time.AfterFunc(plainEvery, func() {
		fmt.Fprintln(c.ErrOrStderr(), "rebuild: still checking the database for damage")
	})
	err := v.db.Check(c.Context())
	long.Stop()
	if err != nil {
		return err // what is written into a damaged database would be lost, or collide with what is not there
	}
	printed := time.Now()
	done, err := v.archive.Rebuild(c.Context(), time.Now(), func(so archive.Rebuilt) {
		if time.Since(printed) >= plainEvery {
			printed = time.Now()
			fmt.Fprintf(c.ErrOrStderr(), "rebuild: %d recordings so far\n", so.Recordings)
		}
	})
	if err != nil {
		return err
	}
	if err := reconcile(c, v, config, &done); err != nil {
		return err
	}
	if err := v.accounts.EnsureTenants(c.Context(), done.Tenants, time.Now()); err != nil {
		return err
	}
	users, err := v.accounts.Users(c.Context())
	if err != nil {
		return err
	}
	if o.json {
		err = printJSON(c.OutOrStdout(), map[string]any{
			"recordings": done.Recordings, "held": done.Held, "dropped": done.Dropped, "tenants": len(done.Tenants), "faults": done.Faults,
		})
	} else {
		for _, fault := range done.Faults {
			printFault(c.OutOrStdout(), "", fault.RecordingKey, fault.Fault)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%d recordings of %d tenants restored from the files, %d with audio; %d rows without files removed; %d faults\n",
			done.Recordings, len(done.Tenants), done.Held, done.Dropped, len(done.Faults))
	}
	if err != nil {
		return err
	}
	if len(users) == 0 {
		fmt.Fprintln(c.ErrOrStderr(), "users and the tenants' settings are not in the files: make them again with user add and tenant set, or restore callvault.db")
	}
	if len(done.Faults) > 0 {
		return errIncomplete
	}
	return nil
}

// reconcile brings the collector's ledger into line with what was rebuilt.
func reconcile(c *cobra.Command, v *vault, config *config, done *archive.Rebuilt) error {
	var sources []string
	for i := range config.Source {
		sources = append(sources, config.Source[i].Name)
	}
	collector, closeQuarantine, err := newCollector(v, warningLog())
	if err != nil {
		return err
	}
	return errors.Join(collector.Reconcile(c.Context(), sources, done.Recent), closeQuarantine())
}
