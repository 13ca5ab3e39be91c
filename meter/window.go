package meter

import (
	"strconv"
	"time"
)

// The request limit (API guide, "Simultaneous API Request Limiting").
const (
	// Requests is how many requests pass within Period.
	Requests = 3
	// Period is how long an accepted request counts.
	Period = 10 * time.Second
	// Spacing is how far apart requests must be for all of them to pass: the API
	// guide's "1 every 3 seconds" less a quarter of a second of network jitter.
	Spacing = 2750 * time.Millisecond
	// Policy is the value of the header RateLimit-Policy
	// (draft-ietf-httpapi-ratelimit-headers).
	Policy = `"recordings";q=3;w=10`
)

const (
	periodMs  = int64(Period / time.Millisecond)
	spacingMs = int64(Spacing / time.Millisecond)
)

// Window is the times of the last three accepted requests, oldest first, in Unix
// milliseconds; 0 is none. The zero Window has accepted nothing.
type Window [Requests]int64

// Admit decides on a request at now (Unix milliseconds), and counts it if it passes. It
// is refused if three were accepted less than Period ago, unless those three and this one
// are each at least Spacing apart.
//
// Accepted requests later than now, left by a clock that jumped back, are moved to now
// even if this one is refused. Otherwise they would lock the client out until the clock
// has caught up. A refusal changes nothing else.
func (w *Window) Admit(now int64) bool {
	*w = w.seen(now)
	if w.Opens(now) > now {
		return false
	}
	*w = Window{w[1], w[2], now}
	return true
}

// Opens returns the earliest instant, from now on, at which a request would pass, in
// Unix milliseconds.
func (w Window) Opens(now int64) int64 {
	w = w.seen(now)
	if w[0] == 0 {
		return now
	}
	opens := w[0] + periodMs
	if w[1]-w[0] >= spacingMs && w[2]-w[1] >= spacingMs {
		opens = min(opens, w[2]+spacingMs)
	}
	return max(now, opens)
}

// Idle reports whether nothing in the window counts any longer at now, so that it need
// not be kept.
func (w Window) Idle(now int64) bool { return w[2] == 0 || now-w[2] >= periodMs }

// seen returns the window with times later than now replaced by now.
func (w Window) seen(now int64) Window {
	for i := range w {
		w[i] = min(w[i], now)
	}
	return w
}

// Standing is how much of the limit is left after a decision, for the header RateLimit
// (draft-ietf-httpapi-ratelimit-headers).
type Standing struct {
	// Remaining is how many requests would pass now, all at once.
	Remaining int
	// Reset is in how many seconds, rounded up, Remaining grows if no requests are made.
	// If Remaining is 0, it is when the next request passes, the same number as
	// Retry-After. If all three remain, it is 0. A client that keeps to a request every
	// 3 seconds reads r=0;t=3.
	Reset int64
}

// Standing returns how much of the limit is left at now (Unix milliseconds).
func (w Window) Standing(now int64) Standing {
	w = w.seen(now)
	free := 0
	for free < Requests && (w[free] == 0 || now-w[free] >= periodMs) {
		free++
	}
	opens := w.Opens(now)
	switch {
	case free == Requests:
		return Standing{Remaining: Requests}
	case free == 0 && opens > now:
		return Standing{Remaining: 0, Reset: seconds(opens - now)}
	}
	// A request that passes only by its spacing leaves no room for a second one at
	// once: for that, as always, the two oldest must have left the window.
	free = max(1, free)
	return Standing{Remaining: free, Reset: seconds(w[free] + periodMs - now)}
}

// String returns the value of the header RateLimit.
func (s Standing) String() string {
	return `"recordings";r=` + strconv.Itoa(s.Remaining) + ";t=" + strconv.FormatInt(s.Reset, 10)
}

// seconds rounds milliseconds up.
func seconds(ms int64) int64 { return (ms + 999) / 1000 }
