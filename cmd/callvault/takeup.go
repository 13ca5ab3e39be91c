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

// atWork are the jobs that a process is at, by their numbers in the queue.
type atWork struct {
	mu   sync.Mutex
	jobs map[int64]bool
	lost map[int64]bool // those that the queue thought it to be at a while ago, and it was not
}

// enter says that a job is being done, until leave is called.
func (a *atWork) enter(id int64) (leave func()) {
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

// lostOf are those of the jobs that nobody is at, now and when it was last called:
// a job is a moment in the queue's hands before it is done, and after.
func (a *atWork) lostOf(jobs []*rivertype.JobRow) (lost []*rivertype.JobRow) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := a.lost
	a.lost = map[int64]bool{}
	for _, job := range jobs {
		switch {
		case a.jobs[job.ID]:
		case last[job.ID]:
			lost = append(lost, job)
		default:
			a.lost[job.ID] = true
		}
	}
	return lost
}

// takeUpDead takes up the jobs of workers that were not heard of any more.
func (s *shift) takeUpDead(ctx context.Context) error {
	alive, err := s.collector.AliveWorkers(ctx)
	if err != nil {
		return err
	}
	running, err := s.queue.JobList(ctx, runningJobs())
	if err != nil {
		return fmt.Errorf("jobs at work: %w", err)
	}
	var dead []*rivertype.JobRow
	for _, job := range running.Jobs {
		if n := len(job.AttemptedBy); n > 0 && !alive[job.AttemptedBy[n-1]] {
			dead = append(dead, job)
		}
	}
	return s.queueAnew(ctx, dead, "its worker was not heard of any more")
}

// takeUpLost takes up the jobs that the queue thinks this worker to be at, but it
// is not: it was given them, and its connection broke off before it heard of that.
func (s *shift) takeUpLost(ctx context.Context) error {
	mine, err := s.queue.JobList(ctx, runningJobs().Where("attempted_by[array_upper(attempted_by, 1)] = @worker", river.NamedArgs{"worker": s.name}))
	if err != nil {
		return fmt.Errorf("jobs of %s: %w", s.name, err)
	}
	return s.queueAnew(ctx, s.at.lostOf(mine.Jobs), "its worker never heard of it")
}

// runningJobs asks for jobs that somebody is at.
func runningJobs() *river.JobListParams {
	return river.NewJobListParams().Kinds(runJob{}.Kind(), turnJob{}.Kind()).States(rivertype.JobStateRunning).First(manyTries)
}

// queueAnew discards jobs and puts the same into the queue as new ones. One who was
// at an old one and is not dead, but stood still, changes nothing of the new one by
// telling later how the old one ended.
func (s *shift) queueAnew(ctx context.Context, jobs []*rivertype.JobRow, why string) error {
	if len(jobs) == 0 {
		return nil
	}
	s.log.Warn("taking up jobs that nobody is at", "jobs", len(jobs), "why", why)
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
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("queue jobs anew: %w", err)
	}
	defer tx.Rollback(ctx) // does nothing after Commit
	executor := s.driver.UnwrapExecutor(tx)
	if _, err := executor.JobRescueMany(ctx, discard); err != nil {
		return fmt.Errorf("discard jobs: %w", err)
	}
	jobs, err = executor.JobGetByIDMany(ctx, &riverdriver.JobGetByIDManyParams{ID: discard.ID})
	if err != nil {
		return fmt.Errorf("discarded jobs: %w", err)
	}
	for _, job := range jobs {
		if job.State != rivertype.JobStateDiscarded {
			continue // it has ended just now
		}
		args, err := argsOf(job)
		if err != nil {
			return err
		}
		if _, err := s.queue.InsertTx(ctx, tx, args, nil); err != nil {
			return fmt.Errorf("queue job %d anew: %w", job.ID, err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("queue jobs anew: %w", err)
	}
	return nil
}

// argsOf is what a job is to do.
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
