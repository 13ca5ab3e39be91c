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

// slowing says how guesses at one name, or from one address, are slowed: the
// first few misses are free, then each doubles the wait, from a second to most.
type slowing struct {
	free int64
	most time.Duration
}

// A name is slowed sooner but never locked for long, so that nobody can keep its
// owner out; an address, behind which many may sit, later and longer.
var (
	slowName    = slowing{free: 3, most: time.Minute}
	slowAddress = slowing{free: 10, most: 15 * time.Minute}
)

// forgetMisses is how long after the last guess its misses are forgotten.
const forgetMisses = time.Hour

// mostGuessed is how many names and addresses are remembered at most.
const mostGuessed = 50_000

// subject is a name or an address that guesses are counted for.
type subject struct {
	key [sha256.Size]byte // a hash: a password may have been typed in the name's place
	slowing
}

func subjectName(name string) subject {
	return subject{sha256.Sum256([]byte("name/" + name)), slowName}
}

// subjectAddress counts an IPv6 network of 64 bits as one address: whoever has
// one has all of it.
func subjectAddress(from string) subject {
	if address, err := netip.ParseAddr(from); err == nil && address.Is6() && !address.Is4In6() {
		if network, err := address.WithZone("").Prefix(64); err == nil {
			from = network.String()
		}
	}
	return subject{sha256.Sum256([]byte("address/" + from)), slowAddress}
}

// wait is how long after the last of so many misses the next guess must wait.
func (s *slowing) wait(misses int64) time.Duration {
	over := misses - s.free
	if over < 0 {
		return 0
	}
	return min(time.Second<<min(over, 20), s.most)
}

// guess counts a guess as a miss before it is looked at, so that many at once
// are slowed too, or refuses it with callvault.Wait.
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
			since := max(0, now.Sub(time.UnixMilli(last))) // a clock may be set back
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

// guessed takes back what a right guess was counted. The name's misses are
// forgotten; the address's other misses are not, or whoever has an account of his
// own could guess at all others.
func guessed(ctx context.Context, tx *sql.Tx, name, from string) error {
	ofName, ofAddress := subjectName(name), subjectAddress(from)
	_, err := tx.ExecContext(ctx, `DELETE FROM guesses WHERE subject = $1`, ofName.key[:])
	_, addressErr := tx.ExecContext(ctx, `UPDATE guesses SET misses = misses - 1 WHERE subject = $1 AND misses > 0`, ofAddress.key[:])
	if err := errors.Join(err, addressErr); err != nil {
		return fmt.Errorf("guesses: %w", err)
	}
	return nil
}
