package collect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/collect"
)

// turns is a queue of turns for collectors that share a run.
type turns struct {
	mu      sync.Mutex
	waiting []collect.Turn
	taken   map[string]int // by tenant
	handed  chan struct{}
}

func newTurns() *turns { return &turns{taken: map[string]int{}, handed: make(chan struct{}, 1000)} }

// hand is collect.Queue's Enqueue, except that it lets two workers take a turn at once
// when it is queued again while one is taking it.
func (q *turns) hand(_ context.Context, turn collect.Turn) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, known := range q.waiting {
		if known == turn {
			return nil
		}
	}
	q.waiting = append(q.waiting, turn)
	q.handed <- struct{}{}
	return nil
}

func (q *turns) over(context.Context, string) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) == 0 && len(q.taken) == 0, nil
}

// take takes turns until ctx ends; it queues unfinished ones again.
func (q *turns) take(ctx context.Context, t *testing.T, c *collect.Collector, source *collect.Source, atMost time.Duration) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.handed:
		}
		q.mu.Lock()
		turn := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.taken[turn.Tenant]++
		q.mu.Unlock()
		err := c.TakeTurn(ctx, source, turn, atMost)
		if errors.Is(err, collect.ErrUnfinished) {
			_ = q.hand(ctx, turn)
		} else if err != nil && ctx.Err() == nil && !errors.Is(err, callvault.Unauthorized) {
			t.Error(err)
		}
		q.mu.Lock()
		if q.taken[turn.Tenant]--; q.taken[turn.Tenant] == 0 {
			delete(q.taken, turn.Tenant)
		}
		q.mu.Unlock()
	}
}

// clocked records when audio is requested.
type clocked struct {
	http.RoundTripper
	mu    sync.Mutex
	asked map[string][]time.Time // by tenant
	keys  []string               // in the order of asking
}

// RoundTrip answers a request.
func (c *clocked) RoundTrip(r *http.Request) (*http.Response, error) {
	if parts := strings.Split(r.URL.Path, "/"); len(parts) > 6 {
		c.mu.Lock()
		c.asked[parts[5]] = append(c.asked[parts[5]], time.Now())
		c.keys = append(c.keys, parts[6])
		c.mu.Unlock()
	}
	return c.RoundTripper.RoundTrip(r)
}

// shared is a run over one archive by three collectors, like three processes.
type shared struct {
	queue   *turns
	clock   *clocked
	source  *collect.Source
	vaults  []*vault
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

func share(t *testing.T, s *source, pace, atMost time.Duration) *shared {
	t.Helper()
	s.unlimited = true
	sh := &shared{queue: newTurns(), clock: &clocked{RoundTripper: s, asked: map[string][]time.Time{}}}
	sh.source = from(t, sh.clock)
	sh.source.OwnServer, sh.source.Pace = true, pace
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	sh.stop = stop
	for range 3 {
		v := newVault(t, dir)
		sh.vaults = append(sh.vaults, v)
		sh.stopped.Go(func() { sh.queue.take(ctx, t, v.Collector, sh.source, atMost) })
	}
	t.Cleanup(func() { stop(); sh.stopped.Wait() })
	return sh
}

// run does a run that the collectors share.
func (sh *shared) run(t *testing.T) *collect.Report {
	t.Helper()
	r, err := sh.vaults[0].StartShared(t.Context(), sh.source, time.Now().UnixMilli(), &collect.Queue{Enqueue: sh.queue.hand, Drained: sh.queue.over})
	if err != nil {
		t.Fatal(err)
	}
	report, err := r.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestSharedRun: three collectors take the turns of a run, a short time each and sometimes
// the same turn at once, and keep each tenant's pace together. The report covers what all of
// them did.
func TestSharedRun(t *testing.T) {
	for tenants := 1; tenants <= 3; tenants += 2 {
		t.Run(fmt.Sprint(tenants, " tenants"), func(t *testing.T) {
			const each, pace = 15, 60 * time.Millisecond
			s := newSource()
			for i := range tenants {
				fill(s, fmt.Sprintf("tenant-%d", i), each)
			}
			s.recordings[3].fault, s.recordings[3].times = "page", 1
			sh := share(t, s, pace, 300*time.Millisecond)
			began := time.Now()
			report := sh.run(t)
			complete(t, report)
			sh.vaults[1].allHeld(t, s)
			if report.Held != each*tenants {
				t.Errorf("the report tells of %d held, want %d", report.Held, each*tenants)
			}
			for tenant, asked := range sh.clock.asked {
				// The first may have been made late, however much, and the last in time.
				if took := asked[len(asked)-1].Sub(began); took < time.Duration(len(asked)-2)*pace {
					t.Errorf("%s: %d requests in %v", tenant, len(asked), took)
				}
			}
			s.counts()
			complete(t, sh.run(t))
			if _, audio := s.counts(); audio > 0 {
				t.Errorf("a second run asked for audio %d times", audio)
			}
		})
	}
}

// TestSharedOrder: a turn is handed out only when the lists have shown what is urgent, even
// if its tenant was known before.
func TestSharedOrder(t *testing.T) {
	s := newSource()
	s.add("acme-ns", "known", ago(time.Hour))
	sh := share(t, s, 50*time.Millisecond, time.Minute)
	complete(t, sh.run(t))
	for i := range 4 {
		s.add("acme-ns", fmt.Sprintf("r%d", i), ago(time.Duration(20*i+2)*time.Hour))
	}
	s.recordings[4].Status = callvault.PendingDeleteTime
	complete(t, sh.run(t))
	if want := []string{"known", "r3", "r0", "r1", "r2"}; !slices.Equal(sh.clock.keys, want) {
		t.Errorf("asked for %v, want %v", sh.clock.keys, want)
	}
}

// TestSharedPaceAfterTheClockWasSetBack: requests that were recorded in the future, by a
// database whose clock was ahead, do not stop a tenant until then.
func TestSharedPaceAfterTheClockWasSetBack(t *testing.T) {
	s := newSource()
	fill(s, "acme-ns", 3)
	fill(s, "birch-ns", 3)
	sh := share(t, s, 50*time.Millisecond, time.Minute)
	complete(t, sh.run(t))
	if err := execute(sh.vaults[0], `UPDATE paces SET first_ms = first_ms + $1, second_ms = second_ms + $1, third_ms = third_ms + $1`, time.Hour.Milliseconds()); err != nil {
		t.Fatal(err)
	}
	s.add("acme-ns", "late", ago(time.Minute))
	complete(t, sh.run(t))
	sh.vaults[0].allHeld(t, s)
}

// TestNothingIsFetchedInVain: a turn makes no requests while nothing can be kept.
func TestNothingIsFetchedInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 3)
		v, source := newVault(t, tempDir(t)), from(t, s)
		r, err := v.Start(t.Context(), source, collect.Always)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Plan(t.Context()); err != nil {
			t.Fatal(err)
		}
		over(t, v, nil, nil).gone = slowDown{errors.New("the store does not answer")}
		err = v.TakeTurn(t.Context(), source, collect.Turn{Source: source.Name, Tenant: "acme-ns", Began: time.Now().UnixMilli()}, time.Minute)
		if _, audio := s.counts(); audio != 0 || err == nil || !strings.Contains(err.Error(), "the store does not answer") {
			t.Errorf("%d requests for audio, %v", audio, err)
		}
	})
}

// TestSharedRunIsHalted: a source that refuses the key during a turn ends the run.
func TestSharedRunIsHalted(t *testing.T) {
	s := newSource()
	fill(s, "acme-ns", 40)
	sh := share(t, s, 50*time.Millisecond, time.Minute)
	time.AfterFunc(700*time.Millisecond, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.revoked = true
	})
	report := sh.run(t)
	if report.Result != collect.Failed || !strings.Contains(report.Error, "401") {
		t.Errorf("%s %q, want failed for 401", report.Result, report.Error)
	}
}

// TestSharedRunIsContinued: a stopped run can be continued to its end.
func TestSharedRunIsContinued(t *testing.T) {
	s := newSource()
	fill(s, "acme-ns", 20)
	sh := share(t, s, 50*time.Millisecond, time.Minute)
	began := time.Now().UnixMilli()
	handing := &collect.Queue{Enqueue: sh.queue.hand, Drained: sh.queue.over}
	r, err := sh.vaults[0].StartShared(t.Context(), sh.source, began, handing)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, r.Stop)
	if report, err := r.Wait(t.Context()); !errors.Is(err, collect.ErrUnfinished) || report != nil {
		t.Fatalf("%v, %v, want unfinished", report, err)
	}
	if last, err := sh.vaults[1].SourceStatus(t.Context(), "acme"); err != nil || last.LastRun != nil {
		t.Errorf("the run has ended: %+v, %v", last.LastRun, err)
	}
	if r, err = sh.vaults[1].StartShared(t.Context(), sh.source, began, handing); err != nil {
		t.Fatal(err)
	}
	report, err := r.Wait(t.Context())
	if err != nil || report.StartedAt != began || report.Held != 20 {
		t.Fatalf("%+v, %v", report, err)
	}
	complete(t, report)
}

// TestSharedRunIsStoppedAsItAsks: a run that is stopped while it asks whether its turns are
// over must be continued, as at any other moment.
func TestSharedRunIsStoppedAsItAsks(t *testing.T) {
	s := newSource()
	fill(s, "acme-ns", 2)
	sh := share(t, s, 50*time.Millisecond, time.Minute)
	asked := make(chan struct{}, 1)
	r, err := sh.vaults[0].StartShared(t.Context(), sh.source, time.Now().UnixMilli(), &collect.Queue{Enqueue: sh.queue.hand, Drained: func(ctx context.Context, _ string) (bool, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return false, fmt.Errorf("turns: %w", ctx.Err())
	}})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-asked
		r.Stop()
	}()
	if report, err := r.Wait(t.Context()); !errors.Is(err, collect.ErrUnfinished) || report != nil {
		t.Errorf("%v, %v, want unfinished", report, err)
	}
}

// TestSharedTurnsDoNotWaitForLongLists: once the run is 15 minutes old, the turn of a known
// tenant is handed out even if lists are still coming and show nothing new for it.
func TestSharedTurnsDoNotWaitForLongLists(t *testing.T) {
	s := newSource()
	s.add("acme-ns", "due", ago(time.Hour))
	sh := share(t, s, 50*time.Millisecond, time.Minute)
	planned, err := sh.vaults[0].Start(t.Context(), sh.source, collect.Always)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := planned.Plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	ask := sync.OnceFunc(func() { close(asked) })
	sh.clock.RoundTripper = watched{s, func(path string) {
		if strings.HasSuffix(path, "/audio") {
			ask()
			return
		}
		select {
		case <-asked:
		case <-time.After(20 * time.Second):
			t.Error("the turn waits for the lists")
			ask()
		}
	}}
	began := time.Now().Add(500*time.Millisecond - 15*time.Minute).UnixMilli()
	r, err := sh.vaults[0].StartShared(t.Context(), sh.source, began, &collect.Queue{Enqueue: sh.queue.hand, Drained: sh.queue.over})
	if err != nil {
		t.Fatal(err)
	}
	report, err := r.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	complete(t, report)
}
