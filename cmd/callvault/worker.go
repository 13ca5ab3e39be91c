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
		Short: "Collect together with other processes, over PostgreSQL",
		Long: `Collect from the configured sources together with other workers and services on the same --database.
Any number may run; each tenant is fetched by one of them at a time, at its pace. When a worker dies,
others take over its work within a minute. All of them need the same configuration.`,
		Example: `  callvault worker --database postgres://callvault@db/callvault --audio 's3://recordings/audio?region=eu-west-1' \
    --config /etc/callvault/callvault.toml`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.database == "" {
				return usageError{errors.New("a worker needs --database postgres://...; on a single machine, use serve or collect")}
			}
			if turns < 1 || turns > river.QueueNumWorkersMax {
				return usageError{fmt.Errorf("--turns is a number from 1 to %d", river.QueueNumWorkersMax)}
			}
			log := serviceLog()
			config, err := readConfig(o)
			if err != nil {
				return err
			}
			c.SetContext(account.As(c.Context(), account.Service)) // what a worker does is nobody's command
			return withAudio(c.Context(), o, func(v *vault) error {
				with, err := openCollecting(v, config, log)
				if err != nil {
					return err
				}
				n, err := joinQueue(c.Context(), v, with, turns)
				if err != nil {
					return errors.Join(err, with.close())
				}
				return errors.Join(n.run(database.Impatient(c.Context())), with.close())
			})
		},
	}
	c.Flags().IntVar(&turns, "turns", defaultTurns, "how many tenants to fetch from at once")
	return c
}

// run works until ctx ends, and watches over the collecting while no other process does.
func (n *node) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.work(ctx) })
	group.Go(func() error { return n.watchOver(ctx, n.db) })
	return group.Wait()
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
