package database

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// How long to wait for PostgreSQL, so that requests end even when the database hangs.
const (
	answerTime  = 10 * time.Second // for the answer to a statement
	connectTime = 5 * time.Second  // for a connection; connect_timeout in the URL overrides it
	wordTime    = 3 * time.Second  // for a sign of life from an idle connection
	excludeTime = time.Minute      // for other transactions to end
	pauseTime   = time.Second      // after a connection failed, before the next attempt
)

// idleParameter makes PostgreSQL end a session that sends nothing for so long, and
// idleTxParameter one that does so within a transaction. The URL may set them, the former
// for the connections of locks.
const (
	idleParameter   = "idle_session_timeout"
	idleTxParameter = "idle_in_transaction_session_timeout"
)

// idleTxTime is how long a transaction may be idle. See DB.While.
const idleTxTime = 2 * time.Minute

// How many connections a process has to PostgreSQL; pool_max_conns in the URL overrides
// the default. Half of them read, a quarter write, and a quarter are relaxed. Each lock
// that is held has one more.
const (
	defaultConns = 24
	minConns     = 4
)

// openPostgreSQL opens the database that the URL names.
func openPostgreSQL(ctx context.Context, place string) (*DB, error) {
	config, conns, err := parsePostgreSQL(place)
	if err != nil {
		return nil, err
	}
	lockIdle := idleTime.String()
	if given, is := config.RuntimeParams[idleParameter]; is {
		lockIdle = given
		delete(config.RuntimeParams, idleParameter) // the other connections may be idle for longer
	}
	txIdle := cmp.Or(config.RuntimeParams[idleTxParameter], strconv.FormatInt(idleTxTime.Milliseconds(), 10))
	db := &DB{
		Reader:  pool(reading(config), conns-2*(conns/4), nil),
		writer:  pool(config, conns/4, map[string]string{idleTxParameter: txIdle}),
		Relaxed: pool(config, conns/4, map[string]string{"synchronous_commit": "off", "plan_cache_mode": "force_generic_plan"}),
		locks:   pool(config, 0, map[string]string{idleParameter: lockIdle}),
		name:    fmt.Sprintf("database %s on %s", config.Database, server(config)),
	}
	db.locks.SetMaxIdleConns(-1)
	if err := migratePostgreSQL(Patient(ctx), db.writer); err != nil {
		if unconnected := new(pgconn.ConnectError); errors.As(err, &unconnected) {
			err = fmt.Errorf("%w; check that PostgreSQL answers there, and that --database (CALLVAULT_DATABASE) names the right server and user", unconnected)
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", db.name, err), db.Close())
	}
	return db, nil
}

// server names the PostgreSQL server: by its host, and by its port if that is not 5432.
func server(config *pgx.ConnConfig) string {
	if config.Port == 5432 {
		return config.Host
	}
	return fmt.Sprintf("%s, port %d", config.Host, config.Port)
}

// parsePostgreSQL parses the URL. Its errors do not contain the password.
func parsePostgreSQL(place string) (*pgx.ConnConfig, int, error) {
	address, err := url.Parse(place)
	if err != nil {
		return nil, 0, errors.New("the URL of the database is not valid; it should look like postgres://USER:PASSWORD@HOST:5432/NAME")
	}
	conns, query := defaultConns, address.Query()
	if given := query.Get("pool_max_conns"); given != "" {
		if conns, err = strconv.Atoi(given); err != nil || conns < minConns {
			return nil, 0, fmt.Errorf("pool_max_conns in the database's URL is %q; it must be a number of connections, at least %d", given, minConns)
		}
		query.Del("pool_max_conns")
		address.RawQuery = query.Encode()
	}
	config, err := pgx.ParseConfig(address.String())
	if err != nil {
		return nil, 0, fmt.Errorf("the URL of the database: %w", err)
	}
	if query.Get("connect_timeout") == "" {
		config.ConnectTimeout = connectTime
	}
	Introduce(config)
	config.Tracer = limits{}
	return config, conns, nil
}

// Introduce configures what all connections of a process have in common, including those
// that are made elsewhere: the name of the process; keepalives, so that PostgreSQL ends
// them, and releases their locks, when the machine vanishes; and that they are dropped
// when their server no longer takes writes.
func Introduce(config *pgx.ConnConfig) {
	host, _ := os.Hostname()
	parameters := map[string]string{
		"application_name": fmt.Sprintf("callvault process %d on %.30s", os.Getpid(), host),
		// The locks of a machine that vanishes are released within half a minute.
		"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
	}
	for name, value := range parameters {
		if _, given := config.RuntimeParams[name]; !given {
			config.RuntimeParams[name] = value
		}
	}
	usual := config.OnPgError
	config.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		return usual(conn, err) && err.Code != readOnly // the next connection may reach a server that takes writes
	}
}

// reading returns config for connections that refuse every write. They are made read-only
// only after they are established: with target_session_attrs=read-write in the URL, pgx
// would otherwise take every server for one that refuses writes.
func reading(config *pgx.ConnConfig) *pgx.ConnConfig {
	mine := config.Copy()
	mine.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		ctx, cancel := context.WithTimeout(ctx, wordTime)
		defer cancel()
		return conn.Exec(ctx, "SET default_transaction_read_only = on").Close()
	}
	return mine
}

// pool returns a pool of at most size connections (0 means no limit) with additional
// parameters.
func pool(config *pgx.ConnConfig, size int, parameters map[string]string) *sql.DB {
	mine := config.Copy()
	for name, value := range parameters {
		mine.RuntimeParams[name] = value
	}
	p := sql.OpenDB(&connector{Connector: stdlib.GetConnector(*mine)})
	p.SetMaxOpenConns(size)
	p.SetMaxIdleConns(size)
	p.SetConnMaxIdleTime(5 * time.Minute)
	return p
}

// migratePostgreSQL applies the migrations that the database lacks. If several processes
// start together, one does this while the others wait.
func migratePostgreSQL(ctx context.Context, writer *sql.DB) error {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 3600))
	if err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations/postgres")
	if err != nil {
		return err
	}
	return migrate(ctx, writer, goose.DialectPostgres, files, goose.WithSessionLocker(locker))
}

// limits bounds how long statements wait for their answers. It is a pgx.QueryTracer and a
// pgx.PrepareTracer.
type limits struct{}

type (
	patienceKey struct{}
	cancelKey   struct{}
)

// Patient lifts the limit on how long PostgreSQL may take to answer a statement, for work
// that nobody waits for in a browser: counting everything in a large database takes
// minutes. Such a statement ends only if the server stops answering altogether.
func Patient(ctx context.Context) context.Context { return Within(ctx, 0) }

// Impatient restores the usual limit.
func Impatient(ctx context.Context) context.Context { return Within(ctx, answerTime) }

// Within sets the limit; 0 means none.
func Within(ctx context.Context, limit time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, limit)
}

func limited(ctx context.Context, conn *pgx.Conn) context.Context {
	limit := answerTime
	if given, ok := ctx.Value(patienceKey{}).(time.Duration); ok {
		limit = given
	}
	if limit == 0 {
		p := watchOver(ctx, conn)
		return context.WithValue(p, cancelKey{}, context.CancelFunc(p.over))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	return context.WithValue(ctx, cancelKey{}, cancel)
}

func finished(ctx context.Context) {
	if cancel, ok := ctx.Value(cancelKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

// TraceQueryStart implements pgx.QueryTracer.
func (limits) TraceQueryStart(ctx context.Context, conn *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return limited(ctx, conn)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (limits) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) { finished(ctx) }

// TracePrepareStart implements pgx.PrepareTracer.
func (limits) TracePrepareStart(ctx context.Context, conn *pgx.Conn, _ pgx.TracePrepareStartData) context.Context {
	return limited(ctx, conn)
}

// TracePrepareEnd implements pgx.PrepareTracer.
func (limits) TracePrepareEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareEndData) {
	finished(ctx)
}

// isCut reports whether the connection failed or broke.
func isCut(err error) bool {
	var unconnected *pgconn.ConnectError
	return errors.Is(err, pgconn.ErrConnClosed) || errors.As(err, &unconnected) || pgconn.SafeToRetry(err)
}
