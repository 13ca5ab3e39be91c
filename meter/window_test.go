package meter

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const start = int64(1_700_000_000_000)

// requests is the naive model of a window: all requests ever accepted.
type requests []int64

// pass is the rule of the request limit, word by word.
func (r requests) pass(now int64) bool {
	recent := 0
	for _, t := range r {
		if now-t < 10_000 {
			recent++
		}
	}
	if recent < 3 {
		return true
	}
	n := len(r)
	return now-r[n-1] >= 2750 && r[n-1]-r[n-2] >= 2750 && r[n-2]-r[n-3] >= 2750
}

// together returns how many requests would pass together at now.
func (r requests) together(now int64) int {
	more := append(requests(nil), r...)
	for more.pass(now) {
		more = append(more, now)
	}
	return len(more) - len(r)
}

// keepRule reports whether no four accepted in 10 s were closer than 2.75 s.
func (r requests) keepRule() bool {
	for i := 3; i < len(r); i++ {
		spaced := r[i]-r[i-1] >= 2750 && r[i-1]-r[i-2] >= 2750 && r[i-2]-r[i-3] >= 2750
		if r[i]-r[i-3] < 10_000 && !spaced {
			return false
		}
	}
	return true
}

// first finds the first instant of (from, to] at which ok is true, given that it stays so.
func first(from, to int64, ok func(int64) bool) int64 {
	for from+1 < to {
		if middle := (from + to) / 2; ok(middle) {
			to = middle
		} else {
			from = middle
		}
	}
	return to
}

func TestWindowIsTheRuleExhaustively(t *testing.T) {
	gaps := []int64{0, 1, 2749, 2750, 2751, 4499, 4500, 9999, 10_000, 10_001}
	var walk func(w Window, accepted requests, now int64, depth int)
	walk = func(w Window, accepted requests, now int64, depth int) {
		want := accepted.pass(now)
		before := w
		if got := w.Admit(now); got != want {
			t.Fatalf("after %v at %d: accepted is %v, want %v", accepted, now, got, want)
		}
		if want {
			accepted = append(accepted[:len(accepted):len(accepted)], now)
		} else if w != before {
			t.Fatalf("a refusal at %d changed %v to %v", now, before, w)
		}
		if !accepted.keepRule() {
			t.Fatalf("%v breaks the rule", accepted)
		}
		if depth == 0 {
			return
		}
		for _, gap := range gaps {
			walk(w, accepted, now+gap, depth-1)
		}
	}
	walk(Window{}, nil, start, 5)
}

func TestWindowAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		var accepted requests
		now := start
		for range rapid.IntRange(1, 30).Draw(t, "requests") {
			now += drawGap(t, w, now)
			want := accepted.pass(now)
			if got := w.Admit(now); got != want {
				t.Fatalf("after %v at %d: accepted is %v, want %v", accepted, now, got, want)
			}
			if want {
				accepted = append(accepted, now)
			}
			checkOpens(t, w, accepted, now)
			checkStanding(t, w, accepted, now)
		}
		if !accepted.keepRule() {
			t.Fatalf("%v breaks the rule", accepted)
		}
	})
}

func drawGap(t *rapid.T, w Window, now int64) int64 {
	opens := w.Opens(now) - now
	return rapid.OneOf(
		rapid.SampledFrom([]int64{0, 1, 2749, 2750, 3000, 9999, 10_000, opens, max(0, opens-1)}),
		rapid.Int64Range(0, 4000),
		rapid.Int64Range(0, 25_000),
	).Draw(t, "gap")
}

func checkOpens(t *rapid.T, w Window, accepted requests, now int64) {
	opens := w.Opens(now)
	if want := first(now-1, now+10_000, accepted.pass); opens != want {
		t.Fatalf("after %v at %d: opens at %d, want %d", accepted, now, opens, want)
	}
	later := now + rapid.Int64Range(0, 12_000).Draw(t, "later")
	if got, want := w.Opens(later), max(opens, later); got != want {
		t.Fatalf("after %v: opens at %d as seen at %d, at %d as seen at %d", accepted, opens, now, got, later)
	}
}

func checkStanding(t *rapid.T, w Window, accepted requests, now int64) {
	now += rapid.Int64Range(0, 12_000).Draw(t, "look")
	want := Standing{Remaining: accepted.together(now)}
	if want.Remaining < 3 {
		grows := first(now, now+10_000, func(at int64) bool { return accepted.together(at) > want.Remaining })
		want.Reset = (grows - now + 999) / 1000
	}
	if got := w.Standing(now); got != want {
		t.Fatalf("after %v at %d: %+v, want %+v", accepted, now, got, want)
	}
}

func TestSteadyClientIsNeverRefused(t *testing.T) {
	for _, gap := range []int64{2750, 2751, 3000, 3333, 3334, 5000, 10_000} {
		var w Window
		for i := range int64(1000) {
			if !w.Admit(start + i*gap) {
				t.Errorf("request %d of one every %d ms was refused", i, gap)
				break
			}
		}
	}
}

// The API guide's pace, with each request up to a quarter of a second early or late.
func TestJitterIsForgiven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		for i := range int64(50) {
			if now := start + i*3000 + rapid.Int64Range(0, 250).Draw(t, "jitter"); !w.Admit(now) {
				t.Fatalf("request %d at %d was refused by %v", i, now, w)
			}
		}
	})
}

func TestBurstOfThree(t *testing.T) {
	var w Window
	for i, want := range []Standing{{2, 10}, {1, 10}, {0, 10}} {
		if !w.Admit(start) || w.Standing(start) != want {
			t.Errorf("request %d: %v leaves %+v, want %+v", i, w, w.Standing(start), want)
		}
	}
	if w.Admit(start) || w.Admit(start+9999) {
		t.Error("a fourth request within 10 s passed")
	}
	if got, want := w.Standing(start+9999), (Standing{0, 1}); got != want {
		t.Errorf("a millisecond before: %+v, want %+v", got, want)
	}
	if !w.Admit(start + 10_000) {
		t.Error("the request after exactly 10 s was refused")
	}
}

func TestStandingOfTheSteady(t *testing.T) {
	var w Window
	for i, want := range []string{
		`"recordings";r=2;t=10`, `"recordings";r=1;t=7`, `"recordings";r=0;t=3`, `"recordings";r=0;t=3`,
	} {
		now := start + int64(i)*3000
		if !w.Admit(now) || w.Standing(now).String() != want {
			t.Errorf("request %d leaves %v, want %s", i, w.Standing(now), want)
		}
	}
	if got, want := w.Standing(start+30_000), (Standing{3, 0}); got != want {
		t.Errorf("an unused window stands at %+v, want %+v", got, want)
	}
}

func TestWindowWhenTheClockJumpsBack(t *testing.T) {
	year := int64(365 * 24 * time.Hour / time.Millisecond)
	w := Window{start + year, start + year + 1, start + year + 2}
	if w.Idle(start) {
		t.Error("a window of the future counts for idle")
	}
	if w.Admit(start) || w.Opens(start) != start+10_000 {
		t.Errorf("after the jump %v opens at %d, want %d", w, w.Opens(start), start+10_000)
	}
	if w.Admit(start+9999) || !w.Admit(start+10_000) {
		t.Errorf("%v did not open 10 s after the jump", w)
	}
}

func TestWindowUnderAnyClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		var accepted requests // since the clock last jumped back
		now := start
		for range rapid.IntRange(1, 40).Draw(t, "requests") {
			step := rapid.OneOf(rapid.Int64Range(0, 4000), rapid.Int64Range(-20_000, 0)).Draw(t, "step")
			if step < 0 {
				accepted = nil
			}
			now += step
			if w.Admit(now) {
				accepted = append(accepted, now)
			}
			opens := w.Opens(now)
			if opens > now+10_000 {
				t.Fatalf("at %d %v opens only at %d", now, w, opens)
			}
			early, late := w, w
			if (opens > now && early.Admit(opens-1)) || !late.Admit(opens) {
				t.Fatalf("at %d %v does not open at %d", now, w, opens)
			}
		}
		if !accepted.keepRule() {
			t.Fatalf("%v breaks the rule", accepted)
		}
	})
}
