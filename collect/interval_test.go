package collect

import (
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/meter"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const minute = int64(time.Minute / time.Millisecond)

// TestIntervals compares the arithmetic of intervals with a map of minutes.
func TestIntervals(t *testing.T) {
	const size, back = 60, 7
	lookback := back * time.Minute
	rapid.Check(t, func(t *rapid.T) {
		var listings []listing
		var at [size]int64     // when each minute was last listed, from 1
		var mustEnd [size]bool // it was listed as part of what was over for lookback
		now := int64(1)
		for range rapid.IntRange(1, 25).Draw(t, "listings") {
			now += rapid.Int64Range(0, 9).Draw(t, "later")
			from := rapid.Int64Range(0, size-1).Draw(t, "from")
			to := rapid.Int64Range(from, min(size, from+20)).Draw(t, "to")
			listings = overlay(listings, listing{callvault.Span{From: from * minute, To: to * minute}, now * minute}, lookback)
			for m := from; m < to; m++ {
				at[m], mustEnd[m] = now, now >= to+back
			}
		}
		var isFinal [size]bool
		for i, l := range listings {
			if l.Empty() || i > 0 && listings[i-1].To > l.From {
				t.Fatalf("%v", listings)
			}
			for m := l.From / minute; m < l.To/minute; m++ {
				if isFinal[m] = l.final(lookback); isFinal[m] && at[m] < m+1+back {
					t.Fatalf("minute %d counts as final though it was listed at %d: %v", m, at[m], listings)
				}
			}
		}
		for m := range at {
			if mustEnd[m] && !isFinal[m] {
				t.Fatalf("minute %d is listed for ever: %v", m, listings)
			}
		}
		from := rapid.Int64Range(0, size-1).Draw(t, "wantedFrom")
		span := callvault.Span{From: from * minute, To: rapid.Int64Range(from, size).Draw(t, "wantedTo") * minute}
		var want, got [size]bool
		listed, allFinal := int64(0), true
		for m := span.From / minute; m < span.To/minute; m++ {
			want[m] = !isFinal[m]
			allFinal = allFinal && isFinal[m]
			if at[m] > 0 {
				listed++
			}
		}
		for _, gap := range gaps(listings, span, lookback) {
			for m := gap.From / minute; m < gap.To/minute; m++ {
				got[m] = true
			}
		}
		if got != want {
			t.Fatalf("wanted %v, want %v", got, want)
		}
		if covered, all := cover(listings, span, lookback); covered != listed*minute || all != allFinal {
			t.Fatalf("covered %d %v, want %d %v", covered/minute, all, listed, allFinal)
		}
	})
}

func TestForgottenInstant(t *testing.T) {
	day := callvault.Span{From: 0, To: dayMs}
	next := callvault.Span{From: dayMs, To: 2 * dayMs}
	listings := []listing{{day, dayMs}, {next, 9 * dayMs}} // the first is not final
	lookback := 5 * 24 * time.Hour
	got := gaps(subtract(listings, callvault.Span{From: dayMs + 5, To: dayMs + 6}), callvault.Span{From: 0, To: 2 * dayMs}, lookback)
	if diff := cmp.Diff([]callvault.Span{day, {From: dayMs + 5, To: dayMs + 6}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDaysOf(t *testing.T) {
	for _, c := range []struct {
		span callvault.Span
		want []callvault.Span
	}{
		{callvault.Span{From: 5, To: 5}, nil},
		{callvault.Span{From: 5, To: 9}, []callvault.Span{{From: 5, To: 9}}},
		{callvault.Span{From: dayMs - 1, To: 2*dayMs + 1}, []callvault.Span{{From: 2 * dayMs, To: 2*dayMs + 1}, {From: dayMs, To: 2 * dayMs}, {From: dayMs - 1, To: dayMs}}},
	} {
		if diff := cmp.Diff(c.want, daysOf(c.span)); diff != "" {
			t.Errorf("%v: %s", c.span, diff)
		}
	}
}

// TestPacer: whatever delays there are, no request is the fourth within a burst or comes
// before its pace, and none comes later than that by a tick.
func TestPacer(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pace := time.Duration(rapid.IntRange(int(MinPace/time.Millisecond), 9000).Draw(rt, "pace")) * time.Millisecond
		delays := rapid.SliceOfN(rapid.IntRange(-20_000, 15_000), 1, 12).Draw(rt, "delays")
		crashed := rapid.Bool().Draw(rt, "crashed")
		synctest.Test(t, func(t *testing.T) {
			p := newPacer(&Source{Pace: pace}, [3]int64{})
			made := []time.Time{}
			if crashed {
				now := time.Now()
				p = newPacer(&Source{Pace: pace}, afterCrash(now.UnixMilli()))
				made = append(made, now, now, now)
			}
			for _, delay := range delays {
				earliest := time.Now()
				if delay > 0 {
					p.delay(time.Duration(delay) * time.Millisecond)
					earliest = earliest.Add(time.Duration(delay) * time.Millisecond)
				} else {
					time.Sleep(time.Duration(-delay) * time.Millisecond)
					earliest = time.Now()
				}
				if n := len(made); n > 0 {
					earliest = later(earliest, made[n-1].Add(pace))
				}
				if n := len(made); n > 2 {
					earliest = later(earliest, made[n-3].Add(burstWindow))
				}
				if err := p.wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if now := time.Now(); now.Before(earliest) || now.Sub(earliest) >= tick*time.Millisecond {
					t.Fatalf("request %d at %v, want %v", len(made), now, earliest)
				}
				made = append(made, time.Now())
			}
		})
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// TestArrival: the pace counts from when a request arrived at the source, as far as that is
// known: after it was sent, before the answer, and soon.
func TestArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(&Source{Pace: DefaultPace}, [3]int64{})
		for _, c := range []struct{ connects, answers, counted time.Duration }{
			{0, 0, 0}, {300 * time.Millisecond, 0, 300 * time.Millisecond}, {0, 90 * time.Millisecond, 90 * time.Millisecond}, {2 * time.Second, 3 * time.Second, 2250 * time.Millisecond},
		} {
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			taken := time.Now()
			time.Sleep(c.connects)
			p.noteSent()
			time.Sleep(c.answers)
			p.noteAnswered()
			if late := p.last[2] - taken.Add(c.counted).UnixMilli(); late < 0 || late > 1 {
				t.Errorf("%+v: it is counted %d ms late", c, late)
			}
		}
	})
}

// TestClockSetBack: after the clock was set back by an hour, a pace holds for a burst, a
// delay for its own length.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Now().Add(time.Hour).UnixMilli()
		p := newPacer(&Source{Pace: DefaultPace}, [3]int64{ahead, ahead, ahead})
		began := time.Now()
		if err := p.wait(t.Context()); err != nil || time.Since(began) != burstWindow {
			t.Errorf("waited %v, %v", time.Since(began), err)
		}
		p.holdUntil, p.holdFor = time.Now().Add(time.Hour).UnixMilli(), 30_000
		began = time.Now()
		if err := p.wait(t.Context()); err != nil || time.Since(began) != 30*time.Second {
			t.Errorf("waited %v, %v", time.Since(began), err)
		}
	})
}

func TestSlowerHasAnEnd(t *testing.T) {
	p := newPacer(&Source{Pace: DefaultPace}, [3]int64{})
	for range 100 {
		p.slowDown()
	}
	if p.pace != 4*DefaultPace {
		t.Errorf("the pace is %v", p.pace)
	}
}

func TestLatest(t *testing.T) {
	for _, c := range []struct{ a, b, want [3]int64 }{
		{[3]int64{1, 4, 6}, [3]int64{2, 3, 5}, [3]int64{4, 5, 6}},
		{[3]int64{}, [3]int64{1, 2, 3}, [3]int64{1, 2, 3}},
		{[3]int64{7, 8, 9}, [3]int64{1, 2, 3}, [3]int64{7, 8, 9}},
		{[3]int64{1, 1, 9}, [3]int64{0, 0, 9}, [3]int64{1, 9, 9}},
	} {
		if got := latest(c.a, c.b); got != c.want {
			t.Errorf("%v and %v give %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// TestFittingIsExact: what fits a large site's egress limit does not overflow.
func TestFittingIsExact(t *testing.T) {
	source := &Source{Agents: map[string]int64{"acme": 200_000}}
	due := &turn{r: &Run{source: source}, site: &site{remote: "acme"}, ledger: &meter.Ledger{}, due: 1_000_000, dueSize: 60_000_000_000}
	if n := due.fitting(0); n != 1_000_000 {
		t.Errorf("%d of 1000000 recordings fit", n)
	}
	source.Agents["acme"] = 10 // 2,736,000,000 bytes
	if n := due.fitting(0); n != 45_600 {
		t.Errorf("%d recordings fit, want 45600", n)
	}
}
