package database

import (
	"path/filepath"
	"testing"
)

// However many rows there are, each is written once, with few distinct statements.
func TestRows(t *testing.T) {
	for _, n := range []int{0, 1, 3, 4, 5, 31, 32, 33, 100, 500} {
		db, err := Open(t.Context(), filepath.Join(t.TempDir(), "rows.db"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.writer.Exec(`CREATE TABLE pairs (one BIGINT NOT NULL, other TEXT NOT NULL)`); err != nil {
			t.Fatal(err)
		}
		var all [][]any
		for i := range n {
			all = append(all, []any{i, "row"})
		}
		texts := map[string]bool{}
		for values, args := range Rows(all) {
			texts[values] = true
			if _, err := db.writer.Exec(`INSERT INTO pairs (one, other) `+values, args...); err != nil {
				t.Fatal(err)
			}
		}
		var written, different int
		err = db.writer.QueryRow(`SELECT count(*), count(DISTINCT one) FROM pairs WHERE other = 'row'`).Scan(&written, &different)
		if err != nil || written != n || different != n || len(texts) > 3 {
			t.Errorf("%d rows: %d written, %d of them different, %d statements, %v", n, written, different, len(texts), err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
