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

// How a shift goes: how often it says that it is alive, how often one of all looks
// after the queue, how long a turn lasts before others have theirs, how soon a job
// that failed is tried again, and how long a stop waits.
const (
	beatEvery  = 5 * time.Second
	tendEvery  = 10 * time.Second
	turnTime   = time.Hour
	retryAfter = 10 * time.Second
	stopTime   = 30 * time.Second

	// jobPatience is how long a statement of a job may take: some count all there is.
	// All else that a shift asks of the database is little.
	jobPatience = 5 * time.Minute
	littleTime  = 10 * time.Second

	queueConns = 8
	manyTries  = 10_000
)

// shift is the part of one process in collecting that many processes share: what
// River, a queue in their PostgreSQL, hands out is done by the collector. Runs over
// sources and tenants' turns in them are jobs of the queue.
type shift struct {
	*collecting
	name   string // of this worker, among all
	db     *database.DB
	pool   *pgxpool.Pool
	driver *riverpgxv5.Driver
	queue  *river.Client[pgx.Tx]
	watch  atomic.Pointer[watch]
	at     atWork
}

// watch is a stretch of a shift, at whose end jobs are given back.
type watch struct {
	context.Context
	end context.CancelFunc
}

// renew ends the watch that is on, if one is, and begins another.
func (s *shift) renew(ctx context.Context) {
	next := &watch{}
	next.Context, next.end = context.WithCancel(database.Within(context.WithoutCancel(ctx), jobPatience))
	if last := s.watch.Swap(next); last != nil {
		last.end()
	}
}

// openShift opens the queue, and makes its tables if there are none. turns is how
// many tenants' turns the process takes at once.
func openShift(ctx context.Context, v *vault, with *collecting, turns int) (s *shift, err error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of this machine: %w", err)
	}
	s = &shift{collecting: with, name: fmt.Sprintf("%s-%d-%.6s", host, os.Getpid(), rand.Text()), db: v.db}
	s.renew(ctx)
	config, err := pgxpool.ParseConfig(v.database)
	if err != nil {
		return nil, errors.New("the database's address cannot be read by the queue") // it may hold a secret
	}
	config.MaxConns = queueConns
	database.Introduce(config.ConnConfig)
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = littleTime
	}
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	s.driver = riverpgxv5.New(s.pool)
	migrator, err := rivermigrate.New(s.driver, nil)
	if err == nil {
		err = s.migrate(ctx, migrator)
	}
	if err == nil {
		err = s.openQueue(turns)
	}
	if err != nil {
		s.pool.Close()
		return nil, fmt.Errorf("queue: %w", err)
	}
	return s, nil
}

// migrate brings the queue's tables up to date, while no other process does.
func (s *shift) migrate(ctx context.Context, migrator *rivermigrate.Migrator[pgx.Tx]) error {
	release, err := s.db.WaitLock(ctx, "migrate queue", nil)
	if err != nil {
		return err
	}
	defer release()
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// openQueue makes the client of the queue.
func (s *shift) openQueue(turns int) (err error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &runWorker{shift: s})
	river.AddWorker(workers, &turnWorker{shift: s})
	s.queue, err = river.NewClient(s.driver, &river.Config{
		ID:         s.name,
		Queues:     map[string]river.QueueConfig{runQueue: {MaxWorkers: 100}, turnQueue: {MaxWorkers: turns}},
		Workers:    workers,
		JobTimeout: -1,
		// Jobs last as long as they last: those that nobody is at are found by tend.
		RescueStuckJobsAfter: 365 * 24 * time.Hour,
		Logger:               slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	return err
}

// work takes jobs until ctx ends; then it gives back what is not finished, within
// stopTime, whether or not the database takes it.
func (s *shift) work(ctx context.Context) error {
	if _, err := s.collector.Heartbeat(ctx, s.name); err != nil {
		return err
	}
	if err := s.queue.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	s.log.Info("taking part in the collecting", "worker", s.name)
	s.attend(ctx)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- s.queue.Stop(stopping) }() // takes no more, and waits
	s.watch.Load().end()
	err := <-stopped
	if err != nil {
		err = fmt.Errorf("the jobs of %s did not end in time; others take them up: %w", s.name, err)
	}
	return errors.Join(err, s.collector.RemoveWorker(stopping, s.name), s.closePool(stopping))
}

// closePool closes the queue's connections, and waits until nobody uses them or ctx
// ends.
func (s *shift) closePool(ctx context.Context) error {
	closed := make(chan struct{})
	go func() {
		s.pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the queue: %w", ctx.Err())
	}
}

// attend says again and again that the worker is alive, and looks after the queue
// when it is its turn. One who could not say so for so long that others have taken
// up his jobs gives them back.
func (s *shift) attend(ctx context.Context) {
	beat, tend := time.NewTicker(beatEvery), time.NewTicker(tendEvery)
	defer beat.Stop()
	defer tend.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			late, err := s.collector.Heartbeat(ctx, s.name)
			if err != nil && ctx.Err() == nil {
				s.log.Warn("the database does not hear that this worker is alive", "worker", s.name, "error", err)
			}
			if late {
				s.log.Warn("this worker was not heard of for too long; others have taken up its jobs", "worker", s.name)
				s.renew(ctx)
			}
		case <-tend.C:
			if err := s.lookAfter(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("looking after the queue", "error", err)
			}
		}
	}
}

// lookAfter looks after the queue, for so little time that the worker is heard of
// meanwhile, also when a connection of the queue leads nowhere.
func (s *shift) lookAfter(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, littleTime)
	defer cancel()
	return errors.Join(s.tend(ctx), s.takeUpLost(ctx))
}

// tend begins the runs that are due, and takes up the jobs of dead workers, if
// nobody else is at it.
func (s *shift) tend(ctx context.Context) error {
	release, err := s.db.Lock("queue", nil)
	if errors.As(err, new(database.Held)) {
		return nil
	}
	if err != nil {
		return err
	}
	defer release()
	now := time.Now()
	for _, source := range s.sources {
		due, err := s.collector.RunDue(ctx, source.Source, source.schedule, now)
		if err != nil {
			return err
		}
		if !due {
			continue
		}
		if _, err := s.queue.Insert(ctx, runJob{Source: source.Name, Began: now.UnixMilli()}, nil); err != nil {
			return fmt.Errorf("queue a run over %s: %w", source.Name, err)
		}
	}
	return s.takeUpDead(ctx)
}
