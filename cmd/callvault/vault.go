package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"callvault/account"
	"callvault/archive"
	"callvault/archive/disk"
	"callvault/archive/s3"
	"callvault/database"
	"callvault/move"
)

// place is where an archive is: its data folder, and what of it is elsewhere.
type place struct {
	data     string // folder
	database string // postgres://…; "" is in the folder
	audio    string // s3://…; "" is in the folder
	readOnly bool   // what of the folder cannot be written is only read
	rows     bool   // what is wanted is in the database: a store is asked for nothing
}

// isReadOnly tells whether a folder is on a file system that takes no writes, as a snapshot.
func isReadOnly(dir string) bool {
	probe, err := os.CreateTemp(dir, ".callvault-")
	if err == nil {
		_ = errors.Join(probe.Close(), os.Remove(probe.Name())) // it is empty, and hidden
	}
	return errors.Is(err, syscall.EROFS)
}

// vault is an open archive.
type vault struct {
	place
	db       *database.DB
	blobs    blobStore
	accounts *account.Accounts
	archive  *archive.Archive
}

// blobStore is blobs that were opened.
type blobStore interface {
	archive.Blobs
	Close() error
}

// openVault opens an archive, and makes its data folder if there is none.
func openVault(ctx context.Context, at place) (*vault, error) {
	db, err := at.openDatabase(ctx)
	if err != nil {
		return nil, err
	}
	if err := move.Unfinished(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	blobs, err := at.openAudio(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	kept, err := archive.New(ctx, db, blobs)
	if err != nil {
		return nil, errors.Join(err, blobs.Close(), db.Close())
	}
	return &vault{place: at, db: db, blobs: blobs, accounts: account.New(db), archive: kept}, nil
}

// openDatabase opens the database.
func (at place) openDatabase(ctx context.Context) (*database.DB, error) {
	if at.database != "" && !strings.HasPrefix(at.database, "postgres://") && !strings.HasPrefix(at.database, "postgresql://") {
		return nil, usageError{errors.New("the database's address is none such as postgres://user@host/name")} // it may hold a secret
	}
	if at.database != "" {
		return database.Open(ctx, at.database)
	}
	open := database.Open
	if at.readOnly && isReadOnly(at.data) {
		open = database.OpenReadOnly
	}
	db, err := open(ctx, filepath.Join(at.data, "callvault.db"))
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", at.data, err)
	}
	return db, nil
}

// openAudio opens the blobs of audio and sidecars.
func (at place) openAudio(ctx context.Context) (blobStore, error) {
	if at.audio == "" {
		open, folder := disk.Open, filepath.Join(at.data, "audio")
		if at.readOnly && isReadOnly(folder) {
			open = disk.OpenReadOnly
		}
		blobs, err := open(folder)
		if err != nil {
			return nil, fmt.Errorf("data folder %s: %w", at.data, err)
		}
		return blobs, nil
	}
	location, err := s3.ParseLocation(at.audio)
	if err != nil {
		return nil, usageError{err}
	}
	if at.rows {
		return s3.At(location)
	}
	return s3.Open(ctx, location)
}

// openQuarantine opens the blobs of what was refused: beside the audio, where that
// is in a store, as a folder that is none of it.
func (v *vault) openQuarantine() (blobStore, error) { return v.place.openQuarantine(v.blobs) }

func (at place) openQuarantine(audio blobStore) (blobStore, error) {
	if store, ok := audio.(*s3.Store); ok {
		return store.Below(".quarantine"), nil
	}
	return disk.Open(filepath.Join(at.data, "quarantine"))
}

// diskFree tells the bytes free where audio is kept; nil where nobody knows.
func (v *vault) diskFree() func() (int64, error) {
	if folder, ok := v.blobs.(*disk.Store); ok {
		return folder.Free
	}
	return nil
}

// Close closes the archive.
func (v *vault) Close() error { return errors.Join(v.blobs.Close(), v.db.Close()) }

// withVault runs fn on the archive that the options name.
func withVault(ctx context.Context, o *options, fn func(*vault) error) error {
	v, err := openVault(ctx, o.place)
	if err != nil {
		return err
	}
	return errors.Join(fn(v), v.Close())
}

// withDatabase is withVault for who needs nothing of the audio: a key can be ended, and told
// how all stands, while the store is away.
func withDatabase(ctx context.Context, o *options, fn func(*vault) error) error {
	at := o.place
	at.rows = true
	v, err := openVault(ctx, at)
	if err != nil {
		return err
	}
	return errors.Join(fn(v), v.Close())
}

// withExisting is withVault for who proves something of an archive: it makes none, of which
// nothing could be at fault, where the data folder's name is mistyped; and it opens one
// also that is on a file system that takes no writes.
func withExisting(ctx context.Context, o *options, fn func(*vault) error) error {
	if o.database == "" {
		_, err := os.Stat(filepath.Join(o.data, "callvault.db"))
		_, none := os.Stat(filepath.Join(o.data, "audio"))
		if errors.Is(err, fs.ErrNotExist) && errors.Is(none, fs.ErrNotExist) {
			return fmt.Errorf("data folder %s: there is no archive; --data DIR or CALLVAULT_DATA names its folder", o.data)
		}
	}
	at := o.place
	at.readOnly = true
	if at.database == "" && isReadOnly(at.data) {
		fmt.Fprintf(os.Stderr, "%s cannot be written: it is read as it is, and that it was read is not remembered\n", at.data)
	}
	v, err := openVault(ctx, at)
	if err != nil {
		return err
	}
	return errors.Join(fn(v), v.Close())
}

// withAudio is withVault for who adds to the audio: it refuses a place without any
// file where there should be some. A disk that is not mounted looks so, and what were
// kept there now would be missing once it is.
func withAudio(ctx context.Context, o *options, fn func(*vault) error) error {
	return withVault(ctx, o, func(v *vault) error {
		if err := v.requireAudio(ctx); err != nil {
			return err
		}
		return fn(v)
	})
}

// requireAudio tells when the database knows recordings with audio, and none of their
// files is there.
func (v *vault) requireAudio(ctx context.Context) error {
	totals, err := v.archive.Totals(ctx)
	if err != nil {
		return err
	}
	held := int64(0)
	for _, total := range totals {
		held += total.Held
	}
	if held == 0 {
		return nil
	}
	for range v.blobs.Keys(ctx, "") {
		return nil // a file, or an error: that none is there is not known then
	}
	return fmt.Errorf("the database knows audio of %d recordings, but no file is in %s; see whether its disk is mounted, or its address is right. "+
		"Nothing was done. Where all audio is lost, callvault rebuild --audio-lost makes the database follow", held, v.audioPlace())
}

// audioPlace names where audio is kept.
func (at place) audioPlace() string {
	if at.audio != "" {
		return at.audio
	}
	return filepath.Join(at.data, "audio")
}

// warnIfLost tells when there is audio of recordings, and the database knows none: it
// was lost, and what is taken in now might meet what is there.
func (v *vault) warnIfLost(ctx context.Context, log *slog.Logger) error {
	totals, err := v.archive.Totals(ctx)
	if err != nil || len(totals) > 0 {
		return err
	}
	for key, err := range v.blobs.Keys(ctx, "") {
		if err == nil {
			log.Warn("the database knows no recordings, but there is audio of some: stop, and run callvault rebuild", "data", v.data, "found", key)
		}
		return err
	}
	return nil
}
