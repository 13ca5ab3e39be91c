package move

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"

	"callvault/database"
)

// The kinds of columns.
const (
	text    = "TEXT"
	number  = "BIGINT"
	boolean = "BOOLEAN"
	raw     = "BYTEA"
)

// table is a table that both databases have.
type table struct {
	name    string
	columns []column
	key     []int // the primary key, as indexes of columns; empty for a table of one row
}

type column struct {
	name, kind string
	nullable   bool
}

// values are those of a row, in the order of its table's columns.
type values []any

// The statements that list the columns of all tables, with their places in the primary key,
// counted from 1; 0 for columns outside of it.
const (
	listSQLite = `SELECT m.name, c.name, upper(c.type), c."notnull" = 0, c.pk FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid`
	listPostgreSQL = `SELECT c.relname, a.attname, upper(format_type(a.atttypid, NULL)), NOT a.attnotnull,
		coalesce(array_position(CAST(i.indkey AS SMALLINT[]), a.attnum) + 1, 0)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
		WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname, a.attnum`
)

// tablesOf returns the tables of a database that are moved: all but the mark of the move and
// its faults, the version of the schema, the workers' queue, and the counts that triggers
// maintain as rows are written.
func tablesOf(ctx context.Context, db *database.DB) (tables []table, err error) {
	query := listSQLite
	if db.Shared() {
		query = listPostgreSQL
	}
	rows, err := db.Reader.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("tables: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var c column
		var place int
		if err := rows.Scan(&name, &c.name, &c.kind, &c.nullable, &place); err != nil {
			return nil, fmt.Errorf("tables: %w", err)
		}
		if name == "goose_db_version" || name == "moves" || name == "move_faults" || name == "tallies" || name == "stock" || strings.HasPrefix(name, "river_") {
			continue
		}
		if len(tables) == 0 || tables[len(tables)-1].name != name {
			tables = append(tables, table{name: name})
		}
		if err := tables[len(tables)-1].add(c, place); err != nil {
			return nil, err
		}
	}
	return tables, rows.Err()
}

// add adds a column. place is its place in the primary key, counted from 1; 0 if it is not
// part of it.
func (t *table) add(c column, place int) error {
	switch c.kind {
	case "BLOB":
		c.kind = raw
	case "INTEGER":
		c.kind = number
	case text, number, boolean, raw:
	default:
		return fmt.Errorf("column %s of table %s has a type that cannot be moved, %s", c.name, t.name, c.kind)
	}
	t.columns = append(t.columns, c)
	if place > 0 {
		for len(t.key) < place {
			t.key = append(t.key, 0)
		}
		t.key[place-1] = len(t.columns) - 1
	}
	return nil
}

// sameTables returns the tables of both databases, which must be the same.
func sameTables(ctx context.Context, from, to *database.DB) ([]table, error) {
	theirs, err := tablesOf(ctx, from)
	if err != nil {
		return nil, err
	}
	ours, err := tablesOf(ctx, to)
	if err != nil {
		return nil, err
	}
	same := func(a, b table) bool {
		return a.name == b.name && slices.Equal(a.columns, b.columns) && slices.Equal(a.key, b.key)
	}
	if !slices.EqualFunc(theirs, ours, same) {
		return nil, fmt.Errorf("the tables of the two databases differ, %s and %s", shapes(theirs), shapes(ours))
	}
	return theirs, nil
}

func shapes(tables []table) string { return strings.Join(strings.Fields(fmt.Sprint(tables)), " ") }

// names lists columns for a statement: those at places, or all if places is nil.
func (t *table) names(places []int) string {
	var list []string
	for i := range t.columns {
		if places == nil {
			list = append(list, quote(t.columns[i].name))
		}
	}
	for _, i := range places {
		list = append(list, quote(t.columns[i].name))
	}
	return strings.Join(list, ", ")
}

func quote(name string) string { return `"` + name + `"` }

// parameters lists n parameters, beginning with $first.
func parameters(first, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", first+i)
	}
	return strings.Join(list, ", ")
}

// keyOf returns a row's primary key.
func (t *table) keyOf(row values) values {
	key := make(values, len(t.key))
	for i, place := range t.key {
		key[i] = row[place]
	}
	return key
}

// read reads rows in the order of the primary key: those after one key and up to another, at
// most limit of them. nil and 0 mean no bound.
func (t *table) read(ctx context.Context, db *database.DB, after, upTo values, limit int) ([]values, error) {
	var conditions []string
	var args []any
	bound := func(sign string, key values) {
		if key != nil {
			conditions = append(conditions, fmt.Sprintf("(%s) %s (%s)", t.names(t.key), sign, parameters(len(args)+1, len(key))))
			args = append(args, key...)
		}
	}
	bound(">", after)
	bound("<=", upTo)
	query := "SELECT " + t.names(nil) + " FROM " + quote(t.name)
	if len(conditions) > 0 {
		query += " WHERE " + strings.Join(conditions, " AND ")
	}
	if len(t.key) > 0 {
		query += " ORDER BY " + t.names(t.key)
	}
	if limit > 0 {
		query += fmt.Sprintf(" LIMIT %d", limit)
	}
	rows, err := db.Reader.QueryContext(database.Patient(ctx), query, args...)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.name, err)
	}
	defer rows.Close()
	var all []values
	for rows.Next() {
		row, err := t.scan(rows)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.name, err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("table %s: %w", t.name, err)
	}
	return all, nil
}

// scan reads a row into the types of its columns' kinds, which are the same for both drivers.
func (t *table) scan(rows *sql.Rows) (values, error) {
	places := make([]any, len(t.columns))
	for i, c := range t.columns {
		switch c.kind {
		case text:
			places[i] = new(sql.Null[string])
		case number:
			places[i] = new(sql.Null[int64])
		case boolean:
			places[i] = new(sql.Null[bool])
		case raw:
			places[i] = new(sql.Null[[]byte])
		}
	}
	if err := rows.Scan(places...); err != nil {
		return nil, err
	}
	row := make(values, len(places))
	for i, place := range places {
		value, err := place.(driver.Valuer).Value()
		if err != nil {
			return nil, err
		}
		row[i] = value
		if bytes, is := value.([]byte); t.columns[i].kind == raw && bytes == nil && (is || !t.columns[i].nullable) {
			row[i] = []byte{} // a driver may return nil for zero bytes, and would write that as NULL
		}
	}
	return row, nil
}
