package database

import (
	"context"
	"database/sql"
)

// Lines appends to page what a query gives, a line each: text without newlines, in
// its one column, which is called line. It is read so that a line costs as little
// as can be: from SQLite all lines as one text, for a row takes longer to pass
// through the driver than to find; from PostgreSQL row by row, as they come from
// the connection, for there it is the one text that costs.
func (db *DB) Lines(ctx context.Context, page []byte, query string, args ...any) ([]byte, error) {
	if db.Shared() {
		return db.rawLines(ctx, page, query, args)
	}
	var lines sql.RawBytes
	rows, err := db.Reader.QueryContext(ctx, `SELECT string_agg(line, char(10)) FROM (`+query+`) AS page`, args...)
	if err != nil {
		return page, err
	}
	defer rows.Close()
	if rows.Next() {
		if err := rows.Scan(&lines); err != nil {
			return page, err
		}
		if page = append(page, lines...); len(lines) > 0 {
			page = append(page, '\n')
		}
	}
	return page, rows.Err()
}

// rawLines is Lines of PostgreSQL.
func (db *DB) rawLines(ctx context.Context, page []byte, query string, args []any) ([]byte, error) {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = Text(text)
		}
	}
	conn, err := db.Reader.Conn(ctx)
	if err != nil {
		return page, err
	}
	defer conn.Close()
	err = conn.Raw(func(driver any) error {
		rows, err := driver.(session).Conn.Conn().Query(ctx, translate(query), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			page = append(append(page, rows.RawValues()[0]...), '\n')
		}
		return rows.Err()
	})
	return page, err
}
