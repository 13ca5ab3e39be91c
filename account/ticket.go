package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"callvault"
)

// A ticket stands in a one-time link: it has a key's form, and only its hash is
// kept.
const ticketPrefix = "cvt_"

// purpose is what a ticket is good for.
type purpose string

const (
	toSetPassword purpose = "password"
	toSignIn      purpose = "sign in"
)

// How long tickets are good for.
const (
	PasswordTicketLife = 72 * time.Hour
	SignInTicketLife   = 24 * time.Hour
)

// Ticket is what a one-time link is good for.
type Ticket struct {
	Name string
	// SignIn tells that the link signs its holder in; otherwise it lets him set his
	// password.
	SignIn bool
	Until  int64 // Unix milliseconds
}

// newTicket makes a ticket and ends those that there were for the same purpose.
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

var errTicket = fmt.Errorf("the link is not good, or no longer: each is used once, and ends after a while; ask for a new one: %w", callvault.NotFound)

// LookTicket tells what a ticket is good for, without using it. One that is
// unknown, used or out of date is callvault.NotFound.
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

// useTicket uses a ticket up. Of many that try at once one succeeds.
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

// InvitePerson returns the ticket of a one-time link by which a person sets his
// password within PasswordTicketLife. It ends the one before; the password that
// there is stays good until then.
func (a *Accounts) InvitePerson(ctx context.Context, name string, now time.Time) (ticket string, err error) {
	return a.giveTicket(ctx, name, toSetPassword, now)
}

// SignInTicket returns the ticket of a one-time link that signs a person in,
// within SignInTicketLife. It ends the one before.
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

// SetPassword sets the password of the person whose ticket this is, and ends his
// sessions. A bad ticket is callvault.NotFound, a bad password
// callvault.InvalidParameter; the ticket then stays good.
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
