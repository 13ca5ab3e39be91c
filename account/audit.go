package account

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"callvault/database"
)

// Event is one entry of the audit trail: who did what, when and from where.
type Event struct {
	Seq  int64  `json:"seq"`  // 1, 2, 3, … without a gap
	At   int64  `json:"at"`   // Unix milliseconds; 0 in an event to be written means now
	Who  string `json:"who"`  // a person, a service user, a user of the machine; "" if unknown
	Via  string `json:"via"`  // ViaAPI, ViaPages, ViaCommandLine or ViaService
	From string `json:"from"` // the client's address, "" if there is none
	// Action is a few words, such as "download" or "add user".
	Action    string `json:"action"`
	Tenant    string `json:"tenant"`
	Recording string `json:"recordingKey"`
	// Detail is for people, such as what changed. It never holds a secret.
	Detail string `json:"detail"`
	// Times is how often it happened within the same second, nearly always 1.
	Times int64 `json:"times"`
	// Bytes is how many bytes were sent or received.
	Bytes int64 `json:"bytes"`
	Hash  Hash  `json:"hash"`
}

// Hash is the SHA-256 of an entry and all entries before it. Its text form is hex.
type Hash [sha256.Size]byte

// MarshalText returns the hash in hex.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// String returns the hash in hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// The values of Event.Via.
const (
	ViaAPI         = "API"
	ViaPages       = "pages"
	ViaCommandLine = "command line"
	ViaService     = "service" // by itself
)

// Actions of the audit trail that other packages write. The words are for people
// and for programs that read an export: they do not change.
const (
	ActionListRecordings = "list recordings"
	ActionListCalls      = "list calls"
	ActionSearch         = "search"
	ActionPlay           = "play"
	ActionDownload       = "download"
	ActionUpload         = "upload"
	ActionImport         = "import"
	ActionExport         = "export"
	ActionSettle         = "settle"
	ActionReopen         = "reopen"
	ActionHandOver       = "hand over"
	ActionCertify        = "certify"
	ActionMove           = "move"
)

// Actor is who does something, through which interface, and from where. The fields
// are those of Event.
type Actor struct{ Who, Via, From string }

// Service is the actor of what the service does by itself.
var Service = Actor{Who: "callvault", Via: ViaService}

type actorKey struct{}

// As returns a context for what the actor does. The audit trail names the actor in
// the entry of each change made with it.
func As(ctx context.Context, actor Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// actorOf returns the actor of ctx, by default the service itself.
func actorOf(ctx context.Context) Actor {
	if actor, ok := ctx.Value(actorKey{}).(Actor); ok {
		return actor
	}
	return Service
}

// complete fills in the fields of an event that its maker left empty.
func (e *Event) complete(ctx context.Context) {
	if e.Who == "" && e.Via == "" {
		actor := actorOf(ctx)
		e.Who, e.Via, e.From = actor.Who, actor.Via, actor.From
	}
	if e.At == 0 {
		e.At = time.Now().UnixMilli()
	}
	e.Times = max(e.Times, 1)
	for _, text := range []*string{&e.Who, &e.Via, &e.From, &e.Action, &e.Tenant, &e.Recording, &e.Detail} {
		*text = database.Text(*text) // as it will be read when the chain is checked
	}
}

// chained returns the hash of an entry that follows the one with the hash before. It
// is the SHA-256 of the 32 bytes of that hash (32 zero bytes for the first entry),
// followed by the entry's fields seq, at, who, via, from, action, tenant,
// recordingKey, detail, times and bytes, in this order. Each field is a netstring:
// its length in bytes as decimal digits, a colon, the bytes (numbers as decimal
// digits, text in UTF-8), a comma.
func (e *Event) chained(before Hash) Hash {
	text := make([]byte, 0, 512)
	text = append(text, before[:]...)
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	for _, field := range []string{number(e.Seq), number(e.At), e.Who, e.Via, e.From, e.Action,
		e.Tenant, e.Recording, e.Detail, number(e.Times), number(e.Bytes)} {
		text = strconv.AppendInt(text, int64(len(field)), 10)
		text = append(text, ':')
		text = append(text, field...)
		text = append(text, ',')
	}
	return sha256.Sum256(text)
}

// Record writes an event to the audit trail at once.
func (a *Accounts) Record(ctx context.Context, e Event) error {
	return a.db.Tx(ctx, func(tx *sql.Tx) error { return record(ctx, tx, e) })
}

const eventColumns = `seq, at_ms, who, via, remote, action, tenant, recording_key, detail, times, bytes, hash`

// record adds events to the chain. It locks the row audit_head until the transaction
// ends, so that concurrent transactions add to the chain one at a time.
func record(ctx context.Context, tx *sql.Tx, events ...Event) error {
	var seq int64
	var stored []byte
	err := tx.QueryRowContext(ctx, `UPDATE audit_head SET seq = seq + CAST($1 AS BIGINT) RETURNING seq, hash`, len(events)).Scan(&seq, &stored)
	if err != nil {
		return fmt.Errorf("audit trail: %w", err)
	}
	if len(stored) != len(Hash{}) {
		return errors.New("audit trail: audit_head does not hold a hash; run audit verify for details")
	}
	hash := Hash(stored)
	rows := make([][]any, len(events))
	for i := range events {
		e := &events[i]
		e.complete(ctx)
		e.Seq = seq - int64(len(events)-1-i)
		hash = e.chained(hash)
		rows[i] = []any{e.Seq, e.At, e.Who, e.Via, e.From, e.Action, e.Tenant, e.Recording, e.Detail, e.Times, e.Bytes, slices.Clone(hash[:])}
	}
	for values, args := range database.Rows(rows) {
		if _, err := tx.ExecContext(ctx, `INSERT INTO audit (`+eventColumns+`) `+values, args...); err != nil {
			return fmt.Errorf("audit trail: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE audit_head SET hash = $1`, hash[:]); err != nil {
		return fmt.Errorf("audit trail: %w", err)
	}
	return nil
}
