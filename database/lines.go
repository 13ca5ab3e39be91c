package database

import (
	"context"
	"database/sql"
	"sync"
)

// Lines gives what a query finds, in its one column, which is called line and has
// text without newlines: a line each, with newlines between them. It is read so
// that a line costs as little as can be: from SQLite all lines as one text, for a
// row takes longer to pass through the driver than to find; from PostgreSQL row by
// row, as they come from the connection, for there it is the one text that costs.
func (db *DB) Lines(ctx context.Context, query string, args ...any) (string, error) {
	if db.Shared() {
		return db.rawLines(ctx, query, args)
	}
	var lines sql.NullString // into which the driver's own copy goes, and no other
	err := db.Reader.QueryRowContext(ctx, `SELECT string_agg(line, char(10)) FROM (`+query+`) AS page`, args...).Scan(&lines)
	return lines.String, err
}

// rawLines is Lines of PostgreSQL.
func (db *DB) rawLines(ctx context.Context, query string, args []any) (string, error) {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = Text(text)
		}
	}
	conn, err := db.Reader.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	buffer := pages.Get().(*[]byte)
	defer pages.Put(buffer)
	lines := (*buffer)[:0]
	err = conn.Raw(func(driver any) error {
		rows, err := driver.(session).Conn.Conn().Query(ctx, translate(query), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if len(lines) > 0 {
				lines = append(lines, '\n')
			}
			lines = append(lines, rows.RawValues()[0]...)
		}
		return rows.Err()
	})
	*buffer = lines
	return string(lines), err
}

// pages are buffers in which rows become a page: one that grows anew for each would
// be cleared and copied so often that it took longer than all else.
var pages = sync.Pool{New: func() any { return new([]byte) }}
