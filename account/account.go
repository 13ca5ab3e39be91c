// Package account stores tenants, service users and people: their names, keys,
// passwords, grants and settings, who is signed in, and the audit trail of what
// they all did.
//
// It decides who a client is. What a client has access to follows from the domain's
// Grant; what a client has used is up to package meter. Only hashes of keys,
// passwords, one-time links and session tokens are stored.
//
// It promises that the next request sees every change, whichever process made it:
// each request compares what is in memory with the database. It also promises that
// no change is made without an entry in the audit trail.
package account

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"callvault"
	"callvault/database"
)

// Accounts is the tenants, service users and people of a database.
type Accounts struct {
	db      *database.DB
	hashers hashers
	notes   notes

	// Requests share checks of the revision: a request takes the result, even an
	// error, of any check that began after the request came in.
	begun  atomic.Int64 // checks begun
	mu     sync.Mutex
	done   int64 // the last check that ended
	known  *directory
	failed error // of the last check

	usedMu sync.Mutex
	used   map[string]int64 // last use by account name, not yet saved, in Unix milliseconds
}

// directory is all accounts at one revision. It is immutable.
type directory struct {
	revision int64
	users    map[[sha256.Size]byte]*callvault.ServiceUser
	tenants  map[string]*callvault.Tenant
	byName   []callvault.Tenant // the same, in the order of their names
	logins   map[string]*login
	secret   []byte // signs session tokens; nil until it is first needed
}

// New returns the accounts in db.
func New(db *database.DB) *Accounts {
	return &Accounts{db: db, hashers: newHashers(), known: &directory{}, used: map[string]int64{}}
}

// Caller is the service user who makes a request, with the tenants at the same
// revision.
type Caller struct {
	*callvault.ServiceUser
	known *directory
}

// Tenant returns the tenant with this name, or callvault.NotFound.
func (c *Caller) Tenant(name string) (*callvault.Tenant, error) { return c.known.tenant(name) }

// Authenticate returns the enabled user whose key this is. For any other key the
// error wraps callvault.Unauthorized.
func (a *Accounts) Authenticate(ctx context.Context, key string, now time.Time) (*Caller, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	known, err := a.current(ctx)
	if err != nil {
		return nil, err
	}
	user, ok := known.users[hashKey(key)]
	if !ok {
		return nil, fmt.Errorf("the authentication key is unknown: it may have been replaced by a refresh, or its user removed: %w", callvault.Unauthorized)
	}
	if !user.Enabled {
		return nil, fmt.Errorf("the user %s is disabled: %w", user.Name, callvault.Unauthorized)
	}
	a.noteUse(user.Name, now)
	return &Caller{user, known}, nil
}

// Ready returns an error if clients cannot be authenticated now.
func (a *Accounts) Ready(ctx context.Context) error {
	_, err := a.current(ctx)
	return err
}

func (a *Accounts) noteUse(name string, now time.Time) {
	a.usedMu.Lock()
	a.used[name] = now.UnixMilli()
	a.usedMu.Unlock()
}

// Tenant returns the tenant with this name, or callvault.NotFound.
func (a *Accounts) Tenant(ctx context.Context, name string) (*callvault.Tenant, error) {
	known, err := a.current(ctx)
	if err != nil {
		return nil, err
	}
	return known.tenant(name)
}

func (d *directory) tenant(name string) (*callvault.Tenant, error) {
	tenant, ok := d.tenants[name]
	if !ok {
		return nil, unknownTenant(name)
	}
	return tenant, nil
}

func unknownTenant(name string) error {
	return fmt.Errorf("there is no tenant %q: %w", name, callvault.NotFound)
}

// current returns the directory at the database's current revision.
func (a *Accounts) current(ctx context.Context) (*directory, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("account revision: %w", err)
	}
	begun := a.begun.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done > begun {
		return a.known, a.failed
	}
	mine := a.begun.Add(1)
	a.failed = a.renew(ctx)
	a.done = mine
	return a.known, a.failed
}

// renew brings a.known up to date. a.mu must be held.
func (a *Accounts) renew(ctx context.Context) error {
	// Other requests wait for this result too; and watching for the end of ctx would
	// take longer than the query.
	var revision int64
	if err := a.db.Row(context.WithoutCancel(ctx), `SELECT revision FROM account_revision`, nil, &revision); err != nil {
		return fmt.Errorf("account revision: %w", err)
	}
	if revision == a.known.revision {
		return nil
	}
	known, err := a.load(context.WithoutCancel(ctx))
	if err == nil {
		a.known = known
	}
	return err
}

// load reads the whole directory in one transaction, so that all of it is at one
// revision.
func (a *Accounts) load(ctx context.Context) (*directory, error) {
	tx, err := a.db.Reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	defer tx.Rollback() // it only reads
	known := &directory{
		users:   map[[sha256.Size]byte]*callvault.ServiceUser{},
		tenants: map[string]*callvault.Tenant{},
		logins:  map[string]*login{},
	}
	if err := tx.QueryRowContext(ctx, `SELECT revision FROM account_revision`).Scan(&known.revision); err != nil {
		return nil, fmt.Errorf("account revision: %w", err)
	}
	tenants, err := queryTenants(ctx, tx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(tenants, byName) // whatever the database's collation
	known.byName = tenants
	for i := range tenants {
		known.tenants[tenants[i].Name] = &tenants[i]
	}
	users, hashes, err := queryUsers(ctx, tx)
	if err != nil {
		return nil, err
	}
	for i := range users {
		known.users[hashes[i]] = &users[i]
		known.logins[users[i].Name] = loginOfUser(&users[i], hashes[i])
	}
	people, passwords, err := queryPeople(ctx, tx)
	if err != nil {
		return nil, err
	}
	for i := range people {
		known.logins[people[i].Name] = loginOfPerson(&people[i], passwords[i])
	}
	err = tx.QueryRowContext(ctx, `SELECT secret FROM session_secret`).Scan(&known.secret)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("secret of the sessions: %w", err)
	}
	return known, nil
}

// change runs fn in a transaction that raises the revision, so that every process
// notices the change. It raises it first, so that changes are made one at a time.
func (a *Accounts) change(ctx context.Context, fn func(*sql.Tx) error) error {
	return a.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE account_revision SET revision = revision + 1`); err != nil {
			return fmt.Errorf("account revision: %w", err)
		}
		return fn(tx)
	})
}

// Run writes noted events to the audit trail every second, saves last uses every few
// seconds and deletes expired sessions every few minutes, until ctx ends; then it does
// the first two once more and returns their error. Failed writes are tried again. If
// the audit trail cannot be written, Run logs the first of a series of failures.
func (a *Accounts) Run(ctx context.Context) error {
	second, uses, sweeps := time.NewTicker(time.Second), time.NewTicker(5*time.Second), time.NewTicker(5*time.Minute)
	defer second.Stop()
	defer uses.Stop()
	defer sweeps.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			ctx = context.WithoutCancel(ctx)
			return errors.Join(a.Flush(ctx), a.saveUses(ctx))
		case <-second.C:
			err := a.Flush(ctx) // events that were not written wait for the next tick
			if err != nil && !failing {
				slog.WarnContext(ctx, "the audit trail is not written, trying again every second", "error", err)
			}
			failing = err != nil
		case <-uses.C:
			_ = a.saveUses(ctx) // likewise
		case now := <-sweeps.C:
			_ = a.sweep(ctx, now) // likewise
		}
	}
}

// saveUses writes the last uses, or keeps them if it cannot. It does not raise the
// revision: no other process needs to know.
func (a *Accounts) saveUses(ctx context.Context) error {
	a.usedMu.Lock()
	used := a.used
	a.used = map[string]int64{}
	a.usedMu.Unlock()
	if len(used) == 0 {
		return nil
	}
	err := a.db.Tx(ctx, func(tx *sql.Tx) error {
		for _, name := range slices.Sorted(maps.Keys(used)) { // in the same order in all processes
			ms := used[name]
			for _, table := range []string{"service_users", "people"} {
				// Not an account that was added since under the name of a removed one.
				if _, err := tx.ExecContext(ctx, `UPDATE `+table+` SET last_used_ms = $1
					WHERE name = $2 AND last_used_ms < $1 AND created_ms <= $1`, ms, name); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	a.usedMu.Lock()
	defer a.usedMu.Unlock()
	for name, ms := range used {
		a.used[name] = max(a.used[name], ms)
	}
	return fmt.Errorf("save last uses: %w", err)
}

// encode returns the JSON of a value whose encoding cannot fail.
func encode(value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}
