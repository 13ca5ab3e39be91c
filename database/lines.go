package database

import (
	"context"
	"sync"
)

// Lines returns the result of a query as text, one row per line, separated by newlines.
// The query must have one column, called line, whose text contains no newlines. Arguments
// are strings, integers and nil. Rows go from the database into the text with as little in
// between as possible: on SQLite by a reader, on PostgreSQL from pgx's connection.
func (db *DB) Lines(ctx context.Context, query string, args ...any) (string, error) {
	if !db.Shared() {
		return db.readers.lines(ctx, query, args)
	}
	return db.rawLines(ctx, query, args)
}

// Row copies the columns of the first row that a query finds into dest, which are
// pointers to strings, byte slices and int64; none of the columns may be NULL. It returns
// sql.ErrNoRows when there is no row. Arguments are those of Lines. It is for look-ups
// that requests make all the time, with few different queries: on SQLite it takes a third
// of the time that Reader does.
func (db *DB) Row(ctx context.Context, query string, args []any, dest ...any) error {
	if !db.Shared() {
		return db.readers.row(ctx, query, args, dest)
	}
	return db.Reader.QueryRowContext(ctx, query, args...).Scan(dest...)
}

// rawLines implements Lines on PostgreSQL.
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
	return string(lines), unanswered(ctx, err)
}

// pages are the buffers in which rows are joined into a page. A buffer that grew anew for
// each page would be cleared and copied so often that this took longer than anything else.
var pages = sync.Pool{New: func() any { return new([]byte) }}
