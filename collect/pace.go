package collect

import (
	"context"
	"sync"
	"time"
)

// burst is how long no fourth request may follow the first of three: the
// sources' 10 s, and a quarter of a second for what the network adds.
const burst = 10250 * time.Millisecond

// pacer spaces the requests to one tenant, or of one source's lists. All waiting
// of a run happens here.
type pacer struct {
	mu   sync.Mutex
	pace time.Duration
	own  bool
	last [3]int64 // the last requests, oldest first, in Unix milliseconds
	hold int64    // no request before then, in Unix milliseconds
}

// newPacer returns a pacer that goes on from the last three requests.
func newPacer(source *Source, last [3]int64) *pacer {
	return &pacer{pace: source.Pace, own: source.OwnServer, last: last}
}

// afterCrash is the last three requests of a pacer whose own were lost: three may
// have been made until just now.
func afterCrash(now int64) [3]int64 { return [3]int64{now, now, now} }

// next is when the next request may be made.
func (p *pacer) next() int64 {
	at := max(p.hold, p.last[2]+p.pace.Milliseconds())
	if !p.own {
		at = max(at, p.last[0]+burst.Milliseconds())
	}
	return at
}

// wait waits for the next request's turn and takes it. A clock that was set back
// does not stop the pace for longer than a burst takes.
func (p *pacer) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		now := time.Now().UnixMilli()
		for i := range p.last {
			p.last[i] = min(p.last[i], now)
		}
		at := p.next()
		if at <= now {
			p.last = [3]int64{p.last[1], p.last[2], now}
			p.mu.Unlock()
			return ctx.Err()
		}
		p.mu.Unlock()
		timer := time.NewTimer(time.Duration(at-now) * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// delay lets no request pass for d from now.
func (p *pacer) delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = max(p.hold, time.Now().Add(d).UnixMilli())
}

// slower lowers the pace for the rest of the run.
func (p *pacer) slower() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace += max(p.pace/4, 100*time.Millisecond)
}

// state is what must be kept for the next run, and when the next request may pass.
func (p *pacer) state() (last [3]int64, next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.next()
}
