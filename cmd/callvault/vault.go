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

// place is where an archive is: its data folder, and which parts of it are elsewhere.
type place struct {
	data         string // folder
	database     string // postgres://…; "" is in the folder
	audio        string // s3://…; "" is in the folder
	readOnly     bool   // open what cannot be written for reading only
	databaseOnly bool   // the audio is not needed: do not contact its store
}

// isReadOnly reports whether a folder is on a read-only file system, such as a snapshot.
func isReadOnly(dir string) bool {
	probe, err := os.CreateTemp(dir, ".callvault-")
	if err == nil {
		_ = errors.Join(probe.Close(), os.Remove(probe.Name())) // an empty hidden file does no harm if it stays
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

// blobStore is an open store of blobs.
type blobStore interface {
	archive.Blobs
	Close() error
}

// openVault opens an archive, and creates its data folder if there is none.
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
		return nil, usageError{errors.New("the database's address is not of the form postgres://user@host/name")} // not quoted: it may hold a password
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
	if at.databaseOnly {
		return s3.At(location)
	}
	return s3.Open(ctx, location)
}

// openQuarantine opens the blobs of what was refused. They are a folder beside the audio;
// in a store, they are below a prefix that the audio does not use.
func (v *vault) openQuarantine() (blobStore, error) { return v.place.openQuarantine(v.blobs) }

func (at place) openQuarantine(audio blobStore) (blobStore, error) {
	if store, ok := audio.(*s3.Store); ok {
		return store.Below(".quarantine"), nil
	}
	return disk.Open(filepath.Join(at.data, "quarantine"))
}

// diskFree returns a function that counts the free bytes where audio is kept, or nil for
// a store, whose room is unknown.
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

// withDatabase is withVault for commands that need no audio: a key can be revoked, and
// the status shown, while the store of the audio is unreachable.
func withDatabase(ctx context.Context, o *options, fn func(*vault) error) error {
	at := o.place
	at.databaseOnly = true
	v, err := openVault(ctx, at)
	if err != nil {
		return err
	}
	return errors.Join(fn(v), v.Close())
}

// withExisting is withVault for commands that check an archive. It does not create one:
// where the data folder's name is mistyped, a new, empty archive would be found whole. It
// also opens an archive on a read-only file system.
func withExisting(ctx context.Context, o *options, fn func(*vault) error) error {
	if o.database == "" {
		_, err := os.Stat(filepath.Join(o.data, "callvault.db"))
		_, none := os.Stat(filepath.Join(o.data, "audio"))
		if errors.Is(err, fs.ErrNotExist) && errors.Is(none, fs.ErrNotExist) {
			return fmt.Errorf("data folder %s: there is no archive; name its folder with --data DIR or CALLVAULT_DATA", o.data)
		}
	}
	at := o.place
	at.readOnly = true
	if at.database == "" && isReadOnly(at.data) {
		fmt.Fprintf(os.Stderr, "%s cannot be written: it is only read, and when it was read is not remembered\n", at.data)
	}
	v, err := openVault(ctx, at)
	if err != nil {
		return err
	}
	return errors.Join(fn(v), v.Close())
}

// withAudio is withVault for commands that add audio. It fails when there should be
// audio files but none is there: the disk is probably not mounted, and what was written
// in its place would be missing once it is.
func withAudio(ctx context.Context, o *options, fn func(*vault) error) error {
	return withVault(ctx, o, func(v *vault) error {
		if err := v.requireAudio(ctx); err != nil {
			return err
		}
		return fn(v)
	})
}

// requireAudio fails when the database knows recordings with audio but not a single
// file is there.
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
		return nil // a file; or an error, after which nobody can say that there is none
	}
	return fmt.Errorf("the database knows audio of %d recordings, but no file is in %s; see whether its disk is mounted, or its address is right. "+
		"Nothing was done. If all audio is lost, callvault rebuild --audio-lost brings the database into line", held, v.audioPlace())
}

// audioPlace names where audio is kept.
func (at place) audioPlace() string {
	if at.audio != "" {
		return at.audio
	}
	return filepath.Join(at.data, "audio")
}

// warnIfLost warns when there is audio but the database knows no recordings: the
// database was lost, and new recordings might collide with what is there.
func (v *vault) warnIfLost(ctx context.Context, log *slog.Logger) error {
	totals, err := v.archive.Totals(ctx)
	if err != nil || len(totals) > 0 {
		return err
	}
	for key, err := range v.blobs.Keys(ctx, "") {
		if err == nil {
			log.Warn("the database knows no recordings, but there is audio of some: stop the service, and run callvault rebuild", "data", v.data, "found", key)
		}
		return err
	}
	return nil
}
