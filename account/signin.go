package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"callvault"
)

// Actions of the audit trail for the beginning and end of sessions.
const (
	actionSignIn  = "sign in"
	actionRefused = "refused sign in"
	actionSignOut = "sign out"
)

// SignIn opens a session for a person. token is for the client's cookie; from is the
// client's address. For a wrong name or a wrong password the error is the same and
// wraps callvault.Unauthorized; after too many of them it wraps a callvault.Wait.
func (a *Accounts) SignIn(ctx context.Context, name, password, from string, now time.Time) (token string, v *Visitor, err error) {
	if err := a.guess(ctx, now, subjectName(name), subjectAddress(from)); err != nil {
		return "", nil, err
	}
	known, err := a.current(ctx)
	if err != nil {
		return "", nil, err
	}
	who, stored, right := known.logins[name], "", false
	if who != nil {
		stored = who.password
	}
	if len(password) <= mostPassword {
		if right, err = a.hashers.check(ctx, stored, password); err != nil {
			return "", nil, err
		}
	}
	wrong := fmt.Errorf("the name or the password is wrong: %w", callvault.Unauthorized)
	refused := Event{At: now.UnixMilli(), Who: name, From: from}
	switch {
	case who == nil:
		refused.Who, refused.Detail = "", "no such name" // the name may be a password, typed in the wrong field
		return "", nil, a.refuse(ctx, refused, wrong)
	case !right:
		refused.Detail = "wrong password"
		return "", nil, a.refuse(ctx, refused, wrong)
	case !who.enabled:
		refused.Detail = "disabled"
		return "", nil, a.refuse(ctx, refused, errDisabled(name))
	}
	return a.open(ctx, who, known, from, now)
}

// SignInKey opens a session for the service user whose authentication key this is. For
// any other key the error wraps callvault.Unauthorized, after too many of them a
// callvault.Wait.
func (a *Accounts) SignInKey(ctx context.Context, key, from string, now time.Time) (token string, v *Visitor, err error) {
	if err := a.guess(ctx, now, subjectAddress(from)); err != nil {
		return "", nil, err
	}
	caller, err := a.Authenticate(ctx, key, now)
	if errors.Is(err, callvault.Unauthorized) {
		return "", nil, a.refuse(ctx, Event{At: now.UnixMilli(), From: from, Detail: "authentication key"}, err)
	}
	if err != nil {
		return "", nil, err
	}
	return a.open(ctx, caller.known.logins[caller.Name], caller.known, from, now)
}

// Redeem opens a session for the person for whom SignInTicket made this ticket. For any
// other ticket the error wraps callvault.NotFound, after too many of them a
// callvault.Wait.
func (a *Accounts) Redeem(ctx context.Context, ticket, from string, now time.Time) (token string, v *Visitor, err error) {
	if err := a.guess(ctx, now, subjectAddress(from)); err != nil {
		return "", nil, err
	}
	var name string
	err = a.db.Tx(ctx, func(tx *sql.Tx) (err error) {
		name, err = useTicket(ctx, tx, ticket, toSignIn, now)
		return err
	})
	if errors.Is(err, callvault.NotFound) {
		return "", nil, a.refuse(ctx, Event{At: now.UnixMilli(), From: from, Detail: "one-time link"}, err)
	}
	if err != nil {
		return "", nil, err
	}
	known, err := a.current(ctx)
	if err != nil {
		return "", nil, err
	}
	who, ok := known.logins[name]
	if !ok {
		return "", nil, errTicket // removed a moment ago
	}
	if !who.enabled {
		return "", nil, a.refuse(ctx, Event{At: now.UnixMilli(), Who: name, From: from, Detail: "disabled"}, errDisabled(name))
	}
	return a.open(ctx, who, known, from, now)
}

func errDisabled(name string) error {
	return fmt.Errorf("%s is disabled: %w", name, callvault.Unauthorized)
}

// refuse records a refused sign-in in the audit trail, and returns why.
func (a *Accounts) refuse(ctx context.Context, e Event, why error) error {
	e.Via, e.Action = ViaPages, actionRefused
	if err := a.Record(ctx, e); err != nil {
		return err
	}
	return why
}
