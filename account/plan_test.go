package account

import (
	"path/filepath"
	"strings"
	"testing"

	"callvault"
	"callvault/database"

	_ "modernc.org/sqlite"
)

// Each kind of query of the audit trail has an index in the order of the result: nothing
// is sorted, and no row is read that a limit then drops.
func TestAuditIsReadInOrder(t *testing.T) {
	db, err := database.Open(t.Context(), filepath.Join(t.TempDir(), "callvault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	span := callvault.Span{From: 1, To: 2}
	for _, c := range []struct {
		query AuditQuery
		index string
	}{
		{AuditQuery{}, "audit_by_time"},
		{AuditQuery{Before: 5}, "audit_by_time"},
		{AuditQuery{Span: span}, "audit_by_time"},
		{AuditQuery{Span: span, Before: 5}, "audit_by_time"},
		{AuditQuery{Who: "w", Span: span, Before: 5}, "audit_by_who"},
		{AuditQuery{Tenant: "t", Span: span, Before: 5}, "audit_by_tenant"},
		{AuditQuery{Recording: "r", Before: 5}, "audit_by_recording"},
		{AuditQuery{Recording: "r", Tenant: "t", Who: "w"}, "audit_by_recording"},
	} {
		text, args := c.query.statement()
		rows, err := db.Reader.Query("EXPLAIN QUERY PLAN "+text, args...)
		if err != nil {
			t.Fatal(err)
		}
		plan := ""
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan += detail + "\n"
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan, "USING INDEX "+c.index) || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%+v is read so:\n%s", c.query, plan)
		}
	}
}
