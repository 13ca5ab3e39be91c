package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
)

// activeJobs are the jobs that a process is working on, by their IDs in the queue.
type activeJobs struct {
	mu      sync.Mutex
	jobs    map[int64]bool
	suspect map[int64]bool // jobs that were nobody's at the last look, though the queue counts them as ours
}

// begin notes that a job is being worked on, until end is called.
func (a *activeJobs) begin(id int64) (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.jobs == nil {
		a.jobs = map[int64]bool{}
	}
	a.jobs[id] = true
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.jobs, id)
	}
}

// lostAmong returns the jobs that this process works on neither now nor when lostAmong
// was last called. One look is not enough: a job is in the queue's hands for a moment
// before its work begins, and after it ends.
func (a *activeJobs) lostAmong(jobs []*rivertype.JobRow) (lost []*rivertype.JobRow) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := a.suspect
	a.suspect = map[int64]bool{}
	for _, job := range jobs {
		switch {
		case a.jobs[job.ID]:
		case last[job.ID]:
			lost = append(lost, job)
		default:
			a.suspect[job.ID] = true
		}
	}
	return lost
}

// requeueDead requeues the jobs of workers that are no longer heard from.
func (n *node) requeueDead(ctx context.Context) error {
	alive, err := n.collector.AliveWorkers(ctx)
	if err != nil {
		return err
	}
	running, err := n.queue.JobList(ctx, runningJobs())
	if err != nil {
		return fmt.Errorf("running jobs: %w", err)
	}
	var dead []*rivertype.JobRow
	for _, job := range running.Jobs {
		if tries := len(job.AttemptedBy); tries > 0 && !alive[job.AttemptedBy[tries-1]] {
			dead = append(dead, job)
		}
	}
	return n.requeue(ctx, dead, "its worker is no longer heard from")
}

// requeueLost requeues the jobs that the queue gave this worker without its knowledge,
// because the connection broke before the answer arrived.
func (n *node) requeueLost(ctx context.Context) error {
	mine, err := n.queue.JobList(ctx, runningJobs().Where("attempted_by[array_upper(attempted_by, 1)] = @worker", river.NamedArgs{"worker": n.name}))
	if err != nil {
		return fmt.Errorf("jobs of %s: %w", n.name, err)
	}
	return n.requeue(ctx, n.active.lostAmong(mine.Jobs), "its worker never received it")
}

// runningJobs asks for the jobs that some worker has taken.
func runningJobs() *river.JobListParams {
	return river.NewJobListParams().Kinds(runJob{}.Kind(), turnJob{}.Kind()).States(rivertype.JobStateRunning).First(maxAttempts)
}

// requeue discards jobs and queues the same work as new jobs. A worker that was not
// dead but only stalled can then still report how the old job ended: the new one is
// not affected.
func (n *node) requeue(ctx context.Context, jobs []*rivertype.JobRow, why string) error {
	if len(jobs) == 0 {
		return nil
	}
	n.log.Warn("requeueing jobs that no worker is working on", "jobs", len(jobs), "why", why)
	now := time.Now()
	text, err := json.Marshal(rivertype.AttemptError{At: now, Error: why})
	if err != nil {
		return err
	}
	discard := &riverdriver.JobRescueManyParams{StuckHorizon: now.AddDate(1, 0, 0)} // whenever they began
	for _, job := range jobs {
		discard.ID, discard.Error = append(discard.ID, job.ID), append(discard.Error, text)
		discard.FinalizedAt, discard.ScheduledAt = append(discard.FinalizedAt, &now), append(discard.ScheduledAt, now)
		discard.State = append(discard.State, string(rivertype.JobStateDiscarded))
	}
	tx, err := n.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("requeue jobs: %w", err)
	}
	defer tx.Rollback(ctx) // does nothing after Commit
	executor := n.driver.UnwrapExecutor(tx)
	if _, err := executor.JobRescueMany(ctx, discard); err != nil {
		return fmt.Errorf("discard jobs: %w", err)
	}
	jobs, err = executor.JobGetByIDMany(ctx, &riverdriver.JobGetByIDManyParams{ID: discard.ID})
	if err != nil {
		return fmt.Errorf("discarded jobs: %w", err)
	}
	for _, job := range jobs {
		if job.State != rivertype.JobStateDiscarded {
			continue // it ended just now
		}
		args, err := argsOf(job)
		if err != nil {
			return err
		}
		if _, err := n.queue.InsertTx(ctx, tx, args, nil); err != nil {
			return fmt.Errorf("requeue job %d: %w", job.ID, err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("requeue jobs: %w", err)
	}
	return nil
}

// argsOf decodes what a job is to do.
func argsOf(job *rivertype.JobRow) (river.JobArgs, error) {
	if job.Kind == (runJob{}).Kind() {
		return decode[runJob](job)
	}
	return decode[turnJob](job)
}

func decode[T river.JobArgs](job *rivertype.JobRow) (args T, err error) {
	if err := json.Unmarshal(job.EncodedArgs, &args); err != nil {
		return args, fmt.Errorf("job %d: %w", job.ID, err)
	}
	return args, nil
}
