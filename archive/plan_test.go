package archive

import (
	"path/filepath"
	"strings"
	"testing"

	"callvault/database"

	_ "modernc.org/sqlite"
)

// What is asked for once a recording or call must not read the whole tenant.
func TestNoStatementReadsTheWholeTenant(t *testing.T) {
	db, err := database.Open(t.Context(), filepath.Join(t.TempDir(), "callvault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, query := range []string{findEntry, findAudio, findUpload, findOfCall, listAll, listOfTenant, listCalls} {
		rows, err := db.Reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "$"))...)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(step, "SCAN recordings") || strings.Contains(step, "SCAN calls") || strings.HasSuffix(step, "(tenant=?)") {
				t.Errorf("%s\n%s", step, query)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
}
