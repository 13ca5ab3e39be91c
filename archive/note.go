package archive

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault"
)

// Note is what is known about a recording whose audio is elsewhere.
type Note struct {
	// Recording is the recording as it is to be listed here: its status must say
	// that no audio is here. Call may be nil.
	Recording callvault.Recording
	Call      *callvault.Call
}

// Note records metadata of recordings whose audio may come later: all of them or,
// after an error, none. It leaves held recordings as they are, and returns for each
// whether its audio is held. A recording that was only noted has no files: if the
// database is rebuilt, its source must list it again.
func (a *Archive) Note(ctx context.Context, notes []Note, now time.Time) (held []bool, err error) {
	held = make([]bool, len(notes))
	err = a.alter(ctx, foldersOf(notes, recordingOfNote), func(tx *sql.Tx) error {
		b, err := readBatch(ctx, tx, notes, recordingOfNote)
		if err != nil {
			return err
		}
		for i := range notes {
			if held[i], err = b.note(ctx, &notes[i], now.UnixMilli()); err != nil {
				return err
			}
		}
		return b.end(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("note recordings: %w", StorageError(err))
	}
	return held, nil
}

func recordingOfNote(n Note) *callvault.Recording { return &n.Recording }

// note notes one recording, and writes no row if nothing has changed.
func (b *batch) note(ctx context.Context, n *Note, nowMs int64) (held bool, err error) {
	r := &n.Recording
	earlier, err := b.row(ctx, r)
	if err != nil {
		return false, err
	}
	given, err := n.call(nowMs)
	if err != nil {
		return false, err
	}
	if earlier != nil && (earlier.Held || earlier.Recording == *r) {
		if given == nil || r.CallKey != earlier.Recording.CallKey { // Amend will move it to that call
			return earlier.Held, nil
		}
		_, _, err := b.saveCall(ctx, earlier, earlier, given)
		return earlier.Held, err
	}
	entry := &Entry{Recording: *r, Added: nowMs}
	if earlier != nil {
		entry.path = earlier.path
	}
	return false, b.replaceRow(ctx, earlier, entry, given)
}

// call returns the note's call as it will be kept, or nil when it has none.
func (n *Note) call(nowMs int64) (*callRow, error) {
	if n.Call == nil {
		return nil, nil
	}
	if n.Call.CallKey != n.Recording.CallKey || n.Call.TenantName != n.Recording.TenantName {
		return nil, fmt.Errorf("the call %s is not that of recording %s: %w", n.Call.CallKey, n.Recording.RecordingKey, callvault.InvalidParameter)
	}
	call := *n.Call
	call.Recordings = nil
	if err := call.Validate(); err != nil {
		return nil, err
	}
	return &callRow{call: call, given: true, updatedMs: nowMs}, nil
}

// Amend replaces the metadata of a held recording, but not its audio, status and
// size. The earlier metadata is kept in the sidecar's history. Amend reports whether
// anything has changed. The error is callvault.NotFound when the recording is not
// held, or its sidecar is missing or damaged.
func (a *Archive) Amend(ctx context.Context, n *Note, now time.Time) (amended bool, err error) {
	err = a.alter(ctx, []string{FileName(n.Recording.TenantName)}, func(tx *sql.Tx) error {
		b, err := readBatch(ctx, tx, []Note{*n}, recordingOfNote)
		if err != nil {
			return err
		}
		earlier, err := b.row(ctx, &n.Recording)
		if err != nil {
			return err
		}
		if earlier == nil || !earlier.Held {
			return fmt.Errorf("recording %s is not held: %w", n.Recording.RecordingKey, callvault.NotFound)
		}
		side, err := a.requireSidecar(ctx, earlier)
		if err != nil {
			return err
		}
		entry := *earlier
		entry.Recording = n.Recording
		entry.Recording.Status, entry.Recording.Size = earlier.Recording.Status, earlier.Recording.Size
		entry.Added = max(now.UnixMilli(), earlier.Added+1)
		given, err := n.call(entry.Added)
		if err != nil {
			return err
		}
		if amended = earlier.Recording != entry.Recording || !side.matches(&entry, given); !amended {
			return nil
		}
		side.amend(&entry, given)
		if err := b.replaceRow(ctx, earlier, &entry, given); err != nil {
			return err
		}
		if err := b.end(ctx); err != nil {
			return err
		}
		return a.putSidecar(ctx, earlier.path, side)
	})
	return amended && err == nil, err
}

// matches reports whether the sidecar says the same of the recording as entry, and of
// its call the same as given, if that is not nil.
func (s *sidecar) matches(entry *Entry, given *callRow) bool {
	return s.Recording == entry.Recording && (given == nil || s.CallGiven && sameCall(&s.Call, &given.call))
}

// amend replaces the sidecar's metadata with that of entry, and adds the former
// metadata to its history. given is nil when the note came without a call.
func (s *sidecar) amend(entry *Entry, given *callRow) {
	change := sidecarChange{ReplacedAt: entry.Added, Recording: s.Recording}
	former := s.Call
	switch {
	case given != nil:
		s.Call, s.CallGiven = given.call, true
	case former.CallKey != entry.Recording.CallKey:
		s.Call, s.CallGiven = callvault.CallOf(&entry.Recording), false
	}
	if !sameCall(&former, &s.Call) {
		change.Call = &former
	}
	s.History = append(s.History, change)
	s.Recording, s.AddedAt, s.Path = entry.Recording, entry.Added, entry.path
}

// putSidecar writes a sidecar, without audio.
func (a *Archive) putSidecar(ctx context.Context, path string, side *sidecar) error {
	content, err := side.encode()
	if err != nil {
		return err
	}
	return PutBytes(ctx, a.blobs, path+sidecarEnding, content)
}
