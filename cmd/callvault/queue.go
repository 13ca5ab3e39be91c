package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"callvault/database"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const (
	beatEvery  = 5 * time.Second  // how often a node says that it is alive
	tendEvery  = 10 * time.Second // how often some node looks after the queue
	turnTime   = time.Hour        // how long a turn lasts before it makes way for others
	retryAfter = 10 * time.Second // how soon a failed job is tried again
	stopTime   = 30 * time.Second // how long a stop waits for jobs to end

	// jobPatience is how long a statement of a job may take: some count every row.
	// Whatever else a node asks of the database is quick.
	jobPatience  = 5 * time.Minute
	shortTimeout = 10 * time.Second

	queueConns  = 8
	maxAttempts = 10_000
)

// node is one process's part in collecting that many processes share. River, a queue
// in their PostgreSQL, hands out jobs, and the collector does them. A run over a source
// is a job, and so is each tenant's turn in it.
type node struct {
	*collecting
	name   string // of this worker, among all
	db     *database.DB
	pool   *pgxpool.Pool
	driver *riverpgxv5.Driver
	queue  *river.Client[pgx.Tx]
	lease  atomic.Pointer[lease]
	active activeJobs
}

// lease is a context for jobs. It ends when the node stops, or when other nodes have
// taken its jobs for dead; the jobs then give back what they have not finished.
type lease struct {
	context.Context
	end context.CancelFunc
}

// renew ends the current lease, if there is one, and begins another.
func (n *node) renew(ctx context.Context) {
	next := &lease{}
	next.Context, next.end = context.WithCancel(database.Within(context.WithoutCancel(ctx), jobPatience))
	if last := n.lease.Swap(next); last != nil {
		last.end()
	}
}

// joinQueue opens the queue, and creates its tables if there are none. turns is how
// many tenants' turns the process takes at once.
func joinQueue(ctx context.Context, v *vault, with *collecting, turns int) (n *node, err error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of this machine: %w", err)
	}
	n = &node{collecting: with, name: fmt.Sprintf("%s-%d-%.6s", host, os.Getpid(), rand.Text()), db: v.db}
	n.renew(ctx)
	config, err := pgxpool.ParseConfig(v.database)
	if err != nil {
		return nil, errors.New("the database's address cannot be read by the queue") // it may hold a secret
	}
	config.MaxConns = queueConns
	database.Introduce(config.ConnConfig)
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = shortTimeout
	}
	if n.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	n.driver = riverpgxv5.New(n.pool)
	migrator, err := rivermigrate.New(n.driver, nil)
	if err == nil {
		err = n.migrate(ctx, migrator)
	}
	if err == nil {
		err = n.openQueue(turns)
	}
	if err != nil {
		n.pool.Close()
		return nil, fmt.Errorf("queue: %w", err)
	}
	return n, nil
}

// migrate brings the queue's tables up to date, one process at a time.
func (n *node) migrate(ctx context.Context, migrator *rivermigrate.Migrator[pgx.Tx]) error {
	release, err := n.db.WaitLock(ctx, "migrate queue", nil)
	if err != nil {
		return err
	}
	defer release()
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// openQueue makes the client of the queue.
func (n *node) openQueue(turns int) (err error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &runWorker{node: n})
	river.AddWorker(workers, &turnWorker{node: n})
	n.queue, err = river.NewClient(n.driver, &river.Config{
		ID:         n.name,
		Queues:     map[string]river.QueueConfig{runQueue: {MaxWorkers: 100}, turnQueue: {MaxWorkers: turns}},
		Workers:    workers,
		JobTimeout: -1,
		// A job takes as long as it takes: tendQueue finds those that nobody works on.
		RescueStuckJobsAfter: 365 * 24 * time.Hour,
		Logger:               slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	return err
}

// work takes jobs until ctx ends. Then it gives back those that are not finished, and
// returns within stopTime, even if the database does not answer.
func (n *node) work(ctx context.Context) error {
	if _, err := n.collector.Heartbeat(ctx, n.name); err != nil {
		return err
	}
	if err := n.queue.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	n.log.Info("taking part in the collecting", "worker", n.name)
	n.attend(ctx)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- n.queue.Stop(stopping) }() // takes no more jobs, and waits
	n.lease.Load().end()
	err := <-stopped
	if err != nil {
		err = fmt.Errorf("the jobs of %s did not end in time; other workers will take them over: %w", n.name, err)
	}
	return errors.Join(err, n.collector.RemoveWorker(stopping, n.name), n.closePool(stopping))
}

// closePool closes the queue's connections, and waits until none is in use or ctx ends.
func (n *node) closePool(ctx context.Context) error {
	closed := make(chan struct{})
	go func() {
		n.pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the queue: %w", ctx.Err())
	}
}

// attend keeps saying that this worker is alive, and looks after the queue, until ctx
// ends. When it could not say so for so long that other workers have taken over its
// jobs, it ends its own work on them.
func (n *node) attend(ctx context.Context) {
	beat, tend := time.NewTicker(beatEvery), time.NewTicker(tendEvery)
	defer beat.Stop()
	defer tend.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			late, err := n.collector.Heartbeat(ctx, n.name)
			if err != nil && ctx.Err() == nil {
				n.log.Warn("this worker could not tell the database that it is alive", "worker", n.name, "error", err)
			}
			if late {
				n.log.Warn("this worker was not heard from for too long; others have taken over its jobs", "worker", n.name)
				n.renew(ctx)
			}
		case <-tend.C:
			if err := n.maintain(ctx); err != nil && ctx.Err() == nil {
				n.log.Error("looking after the queue", "error", err)
			}
		}
	}
}

// maintain looks after the queue, but only for shortTimeout: the worker must not miss
// saying that it is alive, even when a connection of the queue has gone dead.
func (n *node) maintain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	return errors.Join(n.tendQueue(ctx), n.requeueLost(ctx))
}

// tendQueue begins the runs that are due, and requeues the jobs of dead workers, unless
// another process is doing so.
func (n *node) tendQueue(ctx context.Context) error {
	release, err := n.db.Lock("queue", nil)
	if errors.As(err, new(database.Held)) {
		return nil
	}
	if err != nil {
		return err
	}
	defer release()
	now := time.Now()
	for _, source := range n.sources {
		due, err := n.collector.RunDue(ctx, source.Source, source.schedule, now)
		if err != nil {
			return err
		}
		if !due {
			continue
		}
		if _, err := n.queue.Insert(ctx, runJob{Source: source.Name, Began: now.UnixMilli()}, nil); err != nil {
			return fmt.Errorf("queue a run over %s: %w", source.Name, err)
		}
	}
	return n.requeueDead(ctx)
}
