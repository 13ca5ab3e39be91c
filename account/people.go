package account

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"callvault"
)

const personColumns = `name, password, grants, can, enabled, created_ms, last_used_ms,
	COALESCE((SELECT MAX(until_ms) FROM tickets WHERE tickets.name = people.name AND purpose = 'password'), 0)`

// People returns all people, ordered by name.
func (a *Accounts) People(ctx context.Context) ([]callvault.Person, error) {
	people, _, err := queryPeople(ctx, a.db.Reader)
	return people, err
}

// AddPerson adds a person and, like InvitePerson, returns the ticket of the one-time
// link with which the person sets a password. If there is an account with that name
// the error wraps callvault.Conflict.
func (a *Accounts) AddPerson(ctx context.Context, person callvault.Person, now time.Time) (ticket string, err error) {
	person.Created, person.LastUsed = now.UnixMilli(), 0
	person.PasswordSet, person.InvitedUntil = false, 0
	err = a.change(ctx, func(tx *sql.Tx) error {
		if err := checkGrant(ctx, tx, &person, &person.Grant); err != nil {
			return err
		}
		if err := nameIsFree(ctx, tx, person.Name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO people (name, password, grants, can, enabled, created_ms, last_used_ms)
			VALUES ($1, '', $2, $3, $4, $5, 0)`,
			person.Name, encode(person.Grant), encode(person.Can), person.Enabled, person.Created)
		if err != nil {
			return fmt.Errorf("person %q: %w", person.Name, err)
		}
		if ticket, err = newTicket(ctx, tx, person.Name, toSetPassword, now); err != nil {
			return err
		}
		return record(ctx, tx, Event{Action: "add person", Detail: person.Name + ": " + settings(person)})
	})
	if err != nil {
		return "", err
	}
	return ticket, nil
}

// SetPerson changes a person with edit. The name, password and times stay the same.
func (a *Accounts) SetPerson(ctx context.Context, name string, edit func(*callvault.Person) error) error {
	return a.change(ctx, func(tx *sql.Tx) error {
		person, _, err := scanPerson(tx.QueryRowContext(ctx, `SELECT `+personColumns+` FROM people WHERE name = $1`, name))
		if errors.Is(err, sql.ErrNoRows) {
			return unknownPerson(name)
		}
		if err != nil {
			return fmt.Errorf("person %q: %w", name, err)
		}
		before := encode(person) // edit may change the elements of slices
		if err := edit(&person); err != nil {
			return err
		}
		person.Name = name
		if err := checkGrant(ctx, tx, &person, &person.Grant); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE people SET grants = $1, can = $2, enabled = $3 WHERE name = $4`,
			encode(person.Grant), encode(person.Can), person.Enabled, name)
		if err != nil {
			return fmt.Errorf("person %q: %w", name, err)
		}
		if !person.Enabled {
			if err := endSessions(ctx, tx, name); err != nil {
				return err
			}
		}
		return record(ctx, tx, Event{Action: "set person", Detail: name + ": " + changes(json.RawMessage(before), person)})
	})
}

// RemovePerson removes a person for good, and ends the person's sessions and links at
// once.
func (a *Accounts) RemovePerson(ctx context.Context, name string) error {
	return a.change(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM people WHERE name = $1`, name)
		if err != nil {
			return fmt.Errorf("person %q: %w", name, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, unknownPerson(name))
		}
		if err := errors.Join(endSessions(ctx, tx, name), endTickets(ctx, tx, name)); err != nil {
			return err
		}
		return record(ctx, tx, Event{Action: "remove person", Detail: name})
	})
}

func unknownPerson(name string) error {
	return fmt.Errorf("there is no person %q: %w", name, callvault.NotFound)
}

// nameIsFree returns an error if a new account cannot have the name. Service users and
// people share one set of names, so that each name in the audit trail is unambiguous.
func nameIsFree(ctx context.Context, tx *sql.Tx, name string) error {
	if err := checkNewName(name); err != nil {
		return err
	}
	var taken string
	err := tx.QueryRowContext(ctx, `SELECT 'person' FROM people WHERE name = $1 UNION ALL SELECT 'user' FROM service_users WHERE name = $1`, name).Scan(&taken)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("%q: %w", name, err)
	case taken == "person":
		return fmt.Errorf("there is a person %q already; change it with user set, or make a new link with user invite: %w", name, callvault.Conflict)
	}
	return fmt.Errorf("there is a user %q already; change it with user set, or make a new key with user refresh: %w", name, callvault.Conflict)
}

// queryPeople returns the people and the PHC forms of their passwords.
func queryPeople(ctx context.Context, from querier) (people []callvault.Person, passwords []string, err error) {
	rows, err := from.QueryContext(ctx, `SELECT `+personColumns+` FROM people ORDER BY name`)
	if err != nil {
		return nil, nil, fmt.Errorf("people: %w", err)
	}
	defer rows.Close()
	people = []callvault.Person{}
	for rows.Next() {
		person, password, err := scanPerson(rows)
		if err != nil {
			return nil, nil, fmt.Errorf("people: %w", err)
		}
		people, passwords = append(people, person), append(passwords, password)
	}
	return people, passwords, rows.Err()
}

func scanPerson(row interface{ Scan(...any) error }) (p callvault.Person, password string, err error) {
	var grants, can []byte
	err = row.Scan(&p.Name, &password, &grants, &can, &p.Enabled, &p.Created, &p.LastUsed, &p.InvitedUntil)
	if err != nil {
		return p, "", err
	}
	p.PasswordSet = password != ""
	return p, password, errors.Join(json.Unmarshal(grants, &p.Grant), json.Unmarshal(can, &p.Can))
}
