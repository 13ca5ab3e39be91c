package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"callvault/audio"
)

// peaksAtOnce is how many recordings are measured at a time: it is the processor's
// work alone, and others have requests.
const peaksAtOnce = 2

const findPeaks = `SELECT peaks FROM peaks WHERE sha256 = $1`

// Peaks returns the peaks of a held recording's audio, in the form of audio.Peaks.
// They are measured once, at the first request, and kept. callvault.NotFound as
// for OpenAudio.
func (a *Archive) Peaks(ctx context.Context, entry *Entry) ([]byte, error) {
	if peaks, err := a.keptPeaks(ctx, entry); peaks != nil || err != nil {
		return peaks, err
	}
	// Who asks while they are measured waits for the same. They are measured to the
	// end though the first who asked went away.
	measured := a.measuring.DoChan(string(entry.SHA256[:]), func() (any, error) {
		return a.measurePeaks(context.WithoutCancel(ctx), entry)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-measured:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.([]byte), nil
	}
}

// keptPeaks are nil when they were not measured yet.
func (a *Archive) keptPeaks(ctx context.Context, entry *Entry) (peaks []byte, err error) {
	if !entry.Held {
		return nil, nil
	}
	err = a.db.Reader.QueryRowContext(ctx, findPeaks, entry.SHA256[:]).Scan(&peaks)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("peaks of recording %s: %w", entry.Recording.RecordingKey, err)
	}
	return peaks, nil
}

// measurePeaks measures and keeps them.
func (a *Archive) measurePeaks(ctx context.Context, entry *Entry) ([]byte, error) {
	a.measurers <- struct{}{}
	defer func() { <-a.measurers }()
	if peaks, err := a.keptPeaks(ctx, entry); peaks != nil || err != nil {
		return peaks, err
	}
	file, err := a.OpenAudio(ctx, entry)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	peaks, err := audio.Peaks(file, time.Duration(entry.AudioMs)*time.Millisecond)
	if err != nil {
		return nil, fmt.Errorf("peaks of recording %s: %w", entry.Recording.RecordingKey, err)
	}
	err = a.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO peaks (sha256, peaks) VALUES ($1, $2) ON CONFLICT DO NOTHING`, entry.SHA256[:], peaks)
		return err
	})
	if err != nil && StorageError(err) == err {
		return nil, fmt.Errorf("peaks of recording %s: %w", entry.Recording.RecordingKey, err)
	}
	return peaks, nil // a full disk keeps nobody from hearing
}
