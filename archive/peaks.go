package archive

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"callvault/audio"
)

// peaksAtOnce is how many recordings are measured at a time: measuring needs only the
// processor, which other requests need too.
const peaksAtOnce = 2

const findPeaks = `SELECT peaks FROM peaks WHERE sha256 = $1`

// Peaks returns the peaks of a held recording's audio, in the form of audio.Peaks.
// They are measured once, at the first request, and stored; those of damaged audio are
// not stored. The error is callvault.NotFound as for OpenAudio.
func (a *Archive) Peaks(ctx context.Context, entry *Entry) ([]byte, error) {
	if peaks, err := a.keptPeaks(ctx, entry); peaks != nil || err != nil {
		return peaks, err
	}
	// Callers that arrive during a measurement wait for its result. It goes on even if
	// the caller that began it goes away.
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

// keptPeaks returns the stored peaks, or nil when they were not measured yet.
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

// measurePeaks measures the peaks and stores them.
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
	sum := sha256.New()
	held := io.TeeReader(file, sum)
	peaks, err := audio.Peaks(held, time.Duration(entry.AudioMs)*time.Millisecond)
	if err == nil {
		_, err = io.Copy(io.Discard, held) // the rest, for the hash: Peaks stops at a fault
	}
	if err != nil {
		return nil, fmt.Errorf("peaks of recording %s: %w", entry.Recording.RecordingKey, err)
	}
	if [sha256.Size]byte(sum.Sum(nil)) != entry.SHA256 {
		return peaks, nil // the audio is damaged: what is restored in its place has other peaks
	}
	err = a.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO peaks (sha256, peaks) VALUES ($1, $2) ON CONFLICT DO NOTHING`, entry.SHA256[:], peaks)
		return err
	})
	if err != nil && StorageError(err) == err {
		return nil, fmt.Errorf("peaks of recording %s: %w", entry.Recording.RecordingKey, err)
	}
	return peaks, nil // even if they could not be stored, because the disk is full or the database is busy
}
