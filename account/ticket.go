package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"callvault"
)

// A ticket is the secret in a one-time link. It has the form of a key, and only its
// hash is stored.
const ticketPrefix = "cvt_"

// purpose is what a ticket is good for.
type purpose string

const (
	toSetPassword purpose = "password"
	toSignIn      purpose = "sign in"
)

// How long tickets are valid.
const (
	PasswordTicketLife = 72 * time.Hour
	SignInTicketLife   = 24 * time.Hour
)

// Ticket describes what a one-time link is good for.
type Ticket struct {
	Name string // of the person
	// SignIn is true if the link signs the person in, and false if it lets the person
	// set a password.
	SignIn bool
	Until  int64 // Unix milliseconds
}

// newTicket makes a ticket. It ends the person's earlier one for the same purpose.
func newTicket(ctx context.Context, tx *sql.Tx, name string, to purpose, now time.Time) (string, error) {
	ticket := newSecret(ticketPrefix)
	hash, life := hashKey(ticket), PasswordTicketLife
	if to == toSignIn {
		life = SignInTicketLife
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM tickets WHERE name = $1 AND purpose = $2`, name, string(to)); err != nil {
		return "", fmt.Errorf("links of %q: %w", name, err)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO tickets (hash, name, purpose, until_ms) VALUES ($1, $2, $3, $4)`,
		hash[:], name, string(to), now.Add(life).UnixMilli())
	if err != nil {
		return "", fmt.Errorf("link for %q: %w", name, err)
	}
	return ticket, nil
}

func endTickets(ctx context.Context, tx *sql.Tx, name string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM tickets WHERE name = $1`, name); err != nil {
		return fmt.Errorf("links of %q: %w", name, err)
	}
	return nil
}

var errTicket = fmt.Errorf("the link is not valid or no longer valid: each link works once, and expires after a while; ask for a new one: %w", callvault.NotFound)

// LookTicket returns what a ticket is good for, without using it. If it is unknown,
// used or expired the error wraps callvault.NotFound.
func (a *Accounts) LookTicket(ctx context.Context, ticket string, now time.Time) (*Ticket, error) {
	if misshapen(ticket, ticketPrefix) != "" {
		return nil, errTicket
	}
	hash := hashKey(ticket)
	found, to := Ticket{}, ""
	err := a.db.Reader.QueryRowContext(ctx, `SELECT name, purpose, until_ms FROM tickets WHERE hash = $1 AND until_ms > $2`,
		hash[:], now.UnixMilli()).Scan(&found.Name, &to, &found.Until)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errTicket
	}
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	found.SignIn = to == string(toSignIn)
	return &found, nil
}

// useTicket uses a ticket up. Of many concurrent calls with the same ticket, one
// succeeds.
func useTicket(ctx context.Context, tx *sql.Tx, ticket string, to purpose, now time.Time) (name string, err error) {
	hash := hashKey(ticket)
	err = tx.QueryRowContext(ctx, `DELETE FROM tickets WHERE hash = $1 AND purpose = $2 AND until_ms > $3 RETURNING name`,
		hash[:], string(to), now.UnixMilli()).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", errTicket
	}
	if err != nil {
		return "", fmt.Errorf("link: %w", err)
	}
	return name, nil
}

// InvitePerson returns the ticket of a one-time link with which a person can set a
// password within PasswordTicketLife. The person's earlier link ends. Until the link is
// used the old password stays valid.
func (a *Accounts) InvitePerson(ctx context.Context, name string, now time.Time) (ticket string, err error) {
	return a.giveTicket(ctx, name, toSetPassword, now)
}

// SignInTicket returns the ticket of a one-time link with which a person can sign in
// within SignInTicketLife. The person's earlier link ends.
func (a *Accounts) SignInTicket(ctx context.Context, name string, now time.Time) (ticket string, err error) {
	return a.giveTicket(ctx, name, toSignIn, now)
}

func (a *Accounts) giveTicket(ctx context.Context, name string, to purpose, now time.Time) (ticket string, err error) {
	err = a.change(ctx, func(tx *sql.Tx) error {
		var one int
		err := tx.QueryRowContext(ctx, `SELECT 1 FROM people WHERE name = $1`, name).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return unknownPerson(name)
		}
		if err != nil {
			return fmt.Errorf("person %q: %w", name, err)
		}
		if ticket, err = newTicket(ctx, tx, name, to, now); err != nil {
			return err
		}
		action := "invite person"
		if to == toSignIn {
			action = "make sign-in link"
		}
		return record(ctx, tx, Event{Action: action, Detail: name})
	})
	if err != nil {
		return "", err
	}
	return ticket, nil
}

// SetPassword sets the password of the person whose ticket this is, and ends the
// person's sessions. For a bad ticket the error wraps callvault.NotFound; for a bad
// password it wraps callvault.InvalidParameter, and the ticket stays valid.
func (a *Accounts) SetPassword(ctx context.Context, ticket, password string, now time.Time) (name string, err error) {
	looked, err := a.LookTicket(ctx, ticket, now)
	if err != nil {
		return "", err
	}
	if looked.SignIn {
		return "", errTicket
	}
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	hash, err := a.hashers.hash(ctx, password)
	if err != nil {
		return "", err
	}
	err = a.change(ctx, func(tx *sql.Tx) error {
		if name, err = useTicket(ctx, tx, ticket, toSetPassword, now); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE people SET password = $1 WHERE name = $2`, hash, name); err != nil {
			return fmt.Errorf("password of %q: %w", name, err)
		}
		if err := endSessions(ctx, tx, name); err != nil {
			return err
		}
		return record(ctx, tx, Event{Who: name, Via: ViaPages, From: actorOf(ctx).From, Action: "set password", Detail: name})
	})
	if err != nil {
		return "", err
	}
	return name, nil
}
