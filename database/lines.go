package database

import "context"

// AppendLines appends the result of a query to text, one row per line, separated by
// newlines. The query must have one column, called line, whose text contains no newlines.
// Arguments are strings, integers and nil. Rows go from the database into the text with as
// little in between as possible: on SQLite by a reader, on PostgreSQL from pgx's
// connection.
func (db *DB) AppendLines(ctx context.Context, text []byte, query string, args ...any) ([]byte, error) {
	if !db.Shared() {
		return db.readers.appendLines(ctx, text, query, args)
	}
	return db.appendRawLines(ctx, text, query, args)
}

// Row copies the columns of the first row that a query finds into dest, which are
// pointers to strings, byte slices and int64; none of the columns may be NULL. It returns
// sql.ErrNoRows when there is no row. Arguments are those of AppendLines. It is for
// look-ups that requests make all the time, with few different queries: on SQLite it takes
// a third of the time that Reader does.
func (db *DB) Row(ctx context.Context, query string, args []any, dest ...any) error {
	if !db.Shared() {
		return db.readers.row(ctx, query, args, dest)
	}
	return db.Reader.QueryRowContext(ctx, query, args...).Scan(dest...)
}

// appendRawLines implements AppendLines on PostgreSQL.
func (db *DB) appendRawLines(ctx context.Context, text []byte, query string, args []any) ([]byte, error) {
	for i, arg := range args {
		if name, ok := arg.(string); ok {
			args[i] = Text(name)
		}
	}
	conn, err := db.Reader.Conn(ctx)
	if err != nil {
		return text, err
	}
	defer conn.Close()
	err = conn.Raw(func(driver any) error {
		rows, err := driver.(session).Conn.Conn().Query(ctx, translate(query), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for first := true; rows.Next(); first = false {
			if !first {
				text = append(text, '\n')
			}
			text = append(text, rows.RawValues()[0]...)
		}
		return rows.Err()
	})
	return text, unanswered(ctx, err)
}
