package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"callvault"
	"callvault/archive"
)

// errNoReason refuses a decision without a reason.
var errNoReason = fmt.Errorf("a reason is needed: it is what will be read in years: %w", callvault.InvalidParameter)

// Settlement is an operator's decision about a recording that cannot be held as it should
// be or, with its mark as the Key and no Tenant, about a malformed item of a list.
type Settlement struct {
	Tenant, Key string
	// Accept admits what was set aside as it is; otherwise the recording is given up and
	// no longer requested.
	Accept bool
	Reason string
	Who    string
}

// Settle carries out a decision. The error is callvault.NotFound if the recording is not
// known, or nothing of it was set aside, and callvault.Conflict if it is held.
func (c *Collector) Settle(ctx context.Context, s *Settlement) error {
	if s.Reason == "" {
		return errNoReason
	}
	entry, err := c.archive.Find(ctx, s.Tenant, s.Key)
	if err != nil {
		return err
	}
	if entry.Held {
		return fmt.Errorf("the recording %s is held: there is nothing to settle: %w", s.Key, callvault.Conflict)
	}
	decision, to, size := "given up", settled, int64(0)
	if s.Accept {
		decision, to = "accepted", held
		if size, err = c.accept(ctx, s, entry); err != nil {
			return err
		}
	}
	return c.alter(ctx, []string{s.Tenant}, func(tx *sql.Tx) error {
		reason := fmt.Sprintf("%s by %s: %s", decision, s.Who, s.Reason)
		result, err := tx.ExecContext(ctx, `UPDATE items SET state = $1, reason = $2, doubt = CASE WHEN $1 = 'held' THEN $2 ELSE doubt END,
			size = CASE WHEN $1 = 'held' THEN CAST($3 AS BIGINT) ELSE size END
			WHERE tenant = $4 AND recording_key = $5`, string(to), reason, size, s.Tenant, s.Key)
		if err != nil {
			return fmt.Errorf("ledger of %s: %w", s.Key, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("no source has listed the recording %s of %s: %w", s.Key, s.Tenant, callvault.NotFound))
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO settlements (tenant, recording_key, decision, reason, who, settled_ms) VALUES ($1, $2, $3, $4, $5, $6)`,
			s.Tenant, s.Key, decision, s.Reason, s.Who, time.Now().UnixMilli())
		return err
	})
}

// accept keeps what was set aside of a recording, as it is, and returns its size in bytes.
func (c *Collector) accept(ctx context.Context, s *Settlement, entry *archive.Entry) (size int64, err error) {
	proof, err := c.readEvidence(ctx, s.Tenant, s.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("nothing of the recording %s was set aside, so there is nothing to accept; --give-up stops asking for it: %w", s.Key, callvault.NotFound)
	}
	if err != nil {
		return 0, err
	}
	body, err := c.quarantine.Open(ctx, evidencePath(s.Tenant, s.Key)+bodyEnding, proof.Bytes)
	if err != nil {
		return 0, fmt.Errorf("what was set aside of %s: %w", s.Key, err)
	}
	defer body.Close()
	spool, err := c.archive.NewSpool()
	if err != nil {
		return 0, err
	}
	defer spool.Discard()
	if _, err := io.Copy(spool, body); err != nil {
		return 0, fmt.Errorf("what was set aside of %s: %w", s.Key, err)
	}
	audio, err := spool.Accept()
	if err != nil {
		return 0, err
	}
	in := &archive.Intake{
		Recording: entry.Recording, Audio: audio, UploadSHA256: audio.SHA256, Source: proof.Source, Added: time.Now(),
		Accepted: fmt.Sprintf("%s: %s (it was refused: %s)", s.Who, s.Reason, proof.Reason),
	}
	in.Recording.Status = callvault.Saved
	_, _, err = c.archive.Keep(ctx, in)
	return audio.Info.Bytes, err
}
