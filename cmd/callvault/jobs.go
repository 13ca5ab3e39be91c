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

// The queues: few runs, that mostly wait, and many turns.
const (
	runQueue  = "runs"
	turnQueue = "turns"
)

// once lets a job be in a queue once at a time.
func once(queue string) river.InsertOpts {
	return river.InsertOpts{Queue: queue, MaxAttempts: manyTries, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateRetryable, rivertype.JobStateScheduled,
	}}}
}

// runJob is a run over a source, which began then (Unix milliseconds).
type runJob struct {
	Source string `json:"source" river:"unique"`
	Began  int64  `json:"began"`
}

// Kind names the job in the queue.
func (runJob) Kind() string { return "collect_run" }

// InsertOpts says how it is queued.
func (runJob) InsertOpts() river.InsertOpts { return once(runQueue) }

// turnJob is a tenant's turn in a run.
type turnJob struct {
	Source string `json:"source" river:"unique"`
	Tenant string `json:"tenant" river:"unique"`
	Began  int64  `json:"began"`
}

// Kind names the job in the queue.
func (turnJob) Kind() string { return "collect_turn" }

// InsertOpts says how it is queued.
func (turnJob) InsertOpts() river.InsertOpts { return once(turnQueue) }

// runWorker does runs.
type runWorker struct {
	river.WorkerDefaults[runJob]
	*shift
}

// NextRetry is when a job that failed is tried again.
func (w *runWorker) NextRetry(*river.Job[runJob]) time.Time { return time.Now().Add(retryAfter) }

// Work does a run, or goes on with one.
func (w *runWorker) Work(ctx context.Context, job *river.Job[runJob]) error {
	defer w.at.enter(job.ID)()
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
	defer context.AfterFunc(w.watch.Load(), run.Stop)()
	report, err := run.Wait(context.WithoutCancel(ctx))
	if errors.Is(err, collect.ErrUnfinished) {
		return river.JobSnooze(0)
	}
	if err != nil {
		return err
	}
	tellOf(ctx, report, w.alerts, w.log)
	return nil
}

// source is the configured source of that name.
func (s *shift) source(name string) (*collect.Source, error) {
	for _, known := range s.sources {
		if known.Name == name {
			return known.Source, nil
		}
	}
	return nil, river.JobCancel(fmt.Errorf("no source %s is configured here", name))
}

// hand queues a tenant's turn.
func (s *shift) hand(ctx context.Context, turn collect.Turn) error {
	ctx, cancel := context.WithTimeout(ctx, littleTime)
	defer cancel()
	if _, err := s.queue.Insert(ctx, turnJob(turn), nil); err != nil {
		return fmt.Errorf("queue the turn of %s: %w", turn.Tenant, err)
	}
	return nil
}

// over tells whether no turn of the source is queued or taken.
func (s *shift) over(ctx context.Context, source string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, littleTime)
	defer cancel()
	opts := once(turnQueue)
	left, err := s.queue.JobList(ctx, river.NewJobListParams().Kinds(turnJob{}.Kind()).States(opts.UniqueOpts.ByState...).
		Where("args->>'source' = @source", river.NamedArgs{"source": source}).First(1))
	if err != nil {
		return false, fmt.Errorf("turns of %s: %w", source, err)
	}
	return len(left.Jobs) == 0, nil
}

// turnWorker takes tenants' turns.
type turnWorker struct {
	river.WorkerDefaults[turnJob]
	*shift
}

// NextRetry is when a job that failed is tried again.
func (w *turnWorker) NextRetry(*river.Job[turnJob]) time.Time { return time.Now().Add(retryAfter) }

// Work takes a turn, for as long as others should wait for theirs.
func (w *turnWorker) Work(_ context.Context, job *river.Job[turnJob]) error {
	defer w.at.enter(job.ID)()
	source, err := w.source(job.Args.Source)
	if err != nil {
		return err
	}
	err = w.collector.TakeTurn(w.watch.Load(), source, collect.Turn(job.Args), turnTime)
	switch {
	case errors.Is(err, collect.ErrUnfinished):
		return river.JobSnooze(0)
	case errors.Is(err, callvault.Unauthorized), errors.Is(err, callvault.Forbidden), errors.Is(err, callvault.NotFound):
		return river.JobCancel(err) // the run has heard of it
	}
	return err
}
