package collect

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync"
	"time"

	"callvault/client"
)

// burstWindow is how long no fourth request may follow the first of three: the
// sources' 10 s, and a quarter of a second for what the network adds.
const burstWindow = 10250 * time.Millisecond

// pacer spaces the requests to one tenant, or of one source's lists. All waiting
// of a run happens here.
type pacer struct {
	mu        sync.Mutex
	pace      time.Duration
	slowest   time.Duration
	ownServer bool
	last      [3]int64    // when the last requests were made, oldest first, in Unix milliseconds
	sentAt    int64       // when one was last sent
	shared    *sharedPace // where it is kept for all who ask; nil when this run alone asks
	holdUntil int64       // no request before then, in Unix milliseconds
	holdFor   int64       // how long that was when it was said
}

// newPacer returns a pacer that goes on from the last three requests.
func newPacer(source *Source, last [3]int64) *pacer {
	return &pacer{pace: source.Pace, slowest: max(4*source.Pace, time.Second), ownServer: source.OwnServer, last: last}
}

// afterCrash is the last three requests of a pacer whose own were lost: three may
// have been made until just now.
func afterCrash(now int64) [3]int64 { return [3]int64{now, now, now} }

// nextAt is when the next request may be made.
func (p *pacer) nextAt() int64 {
	at := max(p.holdUntil, p.last[2]+p.pace.Milliseconds())
	if !p.ownServer {
		at = max(at, p.last[0]+burstWindow.Milliseconds())
	}
	return at
}

// now is the time. A clock that was set back does not stop the pace for longer
// than it would have stopped anyway.
func (p *pacer) now() int64 {
	now := time.Now().UnixMilli()
	for i := range p.last {
		p.last[i] = min(p.last[i], now)
	}
	p.holdUntil = min(p.holdUntil, now+p.holdFor)
	return now
}

// take takes the next request's turn, if that has come.
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

// errLater says that what is wanted cannot be had within this run.
var errLater = errors.New("not to be had within this run")

// awaitNext waits until the next request's turn has come, without taking it. A source
// that wants to be left alone for longer than soon is errLater.
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

// tick is what the ends of waits are rounded up to, in milliseconds: where many
// tenants wait, it is not their requests but waking for each that takes the
// processor's time.
const tick = 10

// untilTick is how much later than at a wait ends.
func untilTick(at int64) int64 { return (tick - at%tick) % tick }

// wait waits for the next request's turn and takes it.
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

// maxTransit is how long after it was sent a request is taken to arrive at most.
const maxTransit = 250 * time.Millisecond

// traced is ctx for a request whose turn was taken. What the source counts is when
// requests arrive: after a connection was made, which takes a while, and before the
// answer begins. Where it redirects to is asked for in a turn of its own.
func (p *pacer) traced(ctx context.Context) context.Context {
	if p.ownServer {
		return ctx
	}
	ctx = client.BeforeRedirect(ctx, p.wait)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { p.arrives(0) },
		GotFirstResponseByte: func() { p.arrives(maxTransit) },
	})
}

// arrives notes that the last request was sent just now, or that it has arrived by
// now, but within so long after it was sent.
func (p *pacer) arrives(within time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now().UnixMilli() + 1 // never too early by what is cut off
	if within == 0 {
		p.sentAt = now
	}
	p.last[2] = max(p.last[2], min(now, p.sentAt+within.Milliseconds()))
}

// pause waits for so many milliseconds.
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

// currentPace is the pace as it is now.
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

// slowDown lowers the pace for the rest of the run.
func (p *pacer) slowDown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace = min(p.slowest, p.pace+max(p.pace/4, 100*time.Millisecond))
}

// inherit makes the pace go on from another's requests too.
func (p *pacer) inherit(other *pacer) {
	last, _ := other.snapshot()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = latest(p.last, last)
}

// latest is the last three of two paces' requests.
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

// snapshot is what must be kept for the next run, and when the next request may pass.
func (p *pacer) snapshot() (last [3]int64, next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.nextAt()
}
