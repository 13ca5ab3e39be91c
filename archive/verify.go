package archive

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"iter"
	"time"

	"callvault"
	"callvault/audio"
)

// Part is one of Of parts, numbered from 1, into which recordings are divided by
// their keys, so that all can be read within Of nights. The zero Part is all of them.
type Part struct{ N, Of int }

// holds reports whether the recording is in the part.
func (p Part) holds(tenant, key string) bool {
	if p.Of == 0 {
		return true
	}
	sum := fnv.New32a()
	io.WriteString(sum, tenant+"/"+key)
	return int(sum.Sum32()%uint32(p.Of)) == p.N-1
}

// Selection says which recordings Verify reads.
type Selection struct {
	Tenant string         // empty for all tenants
	Span   callvault.Span // of the recording's start
	Part   Part
}

// Checked is what Verify found out about one recording or blob. Fault says what is
// wrong with it, and is empty when nothing is. RecordingKey is the blob's key when no
// recording is known.
type Checked struct {
	Tenant       string `json:"tenant"`
	RecordingKey string `json:"recordingKey"`
	Fault        string `json:"fault"`
	Bytes        int64  `json:"-"`
	Total        int    `json:"-"` // how many recordings will be read in all
}

// Verify reads back the audio of the selected recordings, checks it against its
// SHA-256 and its Ogg structure, and yields the result for each. For recordings without
// audio it checks the sidecar, and yields only those with a fault. Last it yields the
// blobs that belong to no recording. Unless the database is read-only, it stores when
// each recording was last found whole.
func (a *Archive) Verify(ctx context.Context, selection Selection, now time.Time) iter.Seq2[Checked, error] {
	return func(yield func(Checked, error) bool) {
		total, err := a.countHeld(ctx, selection)
		if err != nil {
			yield(Checked{}, err)
			return
		}
		var whole []*Entry                                                        // read, but not yet noted as read
		faulty := map[string]bool{}                                               // the paths of recordings with a fault
		defer func() { _ = a.noteRead(context.WithoutCancel(ctx), whole, now) }() // when the caller stops early
		for entry, err := range a.filed(ctx, selection) {
			if err != nil {
				yield(Checked{}, err)
				return
			}
			fault, err := a.checkAgain(ctx, entry)
			if err != nil {
				yield(Checked{}, err)
				return
			}
			switch {
			case fault != "":
				faulty[entry.path] = true
			case !entry.Held:
				continue
			default:
				whole = append(whole, entry)
			}
			if len(whole) == pageEntries {
				if err := a.noteRead(ctx, whole, now); err != nil {
					yield(Checked{}, err)
					return
				}
				whole = whole[:0]
			}
			found := Checked{Tenant: entry.Recording.TenantName, RecordingKey: entry.Recording.RecordingKey, Fault: fault, Total: total}
			if entry.Held {
				found.Bytes = entry.Recording.Size
			}
			if !yield(found, nil) {
				return
			}
		}
		err = a.noteRead(ctx, whole, now)
		whole = nil
		if err != nil {
			yield(Checked{}, err)
			return
		}
		a.strays(ctx, selection, faulty, yield)
	}
}

// selected is the WHERE clause of a selection, without its part: the recordings that
// have files, with or without audio.
const selected = `path <> '' AND ($1 = '' OR tenant = $1) AND start_ms >= $2 AND start_ms < $3`

func (a *Archive) countHeld(ctx context.Context, s Selection) (n int, err error) {
	err = a.db.Reader.QueryRowContext(ctx, `SELECT count(*) FROM recordings WHERE length(sha256) > 0 AND `+selected,
		s.Tenant, s.Span.From, s.Span.To).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count recordings: %w", err)
	}
	if s.Part.Of > 0 {
		n /= s.Part.Of
	}
	return n, nil
}

// filed yields the selected recordings that have files, by tenant, start and key.
func (a *Archive) filed(ctx context.Context, s Selection) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		var tenant, key string
		startMs := s.Span.From
		for {
			page, err := queryEntries(ctx, a.db.Reader, `SELECT `+entryColumns+` FROM recordings WHERE `+selected+`
				AND (tenant, start_ms, recording_key) > ($4, $5, $6) ORDER BY tenant, start_ms, recording_key LIMIT $7`,
				s.Tenant, s.Span.From, s.Span.To, tenant, startMs, key, pageEntries)
			if err != nil {
				yield(nil, fmt.Errorf("recordings with files: %w", err))
				return
			}
			for _, entry := range page {
				r := &entry.Recording
				tenant, startMs, key = r.TenantName, r.StartTime, r.RecordingKey
				if s.Part.holds(tenant, key) && !yield(entry, nil) {
					return
				}
			}
			if len(page) < pageEntries {
				return
			}
		}
	}
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// pageEntries is how many entries are read at a time by what goes through all of them.
const pageEntries = 512

func queryEntries(ctx context.Context, db queryer, query string, args ...any) ([]*Entry, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var entries []*Entry
	for rows.Next() {
		entry, err := scanEntry(rows.Scan)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, rows.Err()
}

// checkAgain checks a recording, and checks it once more if the store did not return its
// files: it may have been away for a moment. If the store answers but still does not
// return them, that is a fault of the recording, which must not stop Verify from reading
// all the others.
func (a *Archive) checkAgain(ctx context.Context, entry *Entry) (fault string, err error) {
	fault, err = a.check(ctx, entry)
	if unavailable(err) && a.storeAnswers(ctx) {
		fault, err = a.check(ctx, entry)
		if unavailable(err) && a.storeAnswers(ctx) {
			return fmt.Sprintf("its files cannot be read, though the store answers: %v", err), nil
		}
	}
	return fault, StorageError(err)
}

// check reads one recording's files. fault is what is wrong with them; err is what
// prevented them from being read.
func (a *Archive) check(ctx context.Context, entry *Entry) (fault string, err error) {
	if !entry.Held {
		return a.checkWithoutAudio(ctx, entry)
	}
	file, err := a.blobs.Open(ctx, entry.path+audioEnding, entry.Recording.Size)
	if err != nil {
		return unreadable(ctx, err)
	}
	defer file.Close()
	sum := sha256.New()
	var checker audio.Checker
	if _, err := io.Copy(io.MultiWriter(sum, &checker), file); err != nil {
		return unreadable(ctx, err)
	}
	if [sha256.Size]byte(sum.Sum(nil)) != entry.SHA256 {
		return fmt.Sprintf("the audio is damaged: its SHA-256 is %x, not %x", sum.Sum(nil), entry.SHA256), nil
	}
	_, unsound := checker.Finish()
	side, err := a.readSidecar(ctx, entry.path)
	switch {
	case unavailable(err):
		return "", err
	case unsound != nil && (err != nil || side.Audio == nil || side.Audio.Accepted == ""):
		return "the audio is not a whole Ogg Opus stream: " + finding(unsound), nil
	case err != nil:
		return sidecarFault(err), ctx.Err()
	case side.Recording != entry.Recording:
		return "the sidecar and the database disagree about the recording; rebuild makes the database follow the files", nil
	case side.Audio == nil || side.Audio.SHA256 != fmt.Sprintf("%x", entry.SHA256) || side.Audio.Bytes != entry.Recording.Size:
		return "the sidecar describes other audio than is held", nil
	}
	return "", nil
}

// finding says what is wrong with audio, for readers who did not upload it.
func finding(unsound error) string {
	var fault *audio.Fault
	if errors.As(unsound, &fault) {
		return fault.Finding()
	}
	return unsound.Error()
}

// sidecarFault says what is wrong with a sidecar that could not be read.
func sidecarFault(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "the sidecar is missing: without it, a rebuild does not know this recording"
	}
	return fmt.Sprintf("the sidecar cannot be read: %v", err)
}

// unreadable says why audio cannot be read: fault if the cause is the audio itself, err
// if it is something else.
func unreadable(ctx context.Context, cause error) (fault string, err error) {
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case unavailable(cause):
		return "", cause
	case errors.Is(cause, fs.ErrNotExist):
		return "the audio file is missing", nil
	}
	return fmt.Sprintf("the audio cannot be read: %v", cause), nil
}

func (a *Archive) noteRead(ctx context.Context, entries []*Entry, now time.Time) error {
	if len(entries) == 0 || a.db.ReadOnly() {
		return nil
	}
	err := a.alter(ctx, foldersOf(entries, recordingOfEntry), func(tx *sql.Tx) error {
		for _, e := range entries {
			_, err := tx.ExecContext(ctx, `UPDATE recordings SET read_ms = $1 WHERE tenant = $2 AND recording_key = $3 AND sha256 = $4`,
				now.UnixMilli(), e.Recording.TenantName, e.Recording.RecordingKey, e.SHA256[:])
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note what was read: %w", err)
	}
	return nil
}

// OldestRead returns when the held recording that has gone unread for the longest was
// last read back, in Unix milliseconds; 0 when none is held, or when one was never read.
func (a *Archive) OldestRead(ctx context.Context) (ms int64, err error) {
	err = a.db.Reader.QueryRowContext(ctx, `SELECT coalesce(min(read_ms), 0) FROM recordings WHERE length(sha256) > 0`).Scan(&ms)
	if err != nil {
		return 0, fmt.Errorf("oldest read: %w", err)
	}
	return ms, nil
}

// Total is how much is kept of a tenant.
type Total struct {
	Tenant     string
	Recordings int64 // with or without audio
	Held       int64 // with audio
	Bytes      int64 // of that audio
}

// Totals returns what is kept of each tenant, by name. The figures are counted as rows
// are written, so that asking for them is cheap.
func (a *Archive) Totals(ctx context.Context) ([]Total, error) {
	rows, err := a.db.Reader.QueryContext(ctx, `SELECT tenant, recordings, held, bytes FROM stock WHERE recordings > 0 ORDER BY tenant`)
	if err != nil {
		return nil, fmt.Errorf("totals: %w", err)
	}
	defer rows.Close()
	var totals []Total
	for rows.Next() {
		var t Total
		if err := rows.Scan(&t.Tenant, &t.Recordings, &t.Held, &t.Bytes); err != nil {
			return nil, fmt.Errorf("totals: %w", err)
		}
		totals = append(totals, t)
	}
	return totals, rows.Err()
}
