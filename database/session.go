package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// lockSession takes a lock of PostgreSQL, which lasts as long as the connection
// that took it.
func (db *DB) lockSession(ctx context.Context, name string) (release func(), err error) {
	session, err := db.locks.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	key, taken := "lock "+name, false
	err = session.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtextextended($1, 0))`, key).Scan(&taken)
	if err == nil && taken {
		return func() { unlock(session, key) }, nil
	}
	held := Held{Name: name, Holder: sessionHolder(ctx, session, key)}
	closeErr := session.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), closeErr)
	}
	return nil, held
}

// unlock gives a lock back. Were the connection only closed, as it is by this
// pool, the lock would be free a moment later.
func unlock(session *sql.Conn, key string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = session.ExecContext(ctx, `SELECT pg_advisory_unlock(hashtextextended($1, 0))`, key)
	_ = session.Close() // which frees it in any case
}

// waitSession tries again and again: a statement that waited would keep
// PostgreSQL from clearing away what is deleted.
func (db *DB) waitSession(ctx context.Context, name string) (release func(), err error) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		release, err := db.lockSession(ctx, name)
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

// sessionHolder says who holds a lock, by the name that he gave PostgreSQL.
func sessionHolder(ctx context.Context, session *sql.Conn, key string) string {
	var who string
	err := session.QueryRowContext(ctx, `SELECT coalesce(a.application_name, '') || ' since ' ||
		to_char(a.query_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
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
