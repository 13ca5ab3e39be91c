package meter

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const (
	fiveDays = int64(5 * 24 * 3600 * 1000)
	oneHour  = int64(3600 * 1000)
)

// sent is the naive model of a ledger: every byte ever sent.
type sent []item

type item struct{ at, bytes int64 }

// within is the bytes sent in the last span milliseconds before now.
func (s sent) within(span, now int64) (sum int64) {
	for _, x := range s {
		if now-x.at < span {
			sum += x.bytes
		}
	}
	return sum
}

// counted is what the egress limit counts: each byte until the end of its hour, five days later.
func (s sent) counted(now int64) (sum int64) {
	for _, x := range s {
		if now < x.at-x.at%oneHour+oneHour+fiveDays {
			sum += x.bytes
		}
	}
	return sum
}

func (l *Ledger) clone() *Ledger {
	return &Ledger{hours: slices.Clone(l.hours), used: l.used, inFlight: l.inFlight}
}

func (l *Ledger) fits(limit, need, now int64) bool {
	at, fits := l.clone().FreesAt(limit, need, now)
	return fits && at == now
}

// ledgerRun drives a ledger and its model side by side.
type ledgerRun struct {
	Ledger
	model    sent
	limit    int64
	open     []int64
	openSum  int64
	now      int64
	backward bool
}

func (r *ledgerRun) step(t *rapid.T) {
	gap := rapid.OneOf(
		rapid.Int64Range(0, 2*oneHour), rapid.Int64Range(0, 2*24*oneHour),
		rapid.SampledFrom([]int64{0, 1, oneHour - 1, oneHour, fiveDays - 1, fiveDays, fiveDays + oneHour}),
	).Draw(t, "gap")
	if r.backward && rapid.IntRange(0, 3).Draw(t, "back") == 0 {
		gap = -gap
	}
	r.now += gap
	if r.backward {
		// What has aged out once stays out when the clock jumps back before that.
		r.model = slices.DeleteFunc(r.model, func(x item) bool { return sent{x}.counted(r.now) == 0 })
	}
	for i := range r.model {
		r.model[i].at = min(r.model[i].at, r.now)
	}
	if len(r.open) > 0 && rapid.Bool().Draw(t, "settle") {
		r.settle(t)
		return
	}
	need := rapid.Int64Range(0, r.limit+r.limit/8).Draw(t, "need")
	want := need <= r.limit-r.model.counted(r.now)-r.openSum
	if got := r.fits(r.limit, need, r.now); got != want && need > 0 {
		t.Fatalf("%d bytes fit is %v, want %v, with %+v", need, got, want, r.Ledger)
	}
	if want {
		r.Reserve(need)
		r.open = append(r.open, need)
		r.openSum += need
	}
	r.checkFreesAt(t, need)
}

func (r *ledgerRun) settle(t *rapid.T) {
	reserved := r.open[0]
	r.open = r.open[1:]
	r.openSum -= reserved
	bytes := rapid.Int64Range(0, reserved).Draw(t, "sent")
	r.Settle(reserved, bytes, r.now)
	r.model = append(r.model, item{r.now, bytes})
}

// checkFreesAt compares the promised instant with the ledger as it will be when
// what is in flight has been sent whole.
func (r *ledgerRun) checkFreesAt(t *rapid.T, need int64) {
	at, fits := r.clone().FreesAt(r.limit, need, r.now)
	if fits != (need <= r.limit) {
		t.Fatalf("%d bytes of %d fit is %v", need, r.limit, fits)
	}
	then := r.clone()
	then.Settle(r.openSum, r.openSum, r.now)
	if !fits {
		if then.clone().Use(at) != 0 || (at > r.now && then.clone().Use(at-1) == 0) {
			t.Fatalf("the ledger is not empty first at %d: %+v", at, then)
		}
		return
	}
	if !then.fits(r.limit, need, at) || (at > r.now && then.fits(r.limit, need, at-1)) {
		t.Fatalf("%d bytes do not fit first at %d: %+v", need, at, then)
	}
}

func (r *ledgerRun) check(t *rapid.T) {
	use := r.Use(r.now)
	if want := r.model.counted(r.now); use != want {
		t.Fatalf("use at %d is %d, want %d of %v", r.now, use, want, r.model)
	}
	if low, high := r.model.within(fiveDays, r.now), r.model.within(fiveDays+oneHour, r.now); use < low || use > high {
		t.Fatalf("use is %d, not between the %d of 5 days and the %d of an hour more", use, low, high)
	}
	if sum := r.model.within(fiveDays, r.now) + r.openSum; sum > r.limit {
		t.Fatalf("%d bytes were sent or promised in 5 days, the limit is %d", sum, r.limit)
	}
	if len(r.hours) > 121 || cap(r.hours) > 256 {
		t.Fatalf("the ledger has grown to %d hours, room for %d", len(r.hours), cap(r.hours))
	}
	if gone := r.clone().Use(r.now + fiveDays + oneHour); gone != 0 {
		t.Fatalf("%d bytes count for more than 5 days and an hour", gone)
	}
	at, ok := r.NextFree(r.now)
	if ok != (use > 0) || (ok && (r.clone().Use(at-1) != use || r.clone().Use(at) >= use)) {
		t.Fatalf("the oldest bytes do not age out at %d: %+v", at, r.Ledger)
	}
}

func testLedger(t *testing.T, backward bool) {
	rapid.Check(t, func(t *rapid.T) {
		r := &ledgerRun{limit: rapid.Int64Range(0, 1000).Draw(t, "limit"), now: start, backward: backward}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			r.step(t)
			r.check(t)
		}
	})
}

func TestLedgerAgainstModel(t *testing.T)  { testLedger(t, false) }
func TestLedgerUnderAnyClock(t *testing.T) { testLedger(t, true) }
func TestLedgerOfEveryHourStaysSmall(t *testing.T) {
	var l Ledger
	for hour := range int64(1000) {
		l.Add(1, start+hour*oneHour)
		if want := min(hour+1, 121); l.Use(start+hour*oneHour) != want || int64(len(l.hours)) != want {
			t.Fatalf("after %d hours %d bytes count in %d hours, want %d", hour+1, l.used, len(l.hours), want)
		}
	}
	if cap(l.hours) > 256 {
		t.Errorf("room for %d hours is kept", cap(l.hours))
	}
}

// The bounds of an hour, written out.
func TestBytesCountToTheEndOfTheirHour(t *testing.T) {
	hour := start / oneHour * oneHour
	for _, at := range []int64{hour, hour + oneHour - 1} {
		var l Ledger
		l.Add(7, at)
		last := hour + oneHour + fiveDays - 1
		if got := l.Use(last); got != 7 {
			t.Errorf("bytes of %d count %d at %d, want 7", at, got, last)
		}
		if got := l.Use(last + 1); got != 0 {
			t.Errorf("bytes of %d count %d at %d, want 0", at, got, last+1)
		}
	}
}

// A limit may be lowered below what was sent.
func TestFreesAtBeyondTheLimit(t *testing.T) {
	var l Ledger
	l.Add(60, start)
	l.Add(60, start+oneHour)
	if at, fits := l.FreesAt(100, 50, start+oneHour); at != ends(start/oneHour+1) || !fits {
		t.Errorf("frees at %d, %v, want %d", at, fits, ends(start/oneHour+1))
	}
	if at, fits := l.FreesAt(100, 0, start+oneHour); at != start+oneHour || !fits {
		t.Errorf("nothing at all frees at %d, %v, want now", at, fits)
	}
}
