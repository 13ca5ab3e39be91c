package account

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"callvault"
)

const userColumns = `name, key_hash, grants, can, enabled, request_limit, created_ms, refreshed_ms, last_used_ms`

// Users returns all service users, ordered by name.
func (a *Accounts) Users(ctx context.Context) ([]callvault.ServiceUser, error) {
	users, _, err := queryUsers(ctx, a.db.Reader)
	return users, err
}

// AddUser adds a service user and returns the user's authentication key, which cannot
// be read again later. If there is an account with that name the error wraps
// callvault.Conflict.
func (a *Accounts) AddUser(ctx context.Context, user callvault.ServiceUser, now time.Time) (key string, err error) {
	user.Created, user.Refreshed = now.UnixMilli(), now.UnixMilli()
	key = newKey()
	hash := hashKey(key)
	err = a.change(ctx, func(tx *sql.Tx) error {
		if err := checkGrant(ctx, tx, &user, &user.Grant); err != nil {
			return err
		}
		if err := nameIsFree(ctx, tx, user.Name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO service_users (`+userColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			user.Name, hash[:], encode(user.Grant), encode(user.Can), user.Enabled, user.RequestLimit,
			user.Created, user.Refreshed, user.LastUsed)
		if err != nil {
			return fmt.Errorf("user %q: %w", user.Name, err)
		}
		return record(ctx, tx, Event{Action: "add user", Detail: user.Name + ": " + settings(user)})
	})
	if err != nil {
		return "", err
	}
	return key, nil
}

// SetUser changes a user with edit. The name, key and times stay the same.
func (a *Accounts) SetUser(ctx context.Context, name string, edit func(*callvault.ServiceUser) error) error {
	return a.change(ctx, func(tx *sql.Tx) error {
		user, _, err := scanUser(tx.QueryRowContext(ctx, `SELECT `+userColumns+` FROM service_users WHERE name = $1`, name))
		if errors.Is(err, sql.ErrNoRows) {
			return unknownUser(name)
		}
		if err != nil {
			return fmt.Errorf("user %q: %w", name, err)
		}
		before := encode(user) // edit may change the elements of slices
		if err := edit(&user); err != nil {
			return err
		}
		user.Name = name
		if err := checkGrant(ctx, tx, &user, &user.Grant); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE service_users SET grants = $1, can = $2, enabled = $3, request_limit = $4 WHERE name = $5`,
			encode(user.Grant), encode(user.Can), user.Enabled, user.RequestLimit, name)
		if err != nil {
			return fmt.Errorf("user %q: %w", name, err)
		}
		if !user.Enabled {
			if err := endSessions(ctx, tx, name); err != nil {
				return err
			}
		}
		return record(ctx, tx, Event{Action: "set user", Detail: name + ": " + changes(json.RawMessage(before), user)})
	})
}

// RefreshUser gives a user a new authentication key. The old key, and the sessions that
// were opened with it, end at once.
func (a *Accounts) RefreshUser(ctx context.Context, name string, now time.Time) (key string, err error) {
	key = newKey()
	hash := hashKey(key)
	err = a.changeUser(ctx, name, "refresh key", `UPDATE service_users SET key_hash = $1, refreshed_ms = $2 WHERE name = $3`,
		hash[:], now.UnixMilli(), name)
	if err != nil {
		return "", err
	}
	return key, nil
}

// RemoveUser removes a user for good.
func (a *Accounts) RemoveUser(ctx context.Context, name string) error {
	return a.changeUser(ctx, name, "remove user", `DELETE FROM service_users WHERE name = $1`, name)
}

// changeUser runs a statement on the user with that name, ends the user's sessions, and
// records the action. If the statement changes no row the user is unknown.
func (a *Accounts) changeUser(ctx context.Context, name, action, statement string, args ...any) error {
	return a.change(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return fmt.Errorf("user %q: %w", name, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, unknownUser(name))
		}
		if err := endSessions(ctx, tx, name); err != nil {
			return err
		}
		return record(ctx, tx, Event{Action: action, Detail: name})
	})
}

// checkNewName refuses a name that looks like another one, or is hard to type.
func checkNewName(name string) error {
	if strings.TrimSpace(name) != name {
		return fmt.Errorf("the name %q begins or ends with white space: %w", name, callvault.InvalidParameter)
	}
	return nil
}

func unknownUser(name string) error {
	return fmt.Errorf("there is no user %q: %w", name, callvault.NotFound)
}

// checkGrant returns an error if an account with this grant cannot be stored. A grant
// of a tenant that does not exist is more likely a typing error than intended.
func checkGrant(ctx context.Context, tx *sql.Tx, account interface{ Validate() error }, grant *callvault.Grant) error {
	if err := account.Validate(); err != nil {
		return err
	}
	for _, name := range grant.Tenants {
		var one int
		err := tx.QueryRowContext(ctx, `SELECT 1 FROM tenants WHERE name = $1`, name).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w; add it first with tenant add", unknownTenant(name))
		}
		if err != nil {
			return fmt.Errorf("tenant %q: %w", name, err)
		}
	}
	return nil
}

func queryUsers(ctx context.Context, from querier) (users []callvault.ServiceUser, hashes [][sha256.Size]byte, err error) {
	rows, err := from.QueryContext(ctx, `SELECT `+userColumns+` FROM service_users ORDER BY name`)
	if err != nil {
		return nil, nil, fmt.Errorf("users: %w", err)
	}
	defer rows.Close()
	users = []callvault.ServiceUser{}
	for rows.Next() {
		user, hash, err := scanUser(rows)
		if err != nil {
			return nil, nil, fmt.Errorf("users: %w", err)
		}
		users, hashes = append(users, user), append(hashes, hash)
	}
	return users, hashes, rows.Err()
}

func scanUser(row interface{ Scan(...any) error }) (u callvault.ServiceUser, hash [sha256.Size]byte, err error) {
	var stored, grants, can []byte
	err = row.Scan(&u.Name, &stored, &grants, &can, &u.Enabled, &u.RequestLimit, &u.Created, &u.Refreshed, &u.LastUsed)
	if err != nil {
		return u, hash, err
	}
	if copy(hash[:], stored) != len(hash) {
		return u, hash, fmt.Errorf("user %q has a key hash of %d bytes", u.Name, len(stored))
	}
	return u, hash, errors.Join(json.Unmarshal(grants, &u.Grant), json.Unmarshal(can, &u.Can))
}
