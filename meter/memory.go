package meter

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"callvault"
	"callvault/database"
)

// ErrNeverFits is wrapped by refusals of requests for more bytes than the tenant's
// whole egress limit. Waiting does not help.
var ErrNeverFits = errors.New("more than the whole egress limit")

// Memory holds the windows and ledgers of one process, and saves them to the database
// with Run or Save. It decides in memory alone, so that no decision waits for a disk.
// Its methods may be called concurrently. Only one process at a time may have a Memory
// over a database.
type Memory struct {
	db     *database.DB
	seed   maphash.Seed
	shards [64]shard
	opened time.Time

	settled chan struct{} // of capacity 1: a download has ended since Run last looked

	saving sync.Mutex // one Save at a time: a later one must not be overtaken
	swept  int64      // the hour in which old rows were last deleted; under saving
}

// shard is the part of the state whose names hash to it. Each has its own lock, so that
// concurrent callers seldom wait for each other.
type shard struct {
	mu      sync.Mutex
	now     int64 // the time of the last call, in Unix milliseconds
	touched bool  // something in it may need saving
	windows map[string]*window
	ledgers map[string]*ledger
	counts  map[string]*Counts
	_       [16]byte // fills a cache line, so that neighbouring shards do not slow each other
}

type window struct {
	Window
	changed bool // since it was last saved
	stored  bool // the database may have a row for it
}

type ledger struct {
	Ledger
	epoch int64
	// unsaved is the earliest hour whose row in the database may be wrong; saved if none.
	unsaved int64
}

const saved = math.MaxInt64

func (m *Memory) shard(name string) *shard {
	return &m.shards[maphash.String(m.seed, name)%uint64(len(m.shards))]
}

// enter locks the shard for a caller at now and returns now in Unix milliseconds.
func (s *shard) enter(now time.Time) int64 {
	s.mu.Lock()
	s.now = now.UnixMilli()
	s.touched = true
	return s.now
}

// Admit decides on a request at now that counts against subject, "tenant/NAME" or
// "user/NAME". If it is refused the error wraps a callvault.Wait with TooManyRequests
// and the time after which a request will pass. The Standing is valid in both cases.
func (m *Memory) Admit(_ context.Context, subject string, now time.Time) (Standing, error) {
	s := m.shard(subject)
	ms := s.enter(now)
	w := s.windows[subject]
	if w == nil {
		w = &window{}
		s.windows[subject] = w
	}
	before := w.Window
	passes := w.Admit(ms)
	seen := w.Window
	if n := s.decided(subject); passes {
		n.Passed++
	} else {
		n.TooMany++
	}
	w.changed = w.changed || seen != before
	s.mu.Unlock()
	if passes {
		return seen.Standing(ms), nil
	}
	wait := time.Duration(seen.Opens(ms)-ms) * time.Millisecond
	return seen.Standing(ms), refusedRequest{subject, callvault.Wait{Code: callvault.TooManyRequests, For: wait}}
}

// refusedRequest formats its message only when it is read: a refused client may try
// again thousands of times a second.
type refusedRequest struct {
	subject string
	wait    callvault.Wait
}

func (r refusedRequest) Error() string {
	return fmt.Sprintf("%s has used its %d requests in %v, send one every 3 seconds: %v", r.subject, Requests, Period, r.wait)
}

func (r refusedRequest) Unwrap() error { return r.wait }

// ledger returns the tenant's ledger, and empties it first if its usage was reset. The
// shard must be locked.
func (s *shard) ledger(tenant *callvault.Tenant) *ledger {
	l := s.ledgers[tenant.Name]
	switch {
	case l == nil:
		l = &ledger{epoch: tenant.UsageEpoch, unsaved: saved}
		s.ledgers[tenant.Name] = l
	case l.epoch < tenant.UsageEpoch:
		*l = ledger{epoch: tenant.UsageEpoch, unsaved: s.now / hourMs}
	}
	if l.Advance(s.now) {
		l.unsaved = min(l.unsaved, s.now/hourMs)
	}
	return l
}

// Reservation is egress reserved for one download.
type Reservation struct {
	settled atomic.Bool
	settle  func(sent int64, now time.Time)
}

// Settle ends the reservation at now: it charges the bytes sent and releases the rest.
// Only the first call has an effect. A download that began before the tenant's usage was
// reset is not charged, since it belongs to the usage that was reset.
func (r *Reservation) Settle(sent int64, now time.Time) {
	if !r.settled.Swap(true) {
		r.settle(max(0, sent), now)
	}
}

// Reserve reserves bytes for a download that begins at now, so that concurrent downloads
// cannot exceed the tenant's limit together. If it is refused the error wraps a
// callvault.Wait with BandwidthExceeded and the time after which these bytes will fit,
// assuming that the downloads in progress are sent whole. If they will never fit the
// error also wraps ErrNeverFits, and the time is that until the ledger is empty, at
// least an hour. The egress of a tenant without a limit is counted too.
func (m *Memory) Reserve(_ context.Context, tenant *callvault.Tenant, bytes int64, now time.Time) (*Reservation, error) {
	bytes = max(0, bytes)
	limit, limited := tenant.EgressLimit()
	s := m.shard(tenant.Name)
	ms := s.enter(now)
	defer s.mu.Unlock()
	l := s.ledger(tenant)
	if limited {
		if at, fits := l.FreesAt(limit, bytes, ms); at > ms || !fits {
			s.decided(tenant.Name).NoRoom++
			return nil, refusal{tenant.Name, limit, bytes, at, fits}.err(ms)
		}
	}
	l.Reserve(bytes)
	epoch := l.epoch
	return &Reservation{settle: func(sent int64, now time.Time) {
		ms := s.enter(now)
		defer s.mu.Unlock()
		if l.epoch == epoch {
			l.Settle(bytes, sent, ms)
			l.unsaved = min(l.unsaved, ms/hourMs)
		}
		select {
		case m.settled <- struct{}{}:
		default: // Run knows already
		}
	}}, nil
}

// refusal describes why a reservation was refused.
type refusal struct {
	tenant       string
	limit, bytes int64
	frees        int64
	fits         bool
}

func (r refusal) err(now int64) error {
	wait := callvault.Wait{Code: callvault.BandwidthExceeded, For: time.Duration(r.frees-now) * time.Millisecond}
	if !r.fits {
		wait.For = max(wait.For, time.Hour)
		return fmt.Errorf("the %d bytes requested are %w of tenant %s, %d bytes in 5 days; the limit is unused again at %s, but these bytes fit only once it is raised: %w",
			r.bytes, ErrNeverFits, r.tenant, r.limit, time.UnixMilli(now).Add(wait.For).UTC().Format(time.RFC3339), wait)
	}
	return fmt.Errorf("tenant %s has used its egress limit of %d bytes in 5 days; room for these %d bytes frees up at %s: %w",
		r.tenant, r.limit, r.bytes, time.UnixMilli(r.frees).UTC().Format(time.RFC3339), wait)
}

// Usage is a tenant's egress, as "tenant usage --json" prints it.
type Usage struct {
	Tenant string `json:"tenant"`
	// Used is the audio bytes sent in the last 5 days.
	Used int64 `json:"used"`
	// Limit is the bytes that may be sent in 5 days; nil when there is no limit.
	Limit *int64 `json:"limit"`
	// FreesAt is when the oldest of the used bytes stop counting, in Unix milliseconds;
	// nil when none are used.
	FreesAt *int64 `json:"freesAt"`
}

// Usage returns the tenant's egress at now. Downloads in progress are not included.
func (m *Memory) Usage(_ context.Context, tenant *callvault.Tenant, now time.Time) (Usage, error) {
	s := m.shard(tenant.Name)
	ms := s.enter(now)
	defer s.mu.Unlock()
	return s.ledger(tenant).usage(tenant, ms), nil
}

func (l *Ledger) usage(tenant *callvault.Tenant, now int64) Usage {
	u := Usage{Tenant: tenant.Name, Used: l.Use(now)}
	if limit, limited := tenant.EgressLimit(); limited {
		u.Limit = &limit
	}
	if at, ok := l.NextFree(now); ok {
		u.FreesAt = &at
	}
	return u
}
