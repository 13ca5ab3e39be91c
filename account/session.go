package account

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"callvault"
)

// SessionLife is the maximum length of a session.
const SessionLife = 12 * time.Hour

// login is what a person or service user needs to sign in, and who they then are.
type login struct {
	visitor  Visitor // without Session and known
	enabled  bool
	password string // the hash of a person's password, in PHC form
	// credential is a hash of what the account signs in with. Its sessions end when
	// that changes.
	credential [sha256.Size]byte
}

// Visitor is who makes a request while signed in to the web pages, with the tenants at
// the same revision.
type Visitor struct {
	Name string
	Kind string // Person or ServiceUser
	callvault.Grant
	// Can holds the capabilities of a person. A service user's Read counts as Listen
	// and Download.
	Can []callvault.Capability
	// Session identifies the session. It is not a secret, and nobody can sign in with
	// it.
	Session string
	known   *directory
}

// The kinds of visitors.
const (
	Person      = "person"
	ServiceUser = "service user"
)

// May reports whether the visitor has the capability.
func (v *Visitor) May(capability callvault.Capability) bool {
	return slices.Contains(v.Can, capability)
}

// Tenant returns the tenant with this name, or callvault.NotFound if there is none
// that the visitor has access to.
func (v *Visitor) Tenant(name string) (*callvault.Tenant, error) {
	if !v.MayReach(name) {
		return nil, unknownTenant(name)
	}
	return v.known.tenant(name)
}

// Tenants returns the tenants that the visitor has access to, ordered by name.
func (v *Visitor) Tenants() []callvault.Tenant {
	if v.AllTenants {
		return slices.Clone(v.known.byName)
	}
	var tenants []callvault.Tenant
	for _, name := range v.Grant.Tenants {
		if tenant, ok := v.known.tenants[name]; ok {
			tenants = append(tenants, *tenant)
		}
	}
	slices.SortFunc(tenants, byName)
	return tenants
}

func byName(a, b callvault.Tenant) int { return cmp.Compare(a.Name, b.Name) }

// Kind returns whether the account with this name is a Person or a ServiceUser. If
// there is none the error wraps callvault.NotFound.
func (a *Accounts) Kind(ctx context.Context, name string) (string, error) {
	known, err := a.current(ctx)
	if err != nil {
		return "", err
	}
	who, ok := known.logins[name]
	if !ok {
		return "", unknownUser(name)
	}
	return who.visitor.Kind, nil
}

// loginOfPerson returns the login of a person.
func loginOfPerson(p *callvault.Person, password string) *login {
	return &login{
		visitor: Visitor{Name: p.Name, Kind: Person, Grant: p.Grant, Can: p.Can}, enabled: p.Enabled, password: password,
		credential: sha256.Sum256([]byte("person/" + strconv.FormatInt(p.Created, 10) + "/" + password)),
	}
}

// loginOfUser returns the login of a service user.
func loginOfUser(u *callvault.ServiceUser, key [sha256.Size]byte) *login {
	var can []callvault.Capability
	if u.May(callvault.Read) {
		can = append(can, callvault.Listen, callvault.Download)
	}
	if u.May(callvault.Admin) {
		can = append(can, callvault.Admin)
	}
	return &login{
		visitor: Visitor{Name: u.Name, Kind: ServiceUser, Grant: u.Grant, Can: can}, enabled: u.Enabled, credential: key,
	}
}

// A session's token is 256 random bits and their HMAC-SHA256 with a secret of this
// database, so that an invented token is refused without a query of the sessions.
const tokenBytes = 32

var token64 = base64.RawURLEncoding.Strict()

func sign(secret, random []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(random)
	return mac.Sum(nil)
}

func newToken(secret []byte) string {
	random := make([]byte, tokenBytes)
	rand.Read(random)
	return token64.EncodeToString(append(random, sign(secret, random)...))
}

// checkToken reports whether a token was signed with the secret.
func checkToken(secret []byte, token string) bool {
	if len(secret) == 0 || len(token) != token64.EncodedLen(tokenBytes+sha256.Size) {
		return false
	}
	text, err := token64.DecodeString(token)
	return err == nil && hmac.Equal(text[tokenBytes:], sign(secret, text[:tokenBytes]))
}

// sessionID returns an identifier for a session that reveals nothing of its token.
func sessionID(hash [sha256.Size]byte) string {
	sum := sha256.Sum256(append([]byte("session/"), hash[:]...))
	return hex.EncodeToString(sum[:16])
}

// visit returns the visitor in the session whose token has that hash.
func (l *login) visit(known *directory, hash [sha256.Size]byte) *Visitor {
	v := l.visitor
	v.known, v.Session = known, sessionID(hash)
	return &v
}

// open opens a session for an account whose password, key or ticket was right.
func (a *Accounts) open(ctx context.Context, who *login, known *directory, from string, now time.Time) (token string, v *Visitor, err error) {
	secret, err := a.secret(ctx, known)
	if err != nil {
		return "", nil, err
	}
	token = newToken(secret)
	hash, name := hashKey(token), who.visitor.Name
	err = a.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sessions (hash, name, credential, until_ms) VALUES ($1, $2, $3, $4)`,
			hash[:], name, who.credential[:], now.Add(SessionLife).UnixMilli())
		if err != nil {
			return fmt.Errorf("session of %q: %w", name, err)
		}
		if err := guessed(ctx, tx, name, from); err != nil {
			return err
		}
		return record(ctx, tx, Event{At: now.UnixMilli(), Who: name, Via: ViaPages, From: from, Action: actionSignIn, Detail: who.visitor.Kind})
	})
	if err != nil {
		return "", nil, err
	}
	return token, who.visit(known, hash), nil
}

// secret returns what tokens are signed with. It is made when it is first needed.
func (a *Accounts) secret(ctx context.Context, known *directory) ([]byte, error) {
	if known.secret != nil {
		return known.secret, nil
	}
	made := make([]byte, sha256.Size)
	rand.Read(made)
	var kept []byte
	err := a.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO session_secret (one, secret) VALUES (1, $1) ON CONFLICT (one) DO NOTHING`, made)
		if err != nil {
			return fmt.Errorf("secret of the sessions: %w", err)
		}
		return tx.QueryRowContext(ctx, `SELECT secret FROM session_secret`).Scan(&kept)
	})
	return kept, err
}

var errSignedOut = fmt.Errorf("you are signed out: sign in again: %w", callvault.Unauthorized)

// Visit returns who is signed in with this token. Once the session has ended the error
// wraps callvault.Unauthorized: after sign-out or SessionLife, or when the account is
// removed or disabled, its key refreshed or its password changed.
func (a *Accounts) Visit(ctx context.Context, token string, now time.Time) (*Visitor, error) {
	known, err := a.current(ctx)
	if err != nil {
		return nil, err
	}
	if !checkToken(known.secret, token) {
		return nil, errSignedOut
	}
	hash := hashKey(token)
	var name string
	var credential []byte
	err = a.db.Reader.QueryRowContext(ctx, `SELECT name, credential FROM sessions WHERE hash = $1 AND until_ms > $2`,
		hash[:], now.UnixMilli()).Scan(&name, &credential)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errSignedOut
	}
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	who, ok := known.logins[name]
	if !ok || !who.enabled || !hmac.Equal(credential, who.credential[:]) {
		return nil, errSignedOut
	}
	a.noteUse(name, now)
	return who.visit(known, hash), nil
}

// SignOut ends a session. It is not an error if no session has the token.
func (a *Accounts) SignOut(ctx context.Context, token string, now time.Time) error {
	hash := hashKey(token)
	return a.db.Tx(ctx, func(tx *sql.Tx) error {
		var name string
		err := tx.QueryRowContext(ctx, `DELETE FROM sessions WHERE hash = $1 RETURNING name`, hash[:]).Scan(&name)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("session: %w", err)
		}
		return record(ctx, tx, Event{At: now.UnixMilli(), Who: name, Via: ViaPages, From: actorOf(ctx).From, Action: actionSignOut})
	})
}

// endSessions ends all sessions of an account.
func endSessions(ctx context.Context, tx *sql.Tx, name string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE name = $1`, name); err != nil {
		return fmt.Errorf("sessions of %q: %w", name, err)
	}
	return nil
}

// sweep deletes expired sessions, expired tickets and forgotten guesses.
func (a *Accounts) sweep(ctx context.Context, now time.Time) error {
	return a.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE until_ms <= $1`, now.UnixMilli())
		_, ticketErr := tx.ExecContext(ctx, `DELETE FROM tickets WHERE until_ms <= $1`, now.UnixMilli())
		_, guessErr := tx.ExecContext(ctx, `DELETE FROM guesses WHERE last_ms <= $1`, now.Add(-forgetMisses).UnixMilli())
		_, mostErr := tx.ExecContext(ctx, `DELETE FROM guesses WHERE last_ms <
			(SELECT last_ms FROM guesses ORDER BY last_ms DESC LIMIT 1 OFFSET $1)`, mostGuessed)
		if err := errors.Join(err, ticketErr, guessErr, mostErr); err != nil {
			return fmt.Errorf("sweep ended sessions: %w", err)
		}
		return nil
	})
}
