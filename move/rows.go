package move

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"callvault/database"
)

// pageRows is how many rows are compared and written at a time.
const pageRows = 500

// appendRow appends an encoding of a row that is the same for both databases, and different
// for different rows.
func appendRow(to []byte, row values) []byte {
	for _, value := range row {
		switch v := value.(type) {
		case nil:
			to = append(to, 'n')
		case int64:
			to = binary.BigEndian.AppendUint64(append(to, 'i'), uint64(v))
		case bool:
			to = strconv.AppendBool(append(to, 'b'), v)
		case string:
			v = database.Text(v) // PostgreSQL stores no other text
			to = append(binary.AppendUvarint(append(to, 't'), uint64(len(v))), v...)
		case []byte:
			to = append(binary.AppendUvarint(append(to, 'r'), uint64(len(v))), v...)
		}
	}
	return to
}

// lacking reads the page of one database's rows after a key, and reports which of them the
// other lacks or has with other values.
func (t *table) lacking(ctx context.Context, one, other *database.DB, after values) (page []values, lacks []bool, err error) {
	if page, err = t.read(ctx, one, after, nil, pageRows); err != nil || len(page) == 0 {
		return nil, nil, err
	}
	there, err := t.read(ctx, other, after, t.keyOf(page[len(page)-1]), 0)
	if err != nil {
		return nil, nil, err
	}
	known := make(map[string]bool, len(there))
	var row []byte
	for _, values := range there {
		row = appendRow(row[:0], values)
		known[string(row)] = true
	}
	lacks = make([]bool, len(page))
	for i, values := range page {
		row = appendRow(row[:0], values)
		lacks[i] = !known[string(row)]
	}
	return page, lacks, nil
}

// prune deletes the rows of to that from lacks or has with other values, because they have
// changed at the source since an earlier run.
func (t *table) prune(ctx context.Context, from, to *database.DB) error {
	var after values
	for {
		page, lacks, err := t.lacking(ctx, to, from, after)
		if err != nil || len(page) == 0 {
			return err
		}
		after = t.keyOf(page[len(page)-1])
		err = write(ctx, to, func(tx *sql.Tx) error {
			for i, row := range page {
				if lacks[i] {
					if err := t.remove(ctx, tx, t.keyOf(row)); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
}

func (t *table) remove(ctx context.Context, tx *sql.Tx, key values) error {
	conditions := make([]string, len(key))
	for i, place := range t.key {
		conditions[i] = fmt.Sprintf("%s = $%d", quote(t.columns[place].name), i+1)
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM "+quote(t.name)+" WHERE "+strings.Join(conditions, " AND "), key...)
	return err
}

// insert writes rows. There must be at least one.
func (t *table) insert(ctx context.Context, tx *sql.Tx, rows []values) error {
	var statement strings.Builder
	fmt.Fprintf(&statement, "INSERT INTO %s (%s) VALUES ", quote(t.name), t.names(nil))
	var args []any
	for i, row := range rows {
		if i > 0 {
			statement.WriteString(", ")
		}
		fmt.Fprintf(&statement, "(%s)", parameters(len(args)+1, len(row)))
		args = append(args, row...)
	}
	_, err := tx.ExecContext(ctx, statement.String(), args...)
	return err
}

// replace replaces the rows of a table without a key with those of the source.
func (t *table) replace(ctx context.Context, from, to *database.DB) error {
	theirs, err := t.read(ctx, from, nil, nil, 0)
	if err != nil {
		return err
	}
	ours, err := t.read(ctx, to, nil, nil, 0)
	if err != nil || bytes.Equal(appendRows(theirs), appendRows(ours)) {
		return err
	}
	err = write(ctx, to, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+quote(t.name)); err != nil || len(theirs) == 0 {
			return err
		}
		return t.insert(ctx, tx, theirs)
	})
	if err != nil {
		return fmt.Errorf("table %s: %w", t.name, err)
	}
	return nil
}

func appendRows(rows []values) (all []byte) {
	for _, row := range rows {
		all = appendRow(all, row)
	}
	return all
}

// write runs fn in a transaction whose statements may take long.
func write(ctx context.Context, db *database.DB, fn func(*sql.Tx) error) error {
	return db.Tx(database.Patient(ctx), fn)
}

// Digest summarizes a table: how many rows it has, and the SHA-256 of them all, in the order
// of their keys.
type Digest struct {
	Table  string `json:"table"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

// digest reads all rows of a table, and calls read after each page.
func (t *table) digest(ctx context.Context, db *database.DB, read func(rows int)) (Digest, error) {
	d, sum := Digest{Table: t.name}, sha256.New()
	var after values
	for {
		limit := pageRows
		if len(t.key) == 0 {
			limit = 0
		}
		page, err := t.read(ctx, db, after, nil, limit)
		if err != nil {
			return d, err
		}
		sum.Write(appendRows(page))
		d.Rows += int64(len(page))
		read(len(page))
		if len(page) < pageRows || len(t.key) == 0 {
			d.SHA256 = hex.EncodeToString(sum.Sum(nil))
			return d, nil
		}
		after = t.keyOf(page[len(page)-1])
	}
}
