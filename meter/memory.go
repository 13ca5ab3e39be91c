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

// ErrNeverFits marks a refusal that no waiting cures: more bytes are asked for
// than the tenant's whole egress limit.
var ErrNeverFits = errors.New("more than the whole egress limit")

// Memory keeps the windows and ledgers of one process and saves them to the
// database, with Run or Save. It decides in memory alone, so that no decision
// waits for a disk. Its methods may be called from many goroutines. Only one
// process at a time may keep the meter of a database.
type Memory struct {
	db     *database.DB
	seed   maphash.Seed
	shards [64]shard
	opened time.Time

	settled chan struct{} // holds one when a download has ended since Run last looked

	saving sync.Mutex // one Save at a time: a later one must not be overtaken
	swept  int64      // the hour in which old rows were last deleted; under saving
}

// shard is the part of the state whose names hash to it, under one lock, so that
// parallel callers seldom meet.
type shard struct {
	mu      sync.Mutex
	now     int64 // as the last caller said, in Unix milliseconds
	touched bool  // something in it may need saving
	windows map[string]*window
	ledgers map[string]*ledger
	counts  map[string]*Counts
	_       [16]byte // fills a cache line, so that neighbours do not slow each other
}

type window struct {
	Window
	changed bool // since it was last saved
	stored  bool // the database may have a row of it
}

type ledger struct {
	Ledger
	epoch int64
	// unsaved is the earliest hour whose row in the database may be wrong, or saved.
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

// Admit decides on a request at now that counts against subject, "tenant/NAME"
// or "user/NAME". A refusal wraps callvault.Wait with TooManyRequests and the
// time after which a request will pass. The Standing is right in both cases.
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

// refusedRequest puts its words together only when they are read: one who is
// refused may come again thousands of times a second.
type refusedRequest struct {
	subject string
	wait    callvault.Wait
}

func (r refusedRequest) Error() string {
	return fmt.Sprintf("%s has had its %d requests within %v, send one every 3 seconds: %v", r.subject, Requests, Period, r.wait)
}

func (r refusedRequest) Unwrap() error { return r.wait }

// ledger is the tenant's ledger, emptied when its usage was reset since. The
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

// Reservation is egress set aside for one download.
type Reservation struct {
	settled atomic.Bool
	settle  func(sent int64, now time.Time)
}

// Settle ends the reservation at now: the bytes sent are charged, the rest is
// given back. Only the first call counts. A download that began before the
// tenant's usage was reset belongs to what was reset, and is not charged.
func (r *Reservation) Settle(sent int64, now time.Time) {
	if !r.settled.Swap(true) {
		r.settle(max(0, sent), now)
	}
}

// Reserve sets bytes aside for a download that begins at now, so that parallel
// downloads cannot pass the tenant's limit together. A refusal wraps
// callvault.Wait with BandwidthExceeded and the time after which these bytes
// will fit, taking the downloads that still run to be sent whole; with
// ErrNeverFits as well when they never will, and then the time until the ledger
// is empty, at least an hour. A tenant without a limit is counted all the same.
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
		default: // Run is told already
		}
	}}, nil
}

// refusal is what a refused tenant is told.
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
		return fmt.Errorf("the %d bytes asked for are %w of tenant %s, %d bytes in 5 days; what was used is free again at %s, but these fit only once the limit is raised: %w",
			r.bytes, ErrNeverFits, r.tenant, r.limit, time.UnixMilli(now).Add(wait.For).UTC().Format(time.RFC3339), wait)
	}
	return fmt.Errorf("tenant %s has used its egress limit of %d bytes in 5 days; room for these %d bytes frees up at %s: %w",
		r.tenant, r.limit, r.bytes, time.UnixMilli(r.frees).UTC().Format(time.RFC3339), wait)
}

// Usage is a tenant's egress, as "tenant usage --json" prints it (contract 7).
type Usage struct {
	Tenant string `json:"tenant"`
	// Used is the audio bytes sent in the last 5 days.
	Used int64 `json:"used"`
	// Limit is the bytes that may be sent in 5 days; nil when there is no limit.
	Limit *int64 `json:"limit"`
	// FreesAt is when the oldest of the used bytes age out, in Unix milliseconds;
	// nil when none are used.
	FreesAt *int64 `json:"freesAt"`
}

// Usage tells the tenant's egress at now. Downloads that still run are not in it.
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
