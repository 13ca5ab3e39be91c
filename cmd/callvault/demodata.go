package main

import (
	"context"
	"errors"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/sample"

	"golang.org/x/sync/errgroup"
)

// loadSample stores the sample month in an archive.
func loadSample(ctx context.Context, v *vault) error {
	for _, tenant := range sample.Tenants() {
		err := v.accounts.AddTenant(ctx, tenant, time.Now())
		if err != nil && !errors.Is(err, callvault.Conflict) {
			return err
		}
	}
	loaders, ctx := errgroup.WithContext(ctx)
	loaders.SetLimit(32) // those that come together share their syncs
	for item := range sample.Month(time.Now()) {
		loaders.Go(func() error { return loadItem(ctx, v, item) })
	}
	return loaders.Wait()
}

func loadItem(ctx context.Context, v *vault, item sample.Item) error {
	in := &archive.Intake{Recording: item.Recording, Call: &item.Call, Source: "sample", Added: time.Now()}
	if item.Audio != nil {
		spool, err := v.archive.NewSpool()
		if err != nil {
			return err
		}
		defer spool.Discard()
		if _, err := spool.Write(item.Audio); err != nil {
			return err
		}
		if in.Audio, err = spool.Finish(); err != nil {
			return err
		}
		in.UploadSHA256 = in.Audio.SHA256
	}
	_, _, err := v.archive.Keep(ctx, in)
	if errors.Is(err, callvault.Conflict) {
		return nil // stored by an earlier demo; its status has changed since
	}
	return err
}
