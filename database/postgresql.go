package database

import (
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

// How long PostgreSQL is waited for, so that a request meets its end also when
// the database stands still.
const (
	answerTime  = 10 * time.Second // for the answer to a statement
	connectTime = 5 * time.Second  // for a connection; connect_timeout in the URL sets another
	wordTime    = 3 * time.Second  // for word from a connection that nothing else is asked of
	excludeTime = time.Minute      // for other transactions to end
	pauseTime   = time.Second      // after a connection failed, before the next is tried
)

// idleParameter is what lets PostgreSQL end a session that is not heard of. The URL
// may set another time for those of locks.
const idleParameter = "idle_session_timeout"

// The connections of a process to PostgreSQL: pool_max_conns in the URL sets
// another number. Half of them read, a quarter write, and a quarter are relaxed.
// Each lock that is held has one more.
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
		delete(config.RuntimeParams, idleParameter) // other connections may be idle
	}
	db := &DB{
		Reader:  pool(reading(config), conns-2*(conns/4), nil),
		writer:  pool(config, conns/4, map[string]string{"idle_in_transaction_session_timeout": "120s"}),
		Relaxed: pool(config, conns/4, map[string]string{"synchronous_commit": "off", "plan_cache_mode": "force_generic_plan"}),
		locks:   pool(config, 0, map[string]string{idleParameter: lockIdle}),
		name:    fmt.Sprintf("database %s on %s", config.Database, server(config)),
	}
	db.locks.SetMaxIdleConns(-1)
	if err := migratePostgreSQL(Patient(ctx), db.writer); err != nil {
		if unconnected := new(pgconn.ConnectError); errors.As(err, &unconnected) {
			err = fmt.Errorf("%w; see that PostgreSQL answers there, and that --database (CALLVAULT_DATABASE) names it and its user", unconnected)
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", db.name, err), db.Close())
	}
	return db, nil
}

// server names where PostgreSQL is. Two on one machine differ in their ports.
func server(config *pgx.ConnConfig) string {
	if config.Port == 5432 {
		return config.Host
	}
	return fmt.Sprintf("%s, port %d", config.Host, config.Port)
}

// parsePostgreSQL reads the URL; errors do not repeat its password.
func parsePostgreSQL(place string) (*pgx.ConnConfig, int, error) {
	address, err := url.Parse(place)
	if err != nil {
		return nil, 0, errors.New("the URL of the database cannot be read; it looks like postgres://USER:PASSWORD@HOST:5432/NAME")
	}
	conns, query := defaultConns, address.Query()
	if given := query.Get("pool_max_conns"); given != "" {
		if conns, err = strconv.Atoi(given); err != nil || conns < minConns {
			return nil, 0, fmt.Errorf("pool_max_conns of the database's URL is %q; it is a number of connections, at least %d", given, minConns)
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

// Introduce gives connections what all of a process have, also those that are not made
// here: a name, an end when the machine vanishes, and with it what they had locked, and
// another server when theirs takes no writes any more.
func Introduce(config *pgx.ConnConfig) {
	host, _ := os.Hostname()
	parameters := map[string]string{
		"application_name": fmt.Sprintf("callvault process %d on %.30s", os.Getpid(), host),
		// A machine that vanishes loses its locks within half a minute.
		"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
	}
	for name, value := range parameters {
		if _, given := config.RuntimeParams[name]; !given {
			config.RuntimeParams[name] = value
		}
	}
	usual := config.OnPgError
	config.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		return usual(conn, err) && err.Code != readOnly // another may lead to where can be written
	}
}

// reading is for connections that are refused every write. They are told so when
// they are there: as they are made, the URL may ask for servers that take writes
// (target_session_attrs=read-write), and that is what those would be asked.
func reading(config *pgx.ConnConfig) *pgx.ConnConfig {
	mine := config.Copy()
	mine.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		ctx, cancel := context.WithTimeout(ctx, wordTime)
		defer cancel()
		return conn.Exec(ctx, "SET default_transaction_read_only = on").Close()
	}
	return mine
}

// pool makes a pool of at most size connections, any number when it is 0, with
// parameters of their own.
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

// migratePostgreSQL applies the migrations that the database lacks. Of many
// processes that start together one does it, and the others wait.
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

// limits bounds how long statements wait for their answers. It is a pgx.Tracer.
type limits struct{}

type (
	patienceKey struct{}
	cancelKey   struct{}
)

// Patient lifts the limit on how long PostgreSQL may take to answer a statement,
// for work that nobody waits for in a browser: counting all there is takes
// minutes where there is much. It must answer others meanwhile.
func Patient(ctx context.Context) context.Context { return Within(ctx, 0) }

// Impatient sets the usual limit again.
func Impatient(ctx context.Context) context.Context { return Within(ctx, answerTime) }

// Within sets the limit; 0 is none.
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

// isCut tells whether the connection broke off.
func isCut(err error) bool {
	var unconnected *pgconn.ConnectError
	return errors.Is(err, pgconn.ErrConnClosed) || errors.As(err, &unconnected) || pgconn.SafeToRetry(err)
}
