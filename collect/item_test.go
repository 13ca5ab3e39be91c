package collect

import (
	"path/filepath"
	"strings"
	"testing"

	"callvault/database"

	_ "modernc.org/sqlite"
)

// TestItemsAreFoundByTheirKeys: the items of a list are looked up without a scan of the
// ledger.
func TestItemsAreFoundByTheirKeys(t *testing.T) {
	db, err := database.Open(t.Context(), filepath.Join(t.TempDir(), "callvault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+findItems("VALUES ($1, $2), ($3, $4)"), make([]any, 4)...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, step)
	}
	if told := strings.Join(plan, "; "); rows.Err() != nil || !strings.Contains(told, "SEARCH items USING PRIMARY KEY (tenant=? AND recording_key=?)") {
		t.Error(told, rows.Err())
	}
}
