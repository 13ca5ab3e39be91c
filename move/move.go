package move

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"callvault/archive"
	"callvault/database"

	"golang.org/x/sync/errgroup"
)

// Side is the archive that is moved, or the place that it is moved to.
type Side struct {
	Name              string // for people, without secrets; the same in each run
	DB                *database.DB
	Audio, Quarantine archive.Blobs
}

// Step reports progress, in units of work that take about the same time.
type Step struct {
	Total   int64 // of the whole move
	Done    int64 // since the last step
	Skipped int64 // since the last step, because an earlier run has done it
	Rows    int   // copied since the last step
}

// Config says what is moved. Nothing else may use either side during the move: changes that
// are found when the tables are compared at the end make the move fail.
type Config struct {
	From, To Side
	// OnBegin is called when a move begins, not when one is continued.
	OnBegin func(context.Context) error
	// OnStep is called after each step, from several goroutines.
	OnStep func(Step)
}

// Report is the result of a run.
type Report struct {
	From       string   `json:"from"`
	To         string   `json:"to"`
	Already    bool     `json:"already"`    // an earlier run completed the move, and both sides are still the same
	Resumed    bool     `json:"resumed"`    // an earlier run had begun the move
	Recordings int      `json:"recordings"` // whose files this run copied
	Bytes      int64    `json:"bytes"`      // of their audio
	Files      int      `json:"files"`      // other files: the quarantine, and files that belong to no recording
	Tables     []Digest `json:"tables"`     // as they are on both sides
	Faults     []Fault  `json:"faults"`     // of what was moved, by all runs
}

// How long the steps of a move take, in bytes of audio that are copied in the same time.
const (
	writeRowCost  = 200
	readRowCost   = 50
	copyFilesCost = 20_000 // the files of a recording, beside the bytes of its audio
)

// mover is a run of a move.
type mover struct {
	Config
	tables          []table
	audio, evidence copier
	endedMs         int64 // when an earlier run completed the move; 0 if none has
	total           int64
	report          *Report
	broken          []Fault
}

// Run moves an archive, or continues a move. What is wrong with the moved files is in the
// report; everything that prevents the move is an error, after which Run can be called
// again.
func Run(ctx context.Context, c Config) (*Report, error) {
	m := &mover{
		Config: c, report: &Report{From: c.From.Name, To: c.To.Name, Tables: []Digest{}, Faults: []Fault{}},
		audio: copier{c.From.Audio, c.To.Audio}, evidence: copier{c.From.Quarantine, c.To.Quarantine},
	}
	if err := Unfinished(ctx, c.From.DB); err != nil {
		return nil, fmt.Errorf("%s: %w", c.From.Name, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, side := range []Side{c.From, c.To} {
		release, err := side.lock(ctx, func() { cancel(errLockLost) })
		if err != nil {
			return nil, err
		}
		defer release()
	}
	err := m.run(ctx)
	if errors.Is(context.Cause(ctx), errLockLost) {
		err = fmt.Errorf("%w: run move again", errLockLost)
	}
	return m.report, archive.StorageError(err)
}

// errLockLost is the error when a lock was lost that kept others away from an archive.
var errLockLost = errors.New("the database could not be reached for a while, and others may have changed the archive meanwhile")

func (m *mover) run(ctx context.Context) (err error) {
	if m.tables, err = sameTables(ctx, m.From.DB, m.To.DB); err != nil {
		return err
	}
	if m.report.Resumed, err = m.begin(ctx); err != nil {
		return err
	}
	if err := m.measure(ctx); err != nil {
		return err
	}
	if m.endedMs > 0 {
		m.report.Already, m.report.Resumed = true, false
		return m.verify(ctx)
	}
	if err := m.rows(ctx); err != nil {
		return err
	}
	if err := m.files(ctx); err != nil {
		return err
	}
	if err := m.verify(ctx); err != nil {
		return err
	}
	return m.end(ctx)
}

// rows copies all tables, that of the recordings last, because it takes longest.
func (m *mover) rows(ctx context.Context) error {
	slices.SortStableFunc(m.tables, func(a, b table) int {
		return strings.Compare(sortKey(a.name), sortKey(b.name))
	})
	if m.report.Resumed {
		for i := range m.tables {
			if t := &m.tables[i]; len(t.key) > 0 {
				if err := t.prune(ctx, m.From.DB, m.To.DB); err != nil {
					return err
				}
			}
		}
	}
	for i := range m.tables {
		if err := m.copyTable(ctx, &m.tables[i]); err != nil {
			return err
		}
	}
	return nil
}

// sortKey sorts the table of recordings after all others.
func sortKey(name string) string {
	if name == recordingsTable {
		return "~"
	}
	return name
}

// copyTable copies the rows that the target lacks. Before the rows of recordings it copies
// their files.
func (m *mover) copyTable(ctx context.Context, t *table) error {
	if len(t.key) == 0 {
		return t.replace(ctx, m.From.DB, m.To.DB)
	}
	var after values
	for {
		page, lacks, err := t.lacking(ctx, m.From.DB, m.To.DB, after)
		if err != nil || len(page) == 0 {
			return err
		}
		after = t.keyOf(page[len(page)-1])
		var faults []Fault
		if t.name == recordingsTable {
			if faults, err = m.copyPage(ctx, t, page, lacks); err != nil {
				return err
			}
		}
		var wanted []values
		for i, row := range page {
			if lacks[i] {
				wanted = append(wanted, row)
			}
		}
		m.OnStep(Step{Total: m.total, Done: int64(len(wanted)) * writeRowCost, Skipped: int64(len(page)-len(wanted)) * writeRowCost, Rows: len(page)})
		if len(wanted) == 0 {
			continue
		}
		err = write(ctx, m.To.DB, func(tx *sql.Tx) error {
			if err := t.insert(ctx, tx, wanted); err != nil {
				return err
			}
			return saveFaults(ctx, tx, faults)
		})
		if err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
}

// copyPage copies the files of a page of recordings.
func (m *mover) copyPage(ctx context.Context, t *table, page []values, lacks []bool) ([]Fault, error) {
	all := make([]recording, len(page))
	for i, row := range page {
		r, err := recordingOf(t, row)
		if err != nil {
			return nil, err
		}
		r.moved = !lacks[i]
		all[i] = r
	}
	return m.copyRecordings(ctx, all)
}

// copied reports a recording whose files are at the target.
func (m *mover) copied(r *recording) {
	switch {
	case r.moved && r.sha256 != "":
		m.OnStep(Step{Total: m.total, Skipped: copyFilesCost + r.bytes})
	case r.audio != "":
		m.report.Recordings++
		m.report.Bytes += r.bytes
		m.OnStep(Step{Total: m.total, Done: copyFilesCost + r.bytes})
	}
}

// files copies the files that belong to no row: evidence in the quarantine, and files that
// a crash has left.
func (m *mover) files(ctx context.Context) error {
	for _, c := range []struct {
		copier
		equal bool
	}{{m.audio, false}, {m.evidence, true}} {
		n, broken, err := c.copyRest(ctx, c.equal)
		if err != nil {
			return err
		}
		m.report.Files += n
		for _, b := range broken {
			m.broken = append(m.broken, Fault{RecordingKey: b.key, Fault: fmt.Sprintf("this file cannot be read: %v", b.fault)})
		}
	}
	return nil
}

// measure adds up how much there is to do.
func (m *mover) measure(ctx context.Context) error {
	count := func(query string) (n int64, err error) {
		err = m.From.DB.Reader.QueryRowContext(database.Patient(ctx), query).Scan(&n)
		return n, err
	}
	for i := range m.tables {
		rows, err := count(`SELECT count(*) FROM ` + quote(m.tables[i].name))
		if err != nil {
			return fmt.Errorf("count rows: %w", err)
		}
		m.total += rows * 2 * readRowCost
		if m.endedMs == 0 {
			m.total += rows * writeRowCost
		}
	}
	if m.endedMs > 0 {
		return nil // the audio is not read again
	}
	bytes, err := count(fmt.Sprintf(`SELECT CAST(coalesce(sum(bytes + %d), 0) AS BIGINT) FROM %s WHERE length(sha256) > 0`, copyFilesCost, recordingsTable))
	if err != nil {
		return fmt.Errorf("count audio: %w", err)
	}
	m.total += bytes
	return nil
}

// verify reads all tables on both sides, and returns an error unless they are the same.
func (m *mover) verify(ctx context.Context) error {
	var differ []string
	for i := range m.tables {
		t := &m.tables[i]
		var sides [2]Digest
		reading, ctx := errgroup.WithContext(ctx)
		for i, db := range []*database.DB{m.From.DB, m.To.DB} {
			reading.Go(func() (err error) {
				sides[i], err = t.digest(ctx, db, func(rows int) { m.OnStep(Step{Total: m.total, Done: int64(rows) * readRowCost}) })
				return err
			})
		}
		if err := reading.Wait(); err != nil {
			return err
		}
		if sides[0] != sides[1] {
			differ = append(differ, t.name)
		}
		m.report.Tables = append(m.report.Tables, sides[1])
	}
	var err error
	if m.report.Faults, err = savedFaults(ctx, m.To.DB); err != nil {
		return err
	}
	m.report.Faults = append(m.report.Faults, m.unnamed()...)
	switch {
	case len(differ) == 0:
		return nil
	case m.endedMs > 0:
		return fmt.Errorf("the archive was moved into %s before and has changed on one side since (%s): nothing was done; to move it again, name an empty place", m.To.Name, strings.Join(differ, ", "))
	}
	return fmt.Errorf("the archive was changed while it was moved (%s): stop what uses %s, and run move again", strings.Join(differ, ", "), m.From.Name)
}

// unnamed returns the broken files, except those of recordings that are in the report
// already.
func (m *mover) unnamed() (faults []Fault) {
	for _, f := range m.broken {
		folder, _, _ := strings.Cut(f.RecordingKey, "/")
		name := strings.TrimSuffix(path.Base(f.RecordingKey), path.Ext(f.RecordingKey))
		if !slices.ContainsFunc(m.report.Faults, func(known Fault) bool {
			return archive.FileName(known.Tenant) == folder && archive.FileName(known.RecordingKey) == name
		}) {
			faults = append(faults, f)
		}
	}
	return faults
}

// lock takes the locks that keep others away from the archive while it is moved. The error
// names whoever is using it. lost is called when a lock is lost.
func (s *Side) lock(ctx context.Context, lost func()) (release func(), err error) {
	var held []func()
	release = func() {
		for _, unlock := range held {
			unlock()
		}
	}
	for _, name := range []string{"move", "service"} {
		unlock, err := s.DB.Lock(name, lost)
		if err != nil {
			release()
			return nil, fmt.Errorf("%s must be left alone while it is moved; stop what uses it: %w", s.Name, err)
		}
		held = append(held, unlock)
	}
	who, err := s.DB.Others(ctx)
	if err == nil && who != "" {
		err = fmt.Errorf("%s must be left alone while it is moved; stop what uses it: %s", s.Name, who)
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}
