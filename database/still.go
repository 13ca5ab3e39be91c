package database

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A patient statement (Patient) may take long, but not because the server hangs. Every
// lookTime a second connection checks whether PostgreSQL answers at all; the statement is
// ended when it has not answered for stillTime.
const (
	lookTime  = 30 * time.Second
	stillTime = time.Minute
)

// pulse holds those two times; tests put others into a context.
type pulse struct{ look, still time.Duration }

type pulseKey struct{}

// patient is the context of a patient statement.
type patient struct {
	context.Context
	cancel context.CancelFunc
	conn   *pgx.Conn
	pulse  pulse
	still  atomic.Bool // PostgreSQL does not answer

	mu       sync.Mutex
	look     *time.Timer // nil when the statement is over
	answered time.Time
}

// watchOver begins to watch over a statement on the connection.
func watchOver(ctx context.Context, conn *pgx.Conn) *patient {
	p := &patient{conn: conn, pulse: pulse{lookTime, stillTime}, answered: time.Now()}
	if given, ok := ctx.Value(pulseKey{}).(pulse); ok {
		p.pulse = given
	}
	p.Context, p.cancel = context.WithCancel(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look = time.AfterFunc(p.pulse.look, p.ask)
	return p
}

// Err implements context.Context: a server that hangs counts as a passed deadline.
func (p *patient) Err() error {
	if err := p.Context.Err(); err == nil || !p.still.Load() {
		return err
	}
	return context.DeadlineExceeded
}

// ask checks whether PostgreSQL answers, and ends the statement if it has not for too
// long.
func (p *patient) ask() {
	answers := p.answers()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.look == nil:
	case answers:
		p.answered = time.Now()
		p.look.Reset(p.pulse.look)
	case time.Since(p.answered) < p.pulse.still:
		p.look.Reset(p.pulse.look)
	default:
		p.still.Store(true)
		p.cancel()
	}
}

// answers reports whether PostgreSQL answers a new connection. That it takes no more
// connections is an answer too.
func (p *patient) answers() bool {
	config := p.conn.Config()
	config.Tracer = nil
	conn, err := pgx.ConnectConfig(p.Context, config)
	if err != nil {
		return errors.As(err, new(*pgconn.PgError))
	}
	ctx, cancel := context.WithTimeout(p.Context, wordTime)
	defer cancel()
	_ = conn.Close(ctx) // PostgreSQL has answered
	return true
}

// over ends the watch when the statement ends.
func (p *patient) over() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look.Stop()
	p.look = nil
	p.cancel()
}

// unanswered explains the error of a statement that was given up though ctx had not ended.
func unanswered(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("the database does not answer: %w", err)
}
