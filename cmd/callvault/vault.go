package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"callvault/account"
	"callvault/archive"
	"callvault/archive/disk"
	"callvault/database"
)

// vault is an open data folder.
type vault struct {
	dir      string
	db       *database.DB
	blobs    *disk.Store
	accounts *account.Accounts
	archive  *archive.Archive
}

// openVault opens the data folder, and makes it if there is none.
func openVault(ctx context.Context, dir string) (*vault, error) {
	db, err := database.Open(ctx, filepath.Join(dir, "callvault.db"))
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", dir, err)
	}
	blobs, err := disk.Open(filepath.Join(dir, "audio"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %s: %w", dir, err), db.Close())
	}
	kept, err := archive.New(ctx, db, blobs)
	if err != nil {
		return nil, errors.Join(err, blobs.Close(), db.Close())
	}
	return &vault{dir: dir, db: db, blobs: blobs, accounts: account.New(db), archive: kept}, nil
}

// Close closes the data folder.
func (v *vault) Close() error { return errors.Join(v.blobs.Close(), v.db.Close()) }

// withVault runs fn on the data folder that the options name.
func withVault(ctx context.Context, o *options, fn func(*vault) error) error {
	v, err := openVault(ctx, o.data)
	if err != nil {
		return err
	}
	return errors.Join(fn(v), v.Close())
}

// warnIfLost tells when the audio folder holds recordings of which the database
// knows none: it was lost, and what is taken in now might meet what is there.
func (v *vault) warnIfLost(ctx context.Context, log *slog.Logger) error {
	totals, err := v.archive.Totals(ctx)
	if err != nil || len(totals) > 0 {
		return err
	}
	for key, err := range v.blobs.Keys(ctx, "") {
		if err == nil {
			log.Warn("the database knows no recordings, but the audio folder holds some: stop, and run callvault rebuild", "data", v.dir, "found", key)
		}
		return err
	}
	return nil
}
