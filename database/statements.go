package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"regexp"
	"strconv"
)

// sqlite makes connections to one SQLite database.
type sqlite struct {
	driver driver.Driver
	dsn    string
}

// newSQLite finds the driver that the program has imported.
func newSQLite(dsn string) (*sqlite, error) {
	pool, err := sql.Open("sqlite", dsn) // does not connect yet
	if err != nil {
		return nil, err
	}
	return &sqlite{pool.Driver(), dsn}, pool.Close()
}

// Driver implements driver.Connector.
func (s *sqlite) Driver() driver.Driver { return s.driver }

// Connect implements driver.Connector.
func (s *sqlite) Connect(ctx context.Context) (driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, err := s.driver.Open(s.dsn)
	if err != nil {
		return nil, err
	}
	return &prepared{sqliteConn: conn.(sqliteConn), idle: map[string]statement{}}, nil
}

// sqliteConn is what the driver's connections can do.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// statement is what the driver's statements can do.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// prepared is a connection that keeps its statements prepared, because compiling a
// statement takes longer than writing a row. pgx does the same for PostgreSQL.
type prepared struct {
	sqliteConn
	idle map[string]statement // by their text
}

// maxPrepared is how many statements a connection keeps prepared.
const maxPrepared = 256

// PrepareContext implements driver.ConnPrepareContext.
func (p *prepared) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return p.sqliteConn.PrepareContext(ctx, positional(query))
}

// ExecContext implements driver.ExecerContext.
func (p *prepared) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	stmt, err := p.take(ctx, query)
	if err != nil {
		return nil, err
	}
	defer p.give(query, stmt)
	return stmt.ExecContext(ctx, args)
}

// QueryContext implements driver.QueryerContext.
func (p *prepared) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	stmt, err := p.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(ctx, args)
	if err != nil {
		p.give(query, stmt)
		return nil, err
	}
	return &preparedRows{rows, p, query, stmt}, nil
}

// take takes a statement out of idle for one use, because the same query may run again
// while its rows are being read.
func (p *prepared) take(ctx context.Context, query string) (statement, error) {
	if stmt, ok := p.idle[query]; ok {
		delete(p.idle, query)
		return stmt, nil
	}
	stmt, err := p.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.(statement), nil
}

// give returns a statement to idle, or closes it.
func (p *prepared) give(query string, stmt statement) {
	if _, ok := p.idle[query]; ok || len(p.idle) == maxPrepared {
		_ = stmt.Close() // only repeats the error of its last use
		return
	}
	p.idle[query] = stmt
}

// Close closes the connection and its statements.
func (p *prepared) Close() error {
	for _, stmt := range p.idle {
		_ = stmt.Close() // as above
	}
	return p.sqliteConn.Close()
}

// preparedRows are rows that return their statement when they are closed.
type preparedRows struct {
	driver.Rows
	conn  *prepared
	query string
	stmt  statement
}

// Close implements driver.Rows.
func (r *preparedRows) Close() error {
	err := r.Rows.Close()
	r.conn.give(r.query, r.stmt)
	return err
}

// parameter matches a parameter in the form that both databases take. SQLite takes it as a
// name, which it must find among all others of the statement.
var parameter = regexp.MustCompile(`\$(\d+)`)

// positional returns a statement with its parameters in SQLite's own form, which is faster:
// without numbers, if they are used once each and in order.
func positional(query string) string {
	for i, p := range parameter.FindAllString(query, -1) {
		if p != "$"+strconv.Itoa(i+1) {
			return parameter.ReplaceAllString(query, "?$1")
		}
	}
	return parameter.ReplaceAllString(query, "?")
}
