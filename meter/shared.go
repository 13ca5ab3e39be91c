package meter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"callvault"
	"callvault/database"
)

// Shared keeps the windows and ledgers of many processes in PostgreSQL, where each
// decision is one statement. It decides by the database's clock and ignores the time
// that callers pass, which may differ between machines. Its methods may be called
// concurrently. Run must run while they are in use.
type Shared struct {
	db     *sql.DB
	opened time.Time
	// callersClock makes it decide by the time that callers pass, for tests.
	callersClock bool

	asking    *database.Batcher[*decision]
	reserving *database.Batcher[*reserving]

	mu        sync.Mutex
	counts    map[string]*Counts // as in Memory
	running   map[int64]charge   // reservations of downloads in progress
	unsettled []*charge          // of downloads that have ended; not written yet
	swept     time.Time

	settling sync.Mutex // held while existing reservations are changed
}

// If a process stops renewing its reservations, such as after a crash, they stand for
// holdTime. Until then what they reserve counts as sent.
const (
	holdTime  = time.Minute
	renewTime = 15 * time.Second
)

// NewShared returns the meter of a shared database.
func NewShared(db *database.DB) *Shared {
	m := &Shared{db: db.Relaxed, opened: time.Now(), counts: map[string]*Counts{}, running: map[int64]charge{}}
	m.asking, m.reserving = database.NewBatcher(m.decideAll), database.NewBatcher(m.reserveAll)
	return m
}

// clock is the time by which statements decide, in Unix milliseconds: $2, or the
// database's time if that is 0.
const clock = `coalesce(nullif(CAST($2 AS BIGINT), 0), clock_ms())`

// at is that $2.
func (m *Shared) at(now time.Time) int64 {
	if m.callersClock {
		return now.UnixMilli()
	}
	return 0
}

// admit is Window.Admit in SQL, for distinct subjects. It returns a row for each subject
// whose request passes. It reads a window only once its row is locked, so that each of
// many concurrent requests sees the one before it.
const admit = `INSERT INTO request_windows AS w (subject, first_ms, second_ms, third_ms)
	SELECT one, 0, 0, ` + clock + ` FROM unnest(CAST($1 AS TEXT[])) AS one
	ON CONFLICT (subject) DO UPDATE
	SET first_ms = least(w.second_ms, ` + clock + `), second_ms = least(w.third_ms, ` + clock + `), third_ms = ` + clock + `
	WHERE w.first_ms = 0 OR ` + clock + ` - w.first_ms >= 10000
	OR (w.second_ms - w.first_ms >= 2750 AND w.third_ms - w.second_ms >= 2750 AND ` + clock + ` - w.third_ms >= 2750)
	RETURNING subject, first_ms, second_ms, third_ms, third_ms`

// refused reads the windows of the refused requests, and the time.
const refused = `SELECT subject, first_ms, second_ms, third_ms, ` + clock + ` FROM request_windows WHERE subject = ANY($1)`

// Admit decides on a request that counts against subject, as Memory.Admit does.
func (m *Shared) Admit(ctx context.Context, subject string, now time.Time) (Standing, error) {
	for range 3 {
		d := &decision{subject: subject, at: m.at(now)}
		m.asking.Do(ctx, d)
		err := d.err
		if err == nil && d.window[2] > d.ms {
			err = m.bringBack(ctx, d)
		}
		if err != nil {
			return Standing{}, fmt.Errorf("request window of %s: %w", subject, err)
		}
		if d.passes {
			m.count(subject, func(c *Counts) { c.Passed++ })
			return d.window.Standing(d.ms), nil
		}
		if opens := d.window.Opens(d.ms); opens > d.ms {
			m.count(subject, func(c *Counts) { c.TooMany++ })
			wait := callvault.Wait{Code: callvault.TooManyRequests, For: time.Duration(opens-d.ms) * time.Millisecond}
			return d.window.Standing(d.ms), refusedRequest{subject, wait}
		}
	}
	return Standing{}, fmt.Errorf("request window of %s changes too fast: %w", subject, callvault.Unavailable)
}

// bringBack moves to now what a window accepted later than now, left by a clock that
// jumped back.
func (m *Shared) bringBack(ctx context.Context, d *decision) error {
	_, err := m.db.ExecContext(ctx, `UPDATE request_windows SET first_ms = least(first_ms, $2), second_ms = least(second_ms, $2),
		third_ms = least(third_ms, $2) WHERE subject = $1`, d.subject, d.ms)
	d.window = d.window.seen(d.ms)
	return err
}

func (m *Shared) count(subject string, raise func(*Counts)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.counts[subject]
	if c == nil {
		c = &Counts{}
		m.counts[subject] = c
	}
	raise(c)
}

// Counts returns the counts of a tenant's requests, like Memory.Counts, but only of those
// to this process.
func (m *Shared) Counts(_ context.Context, tenant string) (all Counts, since time.Time) {
	m.count("tenant/"+tenant, func(c *Counts) { all = *c })
	m.count(tenant, func(c *Counts) { all.NoRoom = c.NoRoom })
	return all, m.opened
}

// Reserve reserves bytes for a download, like Memory.Reserve, across all processes.
func (m *Shared) Reserve(ctx context.Context, tenant *callvault.Tenant, bytes int64, now time.Time) (*Reservation, error) {
	r := &reserving{charge: charge{id: rand.Int64(), tenant: tenant.Name, epoch: tenant.UsageEpoch, at: m.at(now)}, bytes: max(0, bytes)}
	if most, limited := tenant.EgressLimit(); limited {
		r.limit = &most
	}
	m.reserving.Do(ctx, r)
	if r.err != nil {
		return nil, fmt.Errorf("egress of %s: %w", tenant.Name, r.err)
	}
	if !r.fits {
		return nil, m.refuse(ctx, tenant, r.bytes, now)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running[r.id] = r.charge
	return &Reservation{settle: func(sent int64, now time.Time) { m.settle(r.charge, sent, now) }}, nil
}

// refuse returns the error for a refused reservation.
func (m *Shared) refuse(ctx context.Context, tenant *callvault.Tenant, bytes int64, now time.Time) error {
	l, ms, err := m.ledger(ctx, tenant, now)
	if err != nil {
		return err
	}
	m.count(tenant.Name, func(c *Counts) { c.NoRoom++ })
	limit, _ := tenant.EgressLimit()
	at, fits := l.FreesAt(limit, bytes, ms)
	return refusal{tenant.Name, limit, bytes, max(at, ms+1), fits}.err(ms) // room may have become free in the meantime
}

// ledger reads a tenant's ledger, with its reservations, and the time.
func (m *Shared) ledger(ctx context.Context, tenant *callvault.Tenant, now time.Time) (l *Ledger, ms int64, err error) {
	if l, err = readLedger(ctx, m.db, tenant); err == nil {
		var reserved int64
		err = m.db.QueryRowContext(ctx, `SELECT `+clock+`, coalesce(sum(bytes), 0) FROM reservations
			WHERE tenant = $1 AND epoch = $3 AND until_ms > `+clock, tenant.Name, m.at(now), tenant.UsageEpoch).Scan(&ms, &reserved)
		l.Reserve(reserved)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("egress of %s: %w", tenant.Name, err)
	}
	return l, ms, nil
}

// settle charges a download. Downloads that end while others are being charged wait,
// and are then charged together. What cannot be written now is left to Run.
func (m *Shared) settle(c charge, sent int64, now time.Time) {
	c.sent, c.at = sent, m.at(now)
	m.mu.Lock()
	delete(m.running, c.id)
	m.unsettled = append(m.unsettled, &c)
	m.mu.Unlock()
	m.settling.Lock()
	defer m.settling.Unlock()
	if !c.tried {
		_ = m.write(context.Background()) // Run tries again, and logs the error if that fails
	}
}

// write charges all downloads that are not charged yet. m.settling must be held.
func (m *Shared) write(ctx context.Context) error {
	m.mu.Lock()
	left := m.unsettled
	m.mu.Unlock()
	if len(left) == 0 {
		return nil
	}
	var all charges
	for _, c := range left {
		all.add(c)
		c.tried = true
	}
	_, err := m.db.ExecContext(ctx, `SELECT settle_together($1, $2, $3, $4, $5)`, all.ids, all.tenants, all.epochs, all.sent, all.at)
	if err != nil {
		return fmt.Errorf("charge egress: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unsettled = m.unsettled[len(left):]
	return nil
}

// Hours returns the tenant's audio bytes that count at now, by hour, the oldest first.
// Downloads in progress are not included.
func (m *Shared) Hours(ctx context.Context, tenant *callvault.Tenant, now time.Time) ([]Hour, error) {
	l, err := readLedger(ctx, m.db, tenant)
	if err != nil {
		return nil, fmt.Errorf("egress of %s: %w", tenant.Name, err)
	}
	return l.Hours(now.UnixMilli()), nil
}

// Used returns, for each of the tenants, the audio bytes that count at now. Downloads in
// progress are not included.
func (m *Shared) Used(ctx context.Context, tenants []callvault.Tenant, now time.Time) ([]int64, error) {
	rows, err := m.db.QueryContext(ctx, `SELECT tenant, epoch, CAST(sum(bytes) AS BIGINT) FROM egress WHERE hour >= $1 GROUP BY tenant, epoch`,
		OldestHour(now.UnixMilli()))
	if err != nil {
		return nil, fmt.Errorf("egress of the tenants: %w", err)
	}
	defer rows.Close()
	type of struct {
		tenant string
		epoch  int64
	}
	bytes := map[of]int64{}
	for rows.Next() {
		var one of
		var sum int64
		if err := rows.Scan(&one.tenant, &one.epoch, &sum); err != nil {
			return nil, fmt.Errorf("egress of the tenants: %w", err)
		}
		bytes[one] = sum
	}
	used := make([]int64, len(tenants))
	for i := range tenants {
		used[i] = bytes[of{tenants[i].Name, tenants[i].UsageEpoch}]
	}
	return used, rows.Err()
}

// Usage returns the tenant's egress at now. Downloads in progress are not included.
func (m *Shared) Usage(ctx context.Context, tenant *callvault.Tenant, now time.Time) (Usage, error) {
	l, err := readLedger(ctx, m.db, tenant)
	if err != nil {
		return Usage{}, fmt.Errorf("egress of %s: %w", tenant.Name, err)
	}
	return l.usage(tenant, now.UnixMilli()), nil
}

// Run renews the reservations of this process, writes charges that could not be written
// at once, and now and then deletes what no longer counts, until ctx ends. Then it writes
// once more and returns the error of that.
func (m *Shared) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	renewed, failing := time.Now(), false
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
			defer cancel()
			return m.catchUp(last)
		case now := <-tick.C:
			err := m.catchUp(ctx)
			if now.Sub(renewed) >= renewTime && err == nil {
				err, renewed = errors.Join(m.renew(ctx), m.sweep(ctx, now)), now
			}
			if err != nil && !failing && ctx.Err() == nil {
				slog.WarnContext(ctx, "the meter cannot write to the database, trying again every second", "error", err)
			}
			failing = err != nil
		}
	}
}

// catchUp writes what could not be written at once.
func (m *Shared) catchUp(ctx context.Context) error {
	m.settling.Lock()
	defer m.settling.Unlock()
	return m.write(ctx)
}

// renew extends the reservations of this process.
func (m *Shared) renew(ctx context.Context) error {
	m.settling.Lock()
	defer m.settling.Unlock()
	m.mu.Lock()
	var all charges
	for _, c := range m.running {
		all.add(&c)
	}
	for _, c := range m.unsettled {
		all.add(c)
	}
	m.mu.Unlock()
	if len(all.ids) == 0 {
		return nil
	}
	_, err := m.db.ExecContext(ctx, `UPDATE reservations AS r SET until_ms = clock_ms() + $1
		FROM unnest(CAST($2 AS BIGINT[]), CAST($3 AS TEXT[]), CAST($4 AS BIGINT[])) AS c (id, tenant, epoch)
		WHERE r.tenant = c.tenant AND r.epoch = c.epoch AND r.id = c.id`, holdTime.Milliseconds(), all.ids, all.tenants, all.epochs)
	if err != nil {
		return fmt.Errorf("renew reservations: %w", err)
	}
	return nil
}

// sweep deletes, once an hour, what no longer counts. Expired reservations stay for an
// hour, in case their process comes back and charges them.
func (m *Shared) sweep(ctx context.Context, now time.Time) error {
	if now.Sub(m.swept) < time.Hour {
		return nil
	}
	m.swept = now
	for _, statement := range []string{
		`DELETE FROM request_windows WHERE third_ms < clock_ms() - 3600000`,
		`DELETE FROM reservations WHERE until_ms < clock_ms() - 3600000`,
		`DELETE FROM egress WHERE (hour + 121) * 3600000 < clock_ms()`,
	} {
		if _, err := m.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("sweep the meter: %w", err)
		}
	}
	return nil
}
