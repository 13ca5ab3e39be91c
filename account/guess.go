package account

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"callvault"
)

// backoff says how guesses are slowed down for one name or one address: the first
// few misses are free, then each doubles the wait, from one second to most.
type backoff struct {
	free int64
	most time.Duration
}

// A name is slowed down sooner, but not for long, so that nobody can lock its owner
// out. An address, which many people may share, is slowed down later and for longer.
var (
	nameBackoff    = backoff{free: 3, most: time.Minute}
	addressBackoff = backoff{free: 10, most: 15 * time.Minute}
)

// forgetMisses is how long after the last guess misses are forgotten.
const forgetMisses = time.Hour

// mostGuessed is the maximum number of names and addresses that are remembered.
const mostGuessed = 50_000

// subject is a name or an address for which guesses are counted.
type subject struct {
	key [sha256.Size]byte // a hash, as someone may have typed a password for a name
	backoff
}

func subjectName(name string) subject {
	return subject{sha256.Sum256([]byte("name/" + name)), nameBackoff}
}

// subjectAddress treats an IPv6 network of 64 bits as one address: whoever has one
// address in it can use them all.
func subjectAddress(from string) subject {
	if address, err := netip.ParseAddr(from); err == nil && address.Is6() && !address.Is4In6() {
		if network, err := address.WithZone("").Prefix(64); err == nil {
			from = network.String()
		}
	}
	return subject{sha256.Sum256([]byte("address/" + from)), addressBackoff}
}

// wait returns how long after the last of that many misses the next guess must wait.
func (b *backoff) wait(misses int64) time.Duration {
	over := misses - b.free
	if over < 0 {
		return 0
	}
	return min(time.Second<<min(over, 20), b.most)
}

// guess counts a guess as a miss, or refuses it with callvault.Wait. It does so before
// the guess is checked, so that many guesses at once are slowed down too; guessed takes
// the miss back.
func (a *Accounts) guess(ctx context.Context, now time.Time, subjects ...subject) error {
	names := make([]string, len(subjects))
	for i, s := range subjects {
		names[i] = "guess " + hex.EncodeToString(s.key[:])
	}
	return a.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := a.db.Exclude(ctx, tx, names...); err != nil {
			return err
		}
		for _, s := range subjects {
			misses, last := int64(0), int64(0)
			err := tx.QueryRowContext(ctx, `SELECT misses, last_ms FROM guesses WHERE subject = $1`, s.key[:]).Scan(&misses, &last)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("guesses: %w", err)
			}
			since := max(0, now.Sub(time.UnixMilli(last))) // the clock may have been set back
			if since >= forgetMisses {
				misses = 0
			}
			if wait := s.wait(misses) - since; wait > 0 {
				refusal := callvault.Wait{Code: callvault.TooManyRequests, For: wait}
				return fmt.Errorf("too many wrong guesses; try again in %d s: %w", refusal.RetryAfter(), refusal)
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO guesses (subject, misses, last_ms) VALUES ($1, $2, $3)
				ON CONFLICT (subject) DO UPDATE SET misses = excluded.misses, last_ms = excluded.last_ms`,
				s.key[:], misses+1, now.UnixMilli())
			if err != nil {
				return fmt.Errorf("guesses: %w", err)
			}
		}
		return nil
	})
}

// guessed takes back the miss that guess counted for a right guess. It forgets all
// misses of the name, but not those of the address, or else anyone with an account could
// keep guessing at others by signing in now and then.
func guessed(ctx context.Context, tx *sql.Tx, name, from string) error {
	ofName, ofAddress := subjectName(name), subjectAddress(from)
	_, err := tx.ExecContext(ctx, `DELETE FROM guesses WHERE subject = $1`, ofName.key[:])
	_, addressErr := tx.ExecContext(ctx, `UPDATE guesses SET misses = misses - 1 WHERE subject = $1 AND misses > 0`, ofAddress.key[:])
	if err := errors.Join(err, addressErr); err != nil {
		return fmt.Errorf("guesses: %w", err)
	}
	return nil
}
