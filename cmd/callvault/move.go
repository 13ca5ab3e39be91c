package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"callvault/account"
	"callvault/archive/s3"
	"callvault/move"

	"github.com/spf13/cobra"
)

func moveCommand(o *options) *cobra.Command {
	var from, to place
	c := &cobra.Command{
		Use:   "move [--from DIR] --to DIR",
		Short: "Move an archive to another place or form: folder, PostgreSQL, S3",
		Long: `Move an archive to another place, in another form or the same: all tables (tenants, users, people and
their passwords, limits and their use, the collector's ledger, the audit trail), audio, the JSON files
beside it, and the quarantine. The old archive is only read, except that the move is recorded in its
audit trail.

--from and --to name data folders; --from-database, --from-audio, --to-database and --to-audio name what
is elsewhere. Without any --from, the archive that other commands would work on is moved. If both the
database and the audio go elsewhere, --to is not needed. The configuration file is not moved.

First stop all services, workers and collecting on both sides. Each blob is read back from its new place
and checked against its SHA-256, and at the end all tables of both sides are read and compared. A move
that was cut short, however it ended, resumes when the same command is run again; until it is finished, no
other command opens the new archive.

Exit status 3: everything was moved, but some recordings were already damaged or missing; each is named.`,
		Example: `  callvault move --from callvault-data --to-database postgres://callvault@db/callvault \
    --to-audio 's3://recordings/audio?endpoint=https://s3.example.com&region=us-east-1'
  callvault move --from-database postgres://callvault@db/callvault --from-audio s3://recordings/audio --to new-data`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if from == (place{}) {
				from = o.place
			}
			if to.data == "" && (to.database == "" || to.audio == "") {
				return usageError{errors.New("say where to: --to DIR, or both --to-database and --to-audio")}
			}
			if from.data == "" && (from.database == "" || from.audio == "") {
				return usageError{errors.New("say where from: --from DIR, or both --from-database and --from-audio")}
			}
			return moveArchive(c, o, from, to)
		},
	}
	for _, side := range []struct {
		name, what string
		*place
	}{{"from", "to move from", &from}, {"to", "to move to", &to}} {
		c.Flags().StringVar(&side.data, side.name, "", "data folder "+side.what)
		c.Flags().StringVar(&side.database, side.name+"-database", "", "database "+side.what+", if not in the folder: postgres://USER@HOST/NAME")
		c.Flags().StringVar(&side.audio, side.name+"-audio", "", "store of the audio "+side.what+", if not in the folder: s3://BUCKET/PREFIX?endpoint=URL&region=R")
	}
	return c
}

// moveArchive opens both sides and moves everything from one to the other.
func moveArchive(c *cobra.Command, o *options, from, to place) (err error) {
	ctx := c.Context()
	if err := from.exists(); err != nil {
		return err
	}
	fromAudio, err := from.audioName()
	if err != nil {
		return err
	}
	toAudio, err := to.audioName()
	if err != nil {
		return err
	}
	if toAudio != fromAudio && within(toAudio, fromAudio) {
		return usageError{fmt.Errorf("%s is within %s, where what is moved would be found and moved again and again; name a place outside of it", toAudio, fromAudio)}
	}
	source, closeSource, err := from.side(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSource()) }()
	target, closeTarget, err := to.side(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeTarget()) }()
	if source.DB.Name() == target.DB.Name() || fromAudio == toAudio {
		return usageError{fmt.Errorf("%s and %s share their database or their audio; a move is between two places", source.Name, target.Name)}
	}
	bar := &moveProgress{}
	report, err := move.Run(ctx, move.Config{
		From: *source, To: *target, OnStep: bar.tell,
		OnBegin: func(ctx context.Context) error {
			return account.New(source.DB).Record(ctx, account.Event{Action: account.ActionMove, Detail: "to " + target.Name})
		},
	})
	bar.end()
	if err != nil {
		return err
	}
	return printMoved(c, o, report)
}

// audioName names the place of the audio, in a form that can be compared.
func (at place) audioName() (string, error) {
	if at.audio == "" {
		folder, err := filepath.Abs(at.data)
		return filepath.Join(folder, "audio"), err
	}
	location, err := s3.ParseLocation(at.audio)
	if err != nil {
		return "", usageError{err}
	}
	return location.Endpoint + " " + location.String(), nil
}

// within reports whether one folder, or one prefix of a store, lies in another.
func within(inner, outer string) bool {
	outer = strings.TrimSuffix(filepath.ToSlash(outer), "/") + "/"
	return strings.HasPrefix(filepath.ToSlash(inner)+"/", outer)
}

// exists fails when there is no database in the folder. Opening it would create one.
func (at place) exists() error {
	if at.database != "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(at.data, "callvault.db")); err != nil {
		return fmt.Errorf("there is no archive in the folder %s: %w", at.data, err)
	}
	return nil
}

// side opens one side of a move.
func (at place) side(ctx context.Context) (s *move.Side, closeQuarantine func() error, err error) {
	if at.data, err = filepath.Abs(at.data); err != nil {
		return nil, nil, err
	}
	name, err := at.audioName()
	if err != nil {
		return nil, nil, err
	}
	db, err := at.openDatabase(ctx)
	if err != nil {
		return nil, nil, err
	}
	audio, err := at.openAudio(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	quarantine, err := at.openQuarantine(audio)
	if err != nil {
		return nil, nil, errors.Join(err, audio.Close(), db.Close())
	}
	s = &move.Side{Name: at.data, DB: db, Audio: audio, Quarantine: quarantine}
	if at.database != "" || at.audio != "" {
		s.Name = db.Name() + " with the audio in " + name
	}
	return s, func() error { return errors.Join(quarantine.Close(), audio.Close(), db.Close()) }, nil
}

// moveProgress shows the progress of a move.
type moveProgress struct {
	mu  sync.Mutex
	bar *progress
}

func (m *moveProgress) tell(step move.Step) {
	m.mu.Lock()
	if m.bar == nil {
		m.bar = newProgress("move", step.Total)
	}
	m.mu.Unlock()
	m.bar.skip(step.Skipped)
	m.bar.advance(step.Rows, step.Done)
}

func (m *moveProgress) end() {
	if m.bar != nil {
		m.bar.end()
	}
}

// printMoved prints the result of a move.
func printMoved(c *cobra.Command, o *options, r *move.Report) error {
	out := c.OutOrStdout()
	if o.json {
		if err := printJSON(out, r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Faults {
			printFault(out, f.Tenant, f.RecordingKey, f.Fault)
		}
		var rows int64
		for _, t := range r.Tables {
			rows += t.Rows
		}
		if r.Already {
			fmt.Fprintf(out, "the archive was moved to %s before; both sides are the same: %d rows in %d tables\n", r.To, rows, len(r.Tables))
		} else {
			fmt.Fprintf(out, "moved to %s: %d recordings, %s, and %d other files copied and read back; %d rows in %d tables are the same on both sides; %d faults\n",
				r.To, r.Recordings, byteCount(r.Bytes), r.Files, rows, len(r.Tables), len(r.Faults))
		}
	}
	if len(r.Faults) > 0 {
		return errIncomplete
	}
	return nil
}
