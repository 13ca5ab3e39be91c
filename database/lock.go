package database

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"callvault/owner"

	"github.com/gofrs/flock"
)

// Held is the error that Lock returns when somebody else holds the lock.
type Held struct {
	Name   string
	Holder string // who holds it, in words
}

// Error names the lock and its holder.
func (h Held) Error() string { return fmt.Sprintf("%s is taken by %s", h.Name, h.Holder) }

// Lock takes the lock called name, which excludes all other processes that work on this
// database, or returns Held at once. The lock lasts until release is called or the
// process ends, however it ends. On PostgreSQL it can be lost earlier: when the
// connection breaks, or the process is suspended for half a minute. Then lost, which may
// be nil, is called, and others may have taken the lock already.
func (db *DB) Lock(name string, lost func()) (release func(), err error) {
	if db.Shared() {
		return db.lockSession(context.Background(), name, lost)
	}
	lock, err := db.lockFile(name)
	if err != nil {
		return nil, err
	}
	taken, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if !taken {
		return nil, Held{Name: name, Holder: holder(lock.Path())}
	}
	return hold(lock), nil
}

// WaitLock takes the lock as Lock does, but waits for it until ctx ends.
func (db *DB) WaitLock(ctx context.Context, name string, lost func()) (release func(), err error) {
	if db.Shared() {
		return db.waitSession(ctx, name, lost)
	}
	lock, err := db.lockFile(name)
	if err != nil {
		return nil, err
	}
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return nil, fmt.Errorf("wait for the lock %s: %w", name, err)
	}
	return hold(lock), nil
}

func (db *DB) lockFile(name string) (*flock.Flock, error) {
	dir := filepath.Join(filepath.Dir(db.path), "locks")
	if err := owner.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	path := filepath.Join(dir, url.PathEscape(name)+".lock")
	owner.Touch(path)
	return flock.New(path), nil
}

// hold writes the lock's holder into its file, for the errors of others that want it.
func hold(lock *flock.Flock) (release func()) {
	who := fmt.Sprintf("process %d since %s", os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	_ = os.WriteFile(lock.Path(), []byte(who), 0o600) // only for people: the kernel holds the lock itself
	return func() { _ = lock.Unlock() }
}

func holder(path string) string {
	who, err := os.ReadFile(path)
	if err != nil || len(who) == 0 {
		return "another process"
	}
	return strings.TrimSpace(string(who))
}
