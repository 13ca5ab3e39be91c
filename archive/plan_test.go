package archive

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"callvault/database"

	_ "modernc.org/sqlite"
)

// No statement that runs for each recording or call may read the whole tenant.
func TestNoStatementReadsTheWholeTenant(t *testing.T) {
	db, err := database.Open(t.Context(), filepath.Join(t.TempDir(), "callvault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, query := range []string{findEntry, findEntries("VALUES ($1, $2), ($3, $4)"), findCall, findCalls("VALUES ($1, $2), ($3, $4)"), findAudio, findUpload, findOfCall, listAll, listOfTenant, listCalls,
		byMark, byTenant, byTime, latestByMark, latestByTenant, latestByTime, countMarks, findMarks, findValues, knownTenants,
		(&trail{marks: []int64{1}, probes: [][]int64{{2}, {3}}}).query(), (&trail{tenants: []string{""}}).query(), (&trail{}).query(),
		findPeaks, findRemarks, countSpan, sortedHashes, unmarkedPage} {
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
			if tables := regexp.MustCompile(`^SCAN (recordings|calls|marks|marked_values|marked_words|peaks|remarks|[abce-z])\b`); tables.MatchString(step) && !strings.Contains(step, "VIRTUAL TABLE") ||
				strings.Contains(step, "SCAN recordings") || strings.Contains(step, "SCAN calls") || strings.HasSuffix(step, "(tenant=?)") {
				t.Errorf("%s\n%s", step, query)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
}
