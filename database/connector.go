package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
)

// connector makes connections to PostgreSQL. For pauseTime after one failed, it refuses
// all others at once, so that callers do not each wait for their own attempt to fail, one
// after the other, while PostgreSQL is away.
type connector struct {
	driver.Connector
	mu     sync.Mutex
	failed time.Time
	err    error
}

// errUnreached marks a connection that was not attempted.
var errUnreached = errors.New("the database could not be reached a moment ago")

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	c.mu.Lock()
	failed, err := c.failed, c.err
	c.mu.Unlock()
	if err != nil && time.Since(failed) < pauseTime {
		return nil, fmt.Errorf("%w: %w", errUnreached, err)
	}
	conn, err := c.Connector.Connect(ctx)
	if ctx.Err() == nil {
		c.mu.Lock()
		c.failed, c.err = time.Now(), err
		c.mu.Unlock()
	}
	if err != nil {
		return nil, err
	}
	return session{conn.(*stdlib.Conn)}, nil
}

// session is a connection that takes statements as they are written for SQLite.
type session struct{ *stdlib.Conn }

// indexHint matches what SQLite needs where there is an ORDER BY. PostgreSQL chooses its
// indexes itself.
var indexHint = regexp.MustCompile(`\s+INDEXED BY \w+`)

func translate(query string) string {
	if !strings.Contains(query, "INDEXED BY") {
		return query
	}
	return indexHint.ReplaceAllString(query, "")
}

// ResetSession implements driver.SessionResetter. pgx pings a connection that was idle;
// since that is not a statement, limits does not bound it.
func (s session) ResetSession(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wordTime)
	defer cancel()
	return s.Conn.ResetSession(ctx)
}

// Ping implements driver.Pinger. limits does not bound it either.
func (s session) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wordTime)
	defer cancel()
	return s.Conn.Ping(ctx)
}

// PrepareContext implements driver.ConnPrepareContext.
func (s session) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := s.Conn.PrepareContext(ctx, translate(query))
	if err != nil {
		return nil, err
	}
	return lasting{stmt.(*stdlib.Stmt)}, nil
}

// lasting is a prepared statement that lasts as long as its connection. Preparing the same
// text again returns the same statement.
type lasting struct{ *stdlib.Stmt }

// Close implements driver.Stmt. It does nothing: to close a statement, pgx waits for
// PostgreSQL, and closing a pool would wait for every statement of every connection in
// turn.
func (lasting) Close() error { return nil }

// ExecContext implements driver.ExecerContext.
func (s session) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := s.Conn.ExecContext(ctx, translate(query), args)
	return result, unanswered(ctx, err)
}

// QueryContext implements driver.QueryerContext.
func (s session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.Conn.QueryContext(ctx, translate(query), args)
	return rows, unanswered(ctx, err)
}

// CheckNamedValue implements driver.NamedValueChecker.
func (s session) CheckNamedValue(v *driver.NamedValue) error {
	if text, ok := v.Value.(string); ok {
		v.Value = Text(text)
	}
	return s.Conn.CheckNamedValue(v)
}

// BeginTx implements driver.ConnBeginTx. A read-only transaction sees a single snapshot,
// as it does on SQLite.
func (s session) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if options.ReadOnly {
		options.Isolation = driver.IsolationLevel(sql.LevelRepeatableRead)
	}
	tx, err := s.Conn.BeginTx(ctx, options)
	return tx, unanswered(ctx, err)
}
