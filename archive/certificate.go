package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"

	"callvault"
)

// Certificate says what is held of a tenant's recordings that start in a span.
// Anyone can recompute SHA256 from the audio files with
// sha256sum … | cut -c1-64 | sort | sha256sum.
type Certificate struct {
	Tenant     string                     `json:"tenant"`
	From       int64                      `json:"from"` // Unix milliseconds, inclusive
	To         int64                      `json:"to"`   // exclusive
	Recordings int64                      `json:"recordings"`
	Held       int64                      `json:"held"`
	NotHeld    map[callvault.Status]int64 `json:"notHeld"` // by status
	Bytes      int64                      `json:"bytes"`   // of held audio
	AudioMs    int64                      `json:"audioMs"` // its playing time, in milliseconds
	First      int64                      `json:"first"`   // start of the first recording; 0 when there is none
	Last       int64                      `json:"last"`
	SHA256     string                     `json:"sha256"` // of the held recordings' SHA-256, sorted, in hexadecimal, a line each
}

// countSpan reads only a range of one index.
const countSpan = `SELECT status, CASE WHEN length(sha256) > 0 THEN 1 ELSE 0 END AS held, count(*), CAST(sum(bytes) AS BIGINT), CAST(sum(audio_ms) AS BIGINT), min(start_ms), max(start_ms)
	FROM recordings INDEXED BY recordings_counted WHERE tenant = $1 AND start_ms >= $2 AND start_ms < $3 GROUP BY 1, 2`

// Certify counts a tenant's recordings that start in the span, and hashes the hashes
// of those that are held. The error is callvault.Unavailable when recordings were
// added or deleted in between.
func (a *Archive) Certify(ctx context.Context, tenant string, span callvault.Span) (*Certificate, error) {
	c, err := a.Count(ctx, tenant, span)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	hashed := int64(0)
	for hash, err := range a.Hashes(ctx, tenant, span) {
		if err != nil {
			return nil, err
		}
		io.WriteString(sum, hash+"\n")
		hashed++
	}
	if hashed != c.Held {
		return nil, fmt.Errorf("recordings of %s were added or deleted while they were counted; try again: %w", tenant, callvault.Unavailable)
	}
	c.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return c, nil
}

// Count counts a tenant's recordings that start in the span. Its SHA256 is "".
func (a *Archive) Count(ctx context.Context, tenant string, span callvault.Span) (*Certificate, error) {
	c := &Certificate{Tenant: tenant, From: span.From, To: span.To, NotHeld: map[callvault.Status]int64{}}
	if err := a.count(ctx, c); err != nil {
		return nil, fmt.Errorf("count recordings of %s: %w", tenant, err)
	}
	return c, nil
}

// count fills in everything but the hash.
func (a *Archive) count(ctx context.Context, c *Certificate) error {
	rows, err := a.db.Reader.QueryContext(ctx, countSpan, c.Tenant, c.From, c.To)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var status callvault.Status
		var held bool
		var n, bytes, audioMs, first, last int64
		if err := rows.Scan(&status, &held, &n, &bytes, &audioMs, &first, &last); err != nil {
			return err
		}
		if c.Recordings == 0 {
			c.First, c.Last = first, last
		}
		c.Recordings, c.First, c.Last = c.Recordings+n, min(c.First, first), max(c.Last, last)
		if held {
			c.Held, c.Bytes, c.AudioMs = c.Held+n, c.Bytes+bytes, c.AudioMs+audioMs
		} else {
			c.NotHeld[status] += n
		}
	}
	return rows.Err()
}

const sortedHashes = `SELECT sha256 FROM recordings INDEXED BY recordings_counted WHERE tenant = $1 AND start_ms >= $2 AND start_ms < $3 AND length(sha256) > 0 ORDER BY sha256`

// Hashes yields the SHA-256 of the audio of a tenant's held recordings that start in
// the span, in lower-case hexadecimal, sorted. An error ends the sequence.
func (a *Archive) Hashes(ctx context.Context, tenant string, span callvault.Span) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		rows, err := a.db.Reader.QueryContext(ctx, sortedHashes, tenant, span.From, span.To)
		if err != nil {
			yield("", fmt.Errorf("hashes of %s: %w", tenant, err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var hash []byte
			if err := rows.Scan(&hash); err != nil {
				yield("", fmt.Errorf("hashes of %s: %w", tenant, err))
				return
			}
			if !yield(hex.EncodeToString(hash), nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield("", fmt.Errorf("hashes of %s: %w", tenant, err))
		}
	}
}
