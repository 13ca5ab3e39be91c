package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"callvault/account"
	"callvault/database"

	"github.com/riverqueue/river"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// defaultTurns is how many tenants' turns a process takes at once. A turn mostly
// waits for its pace.
const defaultTurns = 500

func workerCommand(o *options) *cobra.Command {
	var turns int
	c := &cobra.Command{
		Use:   "worker",
		Short: "Take part in collecting that many processes share, over PostgreSQL",
		Long: `Take part in collecting from the configured sources, beside other workers and services on the same
--database. Any number may run; each tenant is fetched by one at a time, at its pace. What a worker
that dies was at is taken up by others within a minute. All need the same configuration.`,
		Example: `  callvault worker --database postgres://callvault@db/callvault --audio 's3://recordings/audio?region=eu-west-1' \
    --config /etc/callvault/callvault.toml`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.database == "" {
				return usageError{errors.New("a worker needs --database postgres://...; on one machine serve and collect do the collecting")}
			}
			if turns < 1 || turns > river.QueueNumWorkersMax {
				return usageError{fmt.Errorf("--turns is a number from 1 to %d", river.QueueNumWorkersMax)}
			}
			log := lastingLog()
			config, err := readConfig(o)
			if err != nil {
				return err
			}
			c.SetContext(account.As(c.Context(), account.Service)) // what it does is nobody's command
			return withAudio(c.Context(), o, func(v *vault) error {
				with, err := openCollecting(v, config, log)
				if err != nil {
					return err
				}
				s, err := openShift(c.Context(), v, with, turns)
				if err != nil {
					return errors.Join(err, with.close())
				}
				return errors.Join(s.run(database.Impatient(c.Context())), with.close())
			})
		},
	}
	c.Flags().IntVar(&turns, "turns", defaultTurns, "how many tenants are fetched at once")
	return c
}

// run works until ctx ends, and watches over the collecting while nobody else does.
func (s *shift) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.work(ctx) })
	group.Go(func() error { return s.watchOver(ctx, s.db) })
	return group.Wait()
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
