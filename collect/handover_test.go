package collect_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/collect"
	"callvault/database"
)

// TestHandOver: a tenant whose account has moved is collected from the other source, its
// past there too, and what is held is not fetched again. No limit is broken by it.
func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newSource(), newSource()
		fill(first, "acme-ns", 3)
		second.recordings = slices.Clone(first.recordings)
		birch := first.add("birch-ns", "birch", ago(time.Hour))
		second.add("cedar-ns", "cedar", ago(time.Hour))
		old := second.add("acme-ns", "old", ago(60*24*time.Hour))
		v := newVault(t, tempDir(t))
		a, b := from(t, first), from(t, second)
		b.Name, b.Since = "west", ago(62*24*time.Hour).UnixMilli()
		complete(t, v.run(t, a))
		if report := v.run(t, b); !strings.Contains(problems(report), "callvault handover acme-ns --to west") {
			t.Errorf("the run before: %s", problems(report))
		}

		run, err := v.Start(t.Context(), b, collect.Always)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.HandOver(t.Context(), "acme-ns", b); !errors.As(err, new(database.Held)) {
			t.Errorf("during a run: %v", err)
		}
		if err := run.Abandon(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := *b
		c.Prefix = "west-"
		for tenant, want := range map[string]callvault.Code{"nobody-ns": callvault.NotFound, "cedar-ns": callvault.Conflict} {
			if _, err := v.HandOver(t.Context(), tenant, b); !errors.Is(err, want) {
				t.Errorf("%s: %v", tenant, err)
			}
		}
		if _, err := v.HandOver(t.Context(), "acme-ns", &c); !errors.Is(err, callvault.InvalidParameter) {
			t.Errorf("without the prefix: %v", err)
		}
		if was, err := v.HandOver(t.Context(), "acme-ns", b); was != "acme" || err != nil {
			t.Fatal(was, err)
		}

		second.counts()
		first.recordings = []*recording{birch}
		complete(t, v.run(t, b))
		if _, audio := second.counts(); audio != 1 || !v.isHeld(t, old) {
			t.Errorf("%d requests for audio; its past is held: %v", audio, v.isHeld(t, old))
		}
		complete(t, v.run(t, a))
		if got := v.status(t, b, "acme-ns"); got.Held != 4 || got.Vanished != 0 || got.Source != "west" {
			t.Errorf("%+v", got)
		}
		first.check(t)
		second.check(t)
	})
}
