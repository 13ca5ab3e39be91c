// Package account keeps tenants, service users and people: their names, keys,
// passwords, grants and settings, who is signed in, and the audit trail of what
// all of them did.
//
// It decides who somebody is; what he may then reach is told by the domain's
// Grant, and what he has used is the meter's. Only hashes of keys, passwords,
// one-time links and session tokens are kept.
//
// It promises that every change, by whichever process, is seen by the next
// request: what it keeps in memory is held against the database each time. It
// promises too that no change is made without its entry in the audit trail.
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

	// A look at the revision that began after a request came in serves every
	// request that was waiting by then, also when it failed.
	begun  atomic.Int64
	mu     sync.Mutex
	done   int64
	known  *directory
	failed error
	look   *sql.Stmt // nil until it is first needed

	usedMu sync.Mutex
	used   map[string]int64 // last use by account's name, not yet saved, in Unix milliseconds
}

// directory is all accounts at one revision. It never changes.
type directory struct {
	revision int64
	users    map[[sha256.Size]byte]*callvault.ServiceUser
	tenants  map[string]*callvault.Tenant
	byName   []callvault.Tenant // the same, in the order of their names
	logins   map[string]*login
	secret   []byte // of the sessions' tokens; nil until one was signed
}

// New returns the accounts that db holds.
func New(db *database.DB) *Accounts {
	return &Accounts{db: db, hashers: newHashers(), known: &directory{}, used: map[string]int64{}}
}

// Caller is a service user as one request meets him, beside the tenants as they
// were known in the same moment.
type Caller struct {
	*callvault.ServiceUser
	known *directory
}

// Tenant returns the tenant of this name, or callvault.NotFound.
func (c *Caller) Tenant(name string) (*callvault.Tenant, error) { return c.known.tenant(name) }

// Authenticate returns the enabled user whose key this is. Any other key is
// callvault.Unauthorized.
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
		return nil, fmt.Errorf("the authentication key is not known: it may have been refreshed, or its user removed: %w", callvault.Unauthorized)
	}
	if !user.Enabled {
		return nil, fmt.Errorf("the user %s is disabled: %w", user.Name, callvault.Unauthorized)
	}
	a.noteUse(user.Name, now)
	return &Caller{user, known}, nil
}

// Ready tells whether who asks can be found out.
func (a *Accounts) Ready(ctx context.Context) error {
	_, err := a.current(ctx)
	return err
}

func (a *Accounts) noteUse(name string, now time.Time) {
	a.usedMu.Lock()
	a.used[name] = now.UnixMilli()
	a.usedMu.Unlock()
}

// Tenant returns the tenant of this name, or callvault.NotFound.
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

// current returns the directory as the database has it now.
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

// renew brings what is known up to date. a.mu must be held.
func (a *Accounts) renew(ctx context.Context) error {
	// Others wait for this answer too; and to watch for the end of ctx would take
	// longer than the look.
	revision, err := a.revision(context.WithoutCancel(ctx))
	if err != nil {
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

// revision asks the database for the accounts' revision. a.mu must be held.
func (a *Accounts) revision(ctx context.Context) (revision int64, err error) {
	if a.look == nil {
		if a.look, err = a.db.Reader.PrepareContext(ctx, `SELECT revision FROM account_revision`); err != nil {
			return 0, err
		}
	}
	err = a.look.QueryRowContext(ctx).Scan(&revision)
	return revision, err
}

// load reads the whole directory in one transaction, so that it is of one
// revision.
func (a *Accounts) load(ctx context.Context) (*directory, error) {
	tx, err := a.db.Reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	defer tx.Rollback() // a read has nothing to commit
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

// change runs fn in a transaction that every holder of accounts then notices.
// The revision is raised first, so that changes wait for each other.
func (a *Accounts) change(ctx context.Context, fn func(*sql.Tx) error) error {
	return a.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE account_revision SET revision = revision + 1`); err != nil {
			return fmt.Errorf("account revision: %w", err)
		}
		return fn(tx)
	})
}

// Run writes what was noted for the audit trail each second, saves last uses
// every few seconds, and sweeps away ended sessions every few minutes; the first
// two once more at the end. What could not be written is tried again; only the
// last failure is returned, and of those before it the first is logged.
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
			err := a.Flush(ctx) // what was not written waits for the next tick
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

// saveUses writes the last uses, or keeps them. They are no change that anybody
// must notice.
func (a *Accounts) saveUses(ctx context.Context) error {
	a.usedMu.Lock()
	used := a.used
	a.used = map[string]int64{}
	a.usedMu.Unlock()
	if len(used) == 0 {
		return nil
	}
	err := a.db.Tx(ctx, func(tx *sql.Tx) error {
		for _, name := range slices.Sorted(maps.Keys(used)) { // in one order in all processes
			ms := used[name]
			for _, table := range []string{"service_users", "people"} {
				// An account that was made since, after one of its name was removed, was not used.
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

// encode is JSON of what always has some.
func encode(value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// querier is what reads rows: a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}
