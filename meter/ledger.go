package meter

import (
	"slices"
	"time"

	"callvault"
)

const (
	hourMs = int64(time.Hour / time.Millisecond)
	// windowHours is for how many hours after their own hour bytes still count.
	windowHours = int64(callvault.EgressWindow / time.Hour)
)

// Hour is the audio bytes that were sent in one hour, counted since the Unix epoch.
type Hour struct {
	Hour  int64
	Bytes int64
}

// ends returns the instant (Unix milliseconds) at which the bytes of an hour stop
// counting: five days after its end, so that no byte stops counting early.
func ends(hour int64) int64 { return (hour + windowHours + 1) * hourMs }

// OldestHour returns the oldest hour, counted since the Unix epoch, whose bytes count
// at now (Unix milliseconds).
func OldestHour(now int64) int64 { return now/hourMs - windowHours }

// Ledger is the audio bytes that a tenant was sent in the last five days, by hour,
// and the bytes reserved for downloads in progress. Bytes count until five days after
// the end of their hour: never too short, and up to an hour too long. The zero Ledger
// is empty. All times are Unix milliseconds. Each method that takes the time first
// brings the ledger to it, with Advance.
type Ledger struct {
	hours    []Hour // oldest first, at most windowHours+1
	used     int64  // the sum of hours
	inFlight int64
}

// load adds an hour of a saved ledger. Hours must come in order, each once.
func (l *Ledger) load(h Hour) {
	l.hours = append(l.hours, h)
	l.used += h.Bytes
}

// Advance brings the ledger to now. It drops hours that no longer count, and moves the
// bytes of later hours, left by a clock that jumped back, into this one; moved reports
// whether there were any.
func (l *Ledger) Advance(now int64) (moved bool) {
	hour := now / hourMs
	gone := 0
	for gone < len(l.hours) && ends(l.hours[gone].Hour) <= now {
		l.used -= l.hours[gone].Bytes
		gone++
	}
	if gone > 0 {
		l.hours = slices.Delete(l.hours, 0, gone)
	}
	var later int64
	for n := len(l.hours); n > 0 && l.hours[n-1].Hour > hour; n-- {
		later += l.hours[n-1].Bytes
		l.hours = l.hours[:n-1]
		moved = true
	}
	l.put(hour, later)
	return moved
}

// put adds bytes to an hour, which must not be before the last one.
func (l *Ledger) put(hour, bytes int64) {
	if bytes == 0 {
		return
	}
	if n := len(l.hours); n > 0 && l.hours[n-1].Hour == hour {
		l.hours[n-1].Bytes += bytes
		return
	}
	l.hours = append(l.hours, Hour{hour, bytes})
}

// Add counts bytes that were sent, as sent at now.
func (l *Ledger) Add(bytes, now int64) {
	l.Advance(now)
	l.put(now/hourMs, bytes)
	l.used += bytes
}

// Reserve reserves bytes for a download. FreesAt counts them as used.
func (l *Ledger) Reserve(bytes int64) { l.inFlight += bytes }

// Settle ends a reservation and counts the bytes that were sent. They count from now,
// the end of the download, since the reservation stood for them until now.
func (l *Ledger) Settle(reserved, sent, now int64) {
	l.inFlight -= reserved
	l.Add(sent, now)
}

// Use returns the bytes sent that count at now, without reserved bytes.
func (l *Ledger) Use(now int64) int64 {
	l.Advance(now)
	return l.used
}

// FreesAt returns the earliest instant, from now on, at which need bytes fit within the
// limit if nothing else is sent. It assumes that reserved bytes are sent within this
// hour. fits is false if need is more than the limit itself, so that they never fit; at
// is then the instant at which the ledger will be empty.
func (l *Ledger) FreesAt(limit, need, now int64) (at int64, fits bool) {
	l.Advance(now)
	room := limit - l.used - l.inFlight
	switch {
	case need <= 0 || need <= room:
		return now, true
	case need > limit:
		return l.emptyAt(now), false
	}
	for _, h := range l.hours {
		room += h.Bytes
		if need <= room {
			return ends(h.Hour), true
		}
	}
	return ends(now / hourMs), true
}

func (l *Ledger) emptyAt(now int64) int64 {
	switch n := len(l.hours); {
	case l.inFlight > 0:
		return ends(now / hourMs)
	case n > 0:
		return ends(l.hours[n-1].Hour)
	}
	return now
}

// NextFree returns the instant at which the oldest bytes that count at now will stop
// counting. ok is false if no bytes count.
func (l *Ledger) NextFree(now int64) (at int64, ok bool) {
	l.Advance(now)
	if len(l.hours) == 0 {
		return 0, false
	}
	return ends(l.hours[0].Hour), true
}
