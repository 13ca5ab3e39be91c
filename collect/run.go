package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"callvault"
	"callvault/client"

	"golang.org/x/sync/errgroup"
)

// maxWait is how long a run waits for a closed tenant, or for anything else.
// Whatever takes longer is left for the next run.
const maxWait = 15 * time.Minute

// How many requests for audio of one source may run side by side: of a foreign
// server, where each tenant has one at most, and of the operator's own.
const (
	maxRequests    = 128
	maxRequestsOwn = 16
)

// maxInFlightOwn is how many recordings of one tenant may be in flight from the
// operator's own server. It exceeds maxRequestsOwn because fetched recordings wait
// to be made durable together.
const maxInFlightOwn = 32

// Run collects once from one source.
type Run struct {
	c      *Collector
	source *Source
	client *client.Client
	keyErr error          // why client is nil
	began  int64          // Unix milliseconds
	span   callvault.Span // the recordings to list, by their start
	lists  lists

	release    func()
	paces      map[string][3]int64 // the last requests of earlier runs, by subject
	pacesKnown bool                // false after a crash

	queue    *Queue                             // hands the turns to workers; nil if this run takes them itself
	oneTurn  bool                               // a worker's: it takes one turn of a run that another process leads
	launch   func(context.Context, *turn) error // starts a tenant's turn
	slots    chan struct{}                      // holds one element for each request in flight
	stopping chan struct{}                      // closed by Stop
	stopOnce sync.Once
	cutShort atomic.Bool // Stop came before everything was done

	mu              sync.Mutex
	sites           map[string]*site // by remote name; nil for a tenant of another source
	turns           map[string]*turn // by the tenant's name here
	problems        []Problem        // the first maxRunProblems
	unnamedProblems int              // how many more there were
}

// Problem is something that kept a run from being complete. Key is a recording's
// key, or the place of an item in a list. It is empty when the problem concerns the
// tenant as a whole or, with Tenant empty too, the source.
type Problem struct {
	Tenant string `json:"tenant"`
	Key    string `json:"recordingKey"`
	Reason string `json:"reason"`
}

// maxRequests is how many requests for audio of the source may run side by side.
func (s *Source) maxRequests() int {
	if s.OwnServer {
		return maxRequestsOwn
	}
	return maxRequests
}

// Start takes the source's lock and begins a run; the error is database.Held while
// another run has the lock. Wait must follow. Only recordings that start in span are
// listed; those that are already known to be due are fetched whenever they started.
func (c *Collector) Start(ctx context.Context, source *Source, span callvault.Span) (*Run, error) {
	return c.start(ctx, &Run{source: source, began: time.Now().UnixMilli(), span: span})
}

// start begins r, in which the caller has set what distinguishes it from other runs.
func (c *Collector) start(ctx context.Context, r *Run) (*Run, error) {
	if err := r.source.Validate(); err != nil {
		return nil, fmt.Errorf("source %s: %w", r.source.Name, err)
	}
	r = newRun(c, r)
	release, err := c.db.Lock("source "+r.source.Name, r.lost)
	if err != nil {
		return nil, err
	}
	if err := r.open(ctx); err != nil {
		release()
		return nil, err
	}
	c.addRun(r)
	r.release = func() {
		c.removeRun(r)
		release()
	}
	return r, nil
}

// newRun completes r with what every run has.
func newRun(c *Collector, r *Run) *Run {
	r.c, r.client = c, r.source.Client
	if r.source.Renew != nil {
		var err error
		if r.client, err = r.source.Renew(); r.client == nil {
			r.keyErr = err
		} else if err != nil {
			c.log.Error("the source's key could not be read anew; the run begins with the earlier one", "source", r.source.Name, "error", err)
		}
	}
	r.slots = make(chan struct{}, r.source.maxRequests())
	r.stopping, r.lists.done = make(chan struct{}), make(chan struct{})
	r.sites, r.turns = map[string]*site{}, map[string]*turn{}
	return r
}

// open reads what earlier runs left.
func (r *Run) open(ctx context.Context) (err error) {
	if r.paces, r.pacesKnown, err = r.c.paces(ctx, r.source.Name); err != nil {
		return err
	}
	if err := r.c.markStarted(ctx, r.source.Name, r.began); err != nil {
		return err
	}
	if err := r.openListPacer(ctx); err != nil {
		return err
	}
	known, err := r.c.sites(ctx, r.source.Name)
	if err != nil || len(known) == 0 {
		return err
	}
	var names []string
	for _, s := range known {
		r.sites[s.remote] = s
		names = append(names, s.tenant)
	}
	return r.c.ensureTenants(ctx, names) // an earlier run may have been killed before it did
}

// openListPacer creates the pacer of the lists.
func (r *Run) openListPacer(ctx context.Context) (err error) {
	if r.queue == nil {
		r.lists.pacer = newPacer(r.source, r.lastRequests(listSubject))
		return nil
	}
	if !r.pacesKnown {
		if err := r.c.resetPaces(ctx, r.source.Name); err != nil {
			return err
		}
	}
	r.lists.pacer, err = r.c.sharedPacer(ctx, r.source, listSubject)
	return err
}

// listSubject is the subject of the pace of lists. The other subjects are tenants'
// names, which are never empty.
const listSubject = ""

// lastRequests returns the requests from which the pace of a subject continues.
func (r *Run) lastRequests(subject string) [3]int64 {
	if !r.pacesKnown {
		return afterCrash(r.began)
	}
	return r.paces[subject]
}

// listPacer returns the pacer of the lists: the tenant's own while the source has
// shown only one tenant.
func (r *Run) listPacer() *pacer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if only := r.onlyTurn(); only != nil && r.queue == nil { // of a shared run, the turn uses the lists' pacer instead
		return only.pacer
	}
	return r.lists.pacer
}

// onlyTurn returns the turn of the source's only tenant; nil if there is none or more
// than one. r.mu must be held.
func (r *Run) onlyTurn() *turn {
	if len(r.turns) != 1 {
		return nil
	}
	for _, t := range r.turns {
		return t
	}
	return nil
}

// lost stops the run: another process has its lock, or soon will.
func (r *Run) lost() {
	r.c.log.Warn("the lock of the source was lost: this run ends, so that two never overlap", "source", r.source.Name)
	r.Stop()
}

// Stop makes the run end soon: it finishes the requests in flight and begins nothing
// new.
func (r *Run) Stop() { r.stopOnce.Do(func() { close(r.stopping) }) }

func (r *Run) stopped() bool {
	select {
	case <-r.stopping:
		return true
	default:
		return false
	}
}

// errStopped is the cause of a wait that Stop ended.
var errStopped = errors.New("stopped")

// ListAgain makes the run list everything, even where the last list is final: the
// source may show more now. Call it before Wait.
func (r *Run) ListAgain() { r.lists.relist = true }

// AwaitLists waits, if nothing was collected from this run's source yet, until the
// earlier runs, which are under way, have all their lists: a tenant that several sources
// show then goes to the first of them. It waits for maxWait at most. Call it before Wait.
func (r *Run) AwaitLists(ctx context.Context, earlier []*Run) {
	if len(r.sites) > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	for _, other := range earlier {
		select {
		case <-other.lists.done:
		case <-r.stopping:
		case <-ctx.Done():
		}
	}
}

// Wait carries out the run and reports what came of it. When ctx ends, the requests in
// flight are broken off; nothing that was held is lost.
func (r *Run) Wait(ctx context.Context) (*Report, error) {
	defer r.release()
	group, work := errgroup.WithContext(ctx)
	waiting, stopWaiting := context.WithCancelCause(work)
	defer stopWaiting(nil)
	go func() {
		<-r.stopping
		stopWaiting(errStopped)
	}()
	defer r.Stop() // ends the goroutine above
	r.launch = func(_ context.Context, t *turn) error {
		group.Go(func() error { return r.unlessStopped(t.run(work, waiting)) })
		return nil
	}
	if r.queue != nil {
		r.launch = r.enqueue
		group.Go(func() error { return r.enqueueInTime(work) })
	}
	var listErr error
	group.Go(func() error {
		defer close(r.lists.done)
		listErr = r.lead(work, waiting)
		if listErr != nil && (sourceStops(listErr) || errors.As(listErr, new(localFault))) {
			return listErr
		}
		if listErr != nil {
			r.Stop()
		}
		return nil
	})
	err := group.Wait()
	if err == nil {
		err = listErr
	}
	if r.queue != nil && r.cutShort.Load() {
		return nil, ErrUnfinished
	}
	ctx = context.WithoutCancel(ctx)
	report, err := r.finish(ctx, err)
	if err == nil && r.queue != nil {
		err = r.noteReopening(ctx)
	}
	return report, err
}

// lead starts the turns of the known tenants and asks for the lists. In a shared run it
// then queues every turn and waits until all are taken.
func (r *Run) lead(work, waiting context.Context) error {
	err := r.unlessStopped(r.beginKnown(work))
	if err == nil {
		err = r.unlessStopped(r.listAll(waiting))
	}
	if err != nil || r.queue == nil {
		return err
	}
	if err := r.enqueueAll(work); err != nil {
		return err
	}
	return r.unlessStopped(r.awaitTurns(waiting))
}

// unlessStopped returns the error of a part of the run, or nil if it was Stop that ended
// that part, which it remembers.
func (r *Run) unlessStopped(err error) error {
	if errors.Is(err, errStopped) {
		r.cutShort.Store(true)
		return nil
	}
	return err
}

// beginKnown starts the turns of the tenants that earlier runs have seen.
func (r *Run) beginKnown(ctx context.Context) error {
	if r.keyErr != nil {
		return r.keyErr
	}
	for _, s := range r.sites {
		if err := r.beginTurn(ctx, s); err != nil {
			return localFault{err}
		}
	}
	return nil
}

// siteOf returns the tenant with this remote name, and starts its turn if it is new. The
// site is nil when it belongs to another source, which it adds to the run's problems.
func (r *Run) siteOf(ctx context.Context, remote string) (*site, error) {
	r.mu.Lock()
	known, ok := r.sites[remote]
	r.mu.Unlock()
	if ok {
		return known, nil
	}
	r.lists.mu.Lock()
	claimed, err := r.c.claim(ctx, r.source, remote, func(tx *sql.Tx) error { return r.forgetEarlier(ctx, tx) })
	r.lists.mu.Unlock()
	if errors.Is(err, errOtherSource) || errors.Is(err, callvault.InvalidParameter) {
		r.addProblem(Problem{Tenant: r.source.Prefix + remote, Reason: err.Error()})
		r.c.log.Error("tenant refused", "source", r.source.Name, "error", err)
		claimed, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.sites[remote] = claimed
	r.mu.Unlock()
	if claimed == nil {
		return nil, nil
	}
	return claimed, r.beginTurn(ctx, claimed)
}

// beginTurn starts a tenant's turn, unless that was done.
func (r *Run) beginTurn(ctx context.Context, s *site) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.turns[s.tenant] != nil {
		return nil
	}
	ledger, err := r.c.ledgerOf(ctx, s.tenant)
	if err != nil {
		return err
	}
	count, size, err := r.c.countDue(ctx, s.tenant, r.began-r.source.Lookback.Milliseconds())
	if err != nil {
		return err
	}
	t := &turn{r: r, site: s, due: count, dueSize: size, ledger: ledger, pacer: newPacer(r.source, r.lastRequests(s.tenant)), woken: make(chan struct{}, 1), state: StateListing}
	switch only := r.onlyTurn(); {
	case len(r.turns) == 0:
		// Lists and audio share one pace until a second tenant shows up.
		t.pacer.inherit(r.lists.pacer)
	case only != nil:
		r.lists.pacer.inherit(only.pacer)
	}
	r.turns[s.tenant] = t
	return r.launch(ctx, t)
}

// wake tells the turns of these items' tenants that there is more to fetch.
func (r *Run) wake(ctx context.Context, fresh []*item) error {
	woken := map[*turn]bool{}
	for _, it := range fresh {
		r.mu.Lock()
		t := r.turns[it.tenant]
		r.mu.Unlock()
		t.wake(it)
		woken[t] = true
	}
	if r.queue == nil {
		return nil
	}
	for t := range woken { // its turn may have ended since
		if err := r.enqueue(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// maxRunProblems is how many problems of the source a run names.
const maxRunProblems = 2000

func (r *Run) addProblem(p Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.problems) == maxRunProblems {
		r.unnamedProblems++
		return
	}
	r.problems = append(r.problems, p)
}

// Abandon ends a run that was started but is no longer wanted, in place of Wait.
func (r *Run) Abandon(ctx context.Context) error {
	defer r.release()
	return r.savePaces(ctx)
}
