package pages

import (
	"net/http/httptest"
	"testing"
	"time"
)

// TestMonthToCome: a month that has not begun in the tenant's time zone is not shown,
// also if it begins within hours.
func TestMonthToCome(t *testing.T) {
	now := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC) // November 30 in Denver
	for query, want := range map[string]string{
		"": "2026-11", "?month=2026-12": "2026-11", "?day=2026-12-01": "2026-11", "?month=9999-12": "2026-11", "?month=2026-10": "2026-10",
	} {
		c := calendar{Zone: zoneOf("America/Denver")}
		x := &exchange{r: httptest.NewRequest("GET", "/completeness/acme/acme-ns"+query, nil), now: now}
		if _, err := c.readMonth(x); err != nil || c.Month.Format("2006-01") != want {
			t.Errorf("%q shows %v, %v, want %s", query, c.Month, err, want)
		}
	}
}
