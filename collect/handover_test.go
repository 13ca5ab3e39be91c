package collect_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/collect"
	"callvault/database"
)

// TestHandOver: a tenant that has moved to another account is collected from the other
// source, including days that this source had listed without it; what is held is not
// fetched again.
func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newSource(), newSource()
		fill(first, "acme-ns", 3)
		gone := first.add("acme-ns", "gone", ago(2*time.Hour))
		moved := slices.Clone(first.recordings[:3])
		birch := first.add("birch-ns", "birch", ago(time.Hour))
		second.add("cedar-ns", "cedar", ago(time.Hour))
		v := newVault(t, tempDir(t))
		a, b := from(t, first), from(t, second)
		b.Name, b.Since = "west", ago(62*24*time.Hour).UnixMilli()
		complete(t, v.run(t, a))
		complete(t, v.run(t, b))
		first.recordings = []*recording{birch}
		second.recordings = append(second.recordings, moved...)
		old := second.add("acme-ns", "old", ago(60*24*time.Hour))
		if report := v.run(t, b); !strings.Contains(problems(report), "callvault handover acme-ns --to west") {
			t.Errorf("the run before: %s", problems(report))
		}
		refusedHandOver(t, v, b)
		if was, err := v.HandOver(t.Context(), "acme-ns", b); was != "acme" || err != nil {
			t.Fatal(was, err)
		}
		second.counts()
		complete(t, v.run(t, b))
		if _, audio := second.counts(); audio != 1 || !v.isHeld(t, old) || !v.isHeld(t, gone) {
			t.Errorf("%d requests for audio; its past is held: %v", audio, v.isHeld(t, old))
		}
		if got := v.status(t, b, "acme-ns"); got.Held != 5 || got.Vanished != 1 || got.Source != "west" {
			t.Errorf("%+v", got)
		}
		complete(t, v.run(t, a))
		first.check(t)
		second.check(t)
	})
}

// refusedHandOver tries to hand over tenants that cannot be handed over, to the source of
// cedar-ns.
func refusedHandOver(t *testing.T, v *vault, to *collect.Source) {
	t.Helper()
	run, err := v.Start(t.Context(), to, collect.Always)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.HandOver(t.Context(), "acme-ns", to); !errors.As(err, new(database.Held)) {
		t.Errorf("during a run: %v", err)
	}
	if err := run.Abandon(t.Context()); err != nil {
		t.Fatal(err)
	}
	for tenant, want := range map[string]callvault.Code{"nobody-ns": callvault.NotFound, "cedar-ns": callvault.Conflict} {
		if _, err := v.HandOver(t.Context(), tenant, to); !errors.Is(err, want) {
			t.Errorf("%s: %v", tenant, err)
		}
	}
	prefixed := *to
	prefixed.Prefix = "west-"
	if _, err := v.HandOver(t.Context(), "acme-ns", &prefixed); !errors.Is(err, callvault.InvalidParameter) {
		t.Errorf("without the prefix: %v", err)
	}
}

// TestHandOverKeepsPace: a tenant has one request limit, whichever account asks.
func TestHandOverKeepsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(2 * time.Hour) // else the hour before would be two lists
		first, second := newSource(), newSource()
		second.window = first.window
		fill(first, "acme-ns", 3)
		first.add("birch-ns", "birch", ago(time.Hour)) // else lists and audio share a pace
		second.add("cedar-ns", "cedar", ago(time.Minute))
		v := newVault(t, tempDir(t))
		a, b := from(t, first), from(t, second)
		b.Name = "west"
		complete(t, v.run(t, b))
		complete(t, v.run(t, a))
		fresh := second.add("acme-ns", "fresh", ago(time.Minute))
		if _, err := v.HandOver(t.Context(), "acme-ns", b); err != nil {
			t.Fatal(err)
		}
		run, err := v.Start(t.Context(), b, callvault.Span{From: ago(time.Hour).UnixMilli(), To: time.Now().UnixMilli()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run.Wait(t.Context()); err != nil || !v.isHeld(t, fresh) {
			t.Error(err)
		}
		first.check(t)
		second.check(t)
	})
}

// TestHandOverAtOnce: if a tenant is handed over twice at the same time, one call succeeds
// and the other is told of the conflict.
func TestHandOverAtOnce(t *testing.T) {
	s := newSource()
	s.unlimited = true
	for i := range 10 {
		s.add(fmt.Sprint("tenant-", i), fmt.Sprint("key-", i), ago(time.Hour))
	}
	v, source := newVault(t, tempDir(t)), from(t, s)
	source.OwnServer, source.Pace = true, 0
	complete(t, v.run(t, source))
	for i := range 10 {
		var first atomic.Int64
		var racing sync.WaitGroup
		for j := range 8 {
			to := *source
			to.Name = fmt.Sprint("other-", j)
			racing.Go(func() {
				was, err := v.HandOver(t.Context(), fmt.Sprint("tenant-", i), &to)
				switch {
				case err == nil && was == source.Name:
					first.Add(1)
				case err != nil && !errors.Is(err, callvault.Conflict) && !errors.As(err, new(database.Held)):
					t.Error(err)
				}
			})
		}
		racing.Wait()
		if n := first.Load(); n > 1 {
			t.Fatalf("%d have taken it from the first source", n)
		}
	}
}
