package database

import (
	"context"
	"database/sql"
	"strings"
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
	var lines strings.Builder
	err = conn.Raw(func(driver any) error {
		rows, err := driver.(session).Conn.Conn().Query(ctx, translate(query), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if lines.Len() > 0 {
				lines.WriteByte('\n')
			}
			lines.Write(rows.RawValues()[0])
		}
		return rows.Err()
	})
	return lines.String(), err
}
