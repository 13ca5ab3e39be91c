package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"callvault"
	"callvault/collect"
	"callvault/database"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// The queues: one for the few runs, which mostly wait, and one for the many turns.
const (
	runQueue  = "runs"
	turnQueue = "turns"
)

// once returns options that keep the same job from being in a queue twice at a time.
func once(queue string) river.InsertOpts {
	return river.InsertOpts{Queue: queue, MaxAttempts: maxAttempts, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateRetryable, rivertype.JobStateScheduled,
	}}}
}

// runJob is a run over a source that began at Began (Unix milliseconds).
type runJob struct {
	Source string `json:"source" river:"unique"`
	Began  int64  `json:"began"`
}

// Kind names the job in the queue.
func (runJob) Kind() string { return "collect_run" }

// InsertOpts says how the job is queued.
func (runJob) InsertOpts() river.InsertOpts { return once(runQueue) }

// turnJob is a tenant's turn in a run.
type turnJob struct {
	Source string `json:"source" river:"unique"`
	Tenant string `json:"tenant" river:"unique"`
	Began  int64  `json:"began"`
}

// Kind names the job in the queue.
func (turnJob) Kind() string { return "collect_turn" }

// InsertOpts says how the job is queued.
func (turnJob) InsertOpts() river.InsertOpts { return once(turnQueue) }

// runWorker does runs.
type runWorker struct {
	river.WorkerDefaults[runJob]
	*node
}

// NextRetry returns when a failed job is tried again.
func (w *runWorker) NextRetry(*river.Job[runJob]) time.Time { return time.Now().Add(retryAfter) }

// Work starts a run, or resumes one.
func (w *runWorker) Work(ctx context.Context, job *river.Job[runJob]) error {
	defer w.active.begin(job.ID)()
	ctx = database.Within(ctx, jobPatience)
	source, err := w.source(job.Args.Source)
	if err != nil {
		return err
	}
	run, err := w.collector.StartShared(ctx, source, job.Args.Began, &collect.Queue{Enqueue: w.hand, Drained: w.over})
	if errors.As(err, new(database.Held)) {
		return river.JobSnooze(retryAfter)
	}
	if err != nil {
		return err
	}
	defer context.AfterFunc(w.lease.Load(), run.Stop)()
	report, err := run.Wait(context.WithoutCancel(ctx))
	if errors.Is(err, collect.ErrUnfinished) {
		return river.JobSnooze(0)
	}
	if err != nil {
		return err
	}
	announce(ctx, report, w.alerts, w.log)
	return nil
}

// source returns the configured source of that name.
func (n *node) source(name string) (*collect.Source, error) {
	for _, known := range n.sources {
		if known.Name == name {
			return known.Source, nil
		}
	}
	return nil, river.JobCancel(fmt.Errorf("no source %s is configured here", name))
}

// hand queues a tenant's turn.
func (n *node) hand(ctx context.Context, turn collect.Turn) error {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	if _, err := n.queue.Insert(ctx, turnJob(turn), nil); err != nil {
		return fmt.Errorf("queue the turn of %s: %w", turn.Tenant, err)
	}
	return nil
}

// over reports whether no turn of the source is queued or being taken.
func (n *node) over(ctx context.Context, source string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	opts := once(turnQueue)
	left, err := n.queue.JobList(ctx, river.NewJobListParams().Kinds(turnJob{}.Kind()).States(opts.UniqueOpts.ByState...).
		Where("args->>'source' = @source", river.NamedArgs{"source": source}).First(1))
	if err != nil {
		return false, fmt.Errorf("turns of %s: %w", source, err)
	}
	return len(left.Jobs) == 0, nil
}

// turnWorker takes tenants' turns.
type turnWorker struct {
	river.WorkerDefaults[turnJob]
	*node
}

// NextRetry returns when a failed job is tried again.
func (w *turnWorker) NextRetry(*river.Job[turnJob]) time.Time { return time.Now().Add(retryAfter) }

// Work takes a turn for at most turnTime, after which other tenants have theirs.
func (w *turnWorker) Work(_ context.Context, job *river.Job[turnJob]) error {
	defer w.active.begin(job.ID)()
	source, err := w.source(job.Args.Source)
	if err != nil {
		return err
	}
	err = w.collector.TakeTurn(w.lease.Load(), source, collect.Turn(job.Args), turnTime)
	switch {
	case errors.Is(err, collect.ErrUnfinished):
		return river.JobSnooze(0)
	case errors.Is(err, callvault.Unauthorized), errors.Is(err, callvault.Forbidden), errors.Is(err, callvault.NotFound):
		return river.JobCancel(err) // the run has been told
	}
	return err
}
