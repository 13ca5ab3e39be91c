package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// A lock of PostgreSQL is its holder's as long as he says every keepTime that he
// is there. From one who has not for idleTime, because his process or his machine
// stands still, PostgreSQL takes it by itself.
const (
	keepTime = 10 * time.Second
	idleTime = 30 * time.Second
)

// sessionLock is a lock of PostgreSQL that is held, with the connection that it
// lasts as long as.
type sessionLock struct {
	session *sql.Conn
	key     string
	lost    func()

	mu   sync.Mutex
	next *time.Timer // for keep; nil when the lock is held no more
}

// lockSession takes a lock of PostgreSQL.
func (db *DB) lockSession(ctx context.Context, name string, lost func()) (release func(), err error) {
	session, err := db.locks.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	key, taken := "lock "+name, false
	err = session.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtextextended($1, 0))`, key).Scan(&taken)
	if err == nil && taken {
		l := &sessionLock{session: session, key: key, lost: lost}
		l.next = time.AfterFunc(keepTime, l.keep)
		return l.release, nil
	}
	held := Held{Name: name, Holder: sessionHolder(ctx, session, key)}
	closeErr := session.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), closeErr)
	}
	return nil, held
}

// keep says that the holder is there. When that does not get through, the lock is
// lost, or will be.
func (l *sessionLock) keep() {
	if l.kept() {
		return
	}
	_ = l.session.Close() // it has failed already
	if l.lost != nil {
		l.lost()
	}
}

// kept tells whether the lock is still held, or was released.
func (l *sessionLock) kept() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		return true
	}
	if _, err := l.session.ExecContext(context.Background(), `SELECT 1`); err != nil {
		l.next = nil
		return false
	}
	l.next.Reset(keepTime)
	return true
}

// release gives the lock back. Were the connection only closed, as it is by this
// pool, the lock would be free a moment later.
func (l *sessionLock) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		return
	}
	l.next.Stop()
	l.next = nil
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = l.session.ExecContext(ctx, `SELECT pg_advisory_unlock(hashtextextended($1, 0))`, l.key)
	_ = l.session.Close() // which frees it in any case
}

// waitSession tries again and again: a statement that waited would keep
// PostgreSQL from clearing away what is deleted.
func (db *DB) waitSession(ctx context.Context, name string, lost func()) (release func(), err error) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		release, err := db.lockSession(ctx, name, lost)
		if held := (Held{}); !errors.As(err, &held) {
			return release, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the lock %s: %w", name, ctx.Err())
		}
	}
}

// sessionHolder says who holds a lock, by the name that he gave PostgreSQL. A
// connection is made for one lock: it is as old as that.
func sessionHolder(ctx context.Context, session *sql.Conn, key string) string {
	var who string
	err := session.QueryRowContext(ctx, `SELECT coalesce(a.application_name, '') || ' since ' ||
		to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
		FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND a.datname = current_database()
		AND ((l.classid::BIGINT << 32) | l.objid::BIGINT) = hashtextextended($1, 0)`, key).Scan(&who)
	if err != nil {
		return "another process"
	}
	return strings.TrimPrefix(who, "callvault ")
}

// Others names another Callvault that has a connection to the database, in words,
// or is empty. On SQLite nobody can tell; there locks do.
func (db *DB) Others(ctx context.Context) (who string, err error) {
	if !db.Shared() {
		return "", nil
	}
	err = db.Reader.QueryRowContext(ctx, `SELECT coalesce(min(application_name), '') FROM pg_stat_activity
		WHERE datname = current_database() AND application_name LIKE 'callvault process %'
		AND application_name <> current_setting('application_name')`).Scan(&who)
	if err != nil {
		return "", fmt.Errorf("who works on the database: %w", err)
	}
	return who, nil
}
