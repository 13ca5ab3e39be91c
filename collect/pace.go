package collect

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync"
	"time"

	"callvault/client"
)

// burstWindow is how long after the first of three requests no fourth may be made:
// the sources' 10 s, and a quarter of a second for the network's jitter.
const burstWindow = 10250 * time.Millisecond

// pacer spaces the requests for one tenant's audio, or for one source's lists. Times are
// Unix milliseconds.
type pacer struct {
	mu        sync.Mutex
	pace      time.Duration // the time between requests
	slowest   time.Duration // the longest pace that slowDown leads to
	ownServer bool          // only pace applies, not burstWindow
	last      [3]int64      // when the last requests were made, oldest first
	sentAt    int64         // when the last request was sent
	shared    *sharedPace   // counts the requests of all processes; nil if only this run makes any
	holdUntil int64         // no request before then
	holdFor   int64         // how long that was ahead when it was set, in milliseconds
}

// newPacer returns a pacer that continues from the last three requests.
func newPacer(source *Source, last [3]int64) *pacer {
	return &pacer{pace: source.Pace, slowest: max(4*source.Pace, time.Second), ownServer: source.OwnServer, last: last}
}

// afterCrash returns the last three requests to assume when the real ones are not known:
// three may have been made just now.
func afterCrash(now int64) [3]int64 { return [3]int64{now, now, now} }

// nextAt returns when the next request may be made. p.mu must be held.
func (p *pacer) nextAt() int64 {
	at := max(p.holdUntil, p.last[2]+p.pace.Milliseconds())
	if !p.ownServer {
		at = max(at, p.last[0]+burstWindow.Milliseconds())
	}
	return at
}

// now returns the time. If the clock was set back, it moves the pacer's times back with
// it, so that no request waits longer than it would have anyway. p.mu must be held.
func (p *pacer) now() int64 {
	now := time.Now().UnixMilli()
	for i := range p.last {
		p.last[i] = min(p.last[i], now)
	}
	p.holdUntil = min(p.holdUntil, now+p.holdFor)
	return now
}

// take counts a request, if one may be made now.
func (p *pacer) take(ctx context.Context) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.nextAt() > now {
		return false, nil
	}
	if p.shared != nil {
		left, err := p.shared.take(ctx, p.pace, p.ownServer)
		if err != nil || left > 0 {
			p.holdUntil, p.holdFor = now+left, left
			return false, err
		}
	}
	p.last = [3]int64{p.last[1], p.last[2], now}
	return true, nil
}

// errLater says that something cannot be fetched within this run.
var errLater = errors.New("not to be had within this run")

// awaitNext waits until the next request may be made, without counting it. The error is
// errLater if the source wants to be left alone for longer than maxWait.
func (p *pacer) awaitNext(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p.mu.Lock()
		now := p.now()
		left, hold := p.nextAt()-now, p.holdUntil-now
		p.mu.Unlock()
		switch {
		case left <= 0:
			return nil
		case hold > maxWait.Milliseconds():
			return errLater
		}
		if !p.ownServer {
			left += untilTick(now + left)
		}
		if err := pause(ctx, left); err != nil {
			return err
		}
	}
}

// tick is what the ends of waits are rounded up to, in milliseconds, so that many waiting
// tenants are woken together: waking for each costs more processor time than the requests.
const tick = 10

// untilTick returns how long after the time at the next tick is.
func untilTick(at int64) int64 { return (tick - at%tick) % tick }

// wait waits until the next request may be made, and counts it.
func (p *pacer) wait(ctx context.Context) error {
	for {
		if err := p.awaitNext(ctx); err != nil {
			return err
		}
		if taken, err := p.take(ctx); taken || err != nil {
			return err
		}
	}
}

// maxTransit is how long a request is assumed to be on its way at most.
const maxTransit = 250 * time.Millisecond

// traced returns ctx for a request that was counted. The source counts requests when they
// arrive, which is after the connection was made, which may take a while, and before the
// answer begins: the pacer moves its count there. A redirect is followed only after
// another wait, since it is one more request.
func (p *pacer) traced(ctx context.Context) context.Context {
	if p.ownServer {
		return ctx
	}
	ctx = client.BeforeRedirect(ctx, p.wait)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { p.noteSent() },
		GotFirstResponseByte: func() { p.noteAnswered() },
	})
}

// noteSent notes that the last request was sent just now.
func (p *pacer) noteSent() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sentAt = nowRoundedUp()
	p.last[2] = max(p.last[2], p.sentAt)
}

// noteAnswered notes that the last request has been answered, so that it arrived by now,
// though no later than maxTransit after it was sent.
func (p *pacer) noteAnswered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[2] = max(p.last[2], min(nowRoundedUp(), p.sentAt+maxTransit.Milliseconds()))
}

// nowRoundedUp returns the time in Unix milliseconds, never earlier than it is.
func nowRoundedUp() int64 { return time.Now().UnixMilli() + 1 }

// pause waits for ms milliseconds, or until ctx ends.
func pause(ctx context.Context, ms int64) error {
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// currentPace returns the pace as it is now, after slowDown.
func (p *pacer) currentPace() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pace
}

// delay lets no request pass for d from now.
func (p *pacer) delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.now() + d.Milliseconds(); at > p.holdUntil {
		p.holdUntil, p.holdFor = at, d.Milliseconds()
	}
}

// slowDown lengthens the time between requests for the rest of the run.
func (p *pacer) slowDown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace = min(p.slowest, p.pace+max(p.pace/4, 100*time.Millisecond))
}

// inherit counts the last requests of another pacer too.
func (p *pacer) inherit(other *pacer) {
	last, _ := other.snapshot()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = latest(p.last, last)
}

// latest returns the last three of two pacers' requests, oldest first.
func latest(a, b [3]int64) (last [3]int64) {
	i, j := 2, 2
	for n := 2; n >= 0; n-- {
		if j < 0 || i >= 0 && a[i] >= b[j] {
			last[n], i = a[i], i-1
		} else {
			last[n], j = b[j], j-1
		}
	}
	return last
}

// snapshot returns the last requests, which are saved for the next run, and when the next
// one may be made.
func (p *pacer) snapshot() (last [3]int64, next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.nextAt()
}
