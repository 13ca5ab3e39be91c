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

// A patient statement may take long, but not from a server that stands still: it is
// looked after lookTime, and again, whether PostgreSQL answers anybody, and ended when it
// has not for stillTime.
var (
	lookTime  = 30 * time.Second
	stillTime = time.Minute
)

// patient is the context of a patient statement.
type patient struct {
	context.Context
	cancel context.CancelFunc
	conn   *pgx.Conn
	still  atomic.Bool // PostgreSQL stands still

	mu       sync.Mutex
	look     *time.Timer // nil when the statement is over
	answered time.Time
}

// watchOver begins to watch over a statement of the connection.
func watchOver(ctx context.Context, conn *pgx.Conn) *patient {
	p := &patient{conn: conn, answered: time.Now()}
	p.Context, p.cancel = context.WithCancel(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look = time.AfterFunc(lookTime, p.ask)
	return p
}

// Err implements context.Context: a server that stands still is a deadline that passed.
func (p *patient) Err() error {
	if err := p.Context.Err(); err == nil || !p.still.Load() {
		return err
	}
	return context.DeadlineExceeded
}

// ask asks whether PostgreSQL answers, with a connection of its own.
func (p *patient) ask() {
	answers := p.answers()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.look == nil:
	case answers:
		p.answered = time.Now()
		p.look.Reset(lookTime)
	case time.Since(p.answered) < stillTime:
		p.look.Reset(lookTime)
	default:
		p.still.Store(true)
		p.cancel()
	}
}

// answers tells whether PostgreSQL answers. That it takes no more connections is an
// answer too.
func (p *patient) answers() bool {
	config := p.conn.Config()
	config.Tracer = nil
	conn, err := pgx.ConnectConfig(p.Context, config)
	if err != nil {
		return errors.As(err, new(*pgconn.PgError))
	}
	ctx, cancel := context.WithTimeout(p.Context, wordTime)
	defer cancel()
	_ = conn.Close(ctx) // it has answered
	return true
}

// over ends the watch.
func (p *patient) over() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look.Stop()
	p.look = nil
	p.cancel()
}

// unanswered says of a statement that was given up before ctx ended what that means.
func unanswered(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("the database does not answer: %w", err)
}
