package meter

import (
	"cmp"
	"context"
	"slices"
)

// reserving is a reservation to be made, and the outcome.
type reserving struct {
	charge
	bytes int64
	limit *int64 // of the tenant; nil where there is none
	fits  bool
	err   error
}

// reserveAll reserves egress for downloads that begin together. It sorts them, so that
// no two processes deadlock.
func (m *Shared) reserveAll(ctx context.Context, group []*reserving) {
	slices.SortFunc(group, func(a, b *reserving) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.epoch, b.epoch))
	})
	err := m.reserveSorted(ctx, group)
	for _, r := range group {
		r.err = err
	}
}

func (m *Shared) reserveSorted(ctx context.Context, group []*reserving) error {
	var all charges
	var bytes []int64
	var limits []*int64
	byID := make(map[int64]*reserving, len(group))
	for _, r := range group {
		all.add(&r.charge)
		bytes, limits, byID[r.id] = append(bytes, r.bytes), append(limits, r.limit), r
	}
	rows, err := m.db.QueryContext(ctx, `SELECT reserve_together($1, $2, $3, $4, $5, $6, $7)`,
		all.ids, all.tenants, all.epochs, bytes, limits, all.at, holdTime.Milliseconds())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		if r := byID[id]; r != nil {
			r.fits = true
		}
	}
	return rows.Err()
}

// charge is a reservation, and later its end with the bytes that were sent. at is when
// it was made or ended, in Unix milliseconds; 0 is the database's now.
type charge struct {
	id     int64
	tenant string
	epoch  int64
	sent   int64
	at     int64
	tried  bool // to write it; guarded by Shared.settling
}

// charges are many charges, as the arrays that statements take.
type charges struct {
	ids, epochs, sent, at []int64
	tenants               []string
}

func (all *charges) add(c *charge) {
	all.ids, all.tenants, all.epochs = append(all.ids, c.id), append(all.tenants, c.tenant), append(all.epochs, c.epoch)
	all.sent, all.at = append(all.sent, c.sent), append(all.at, c.at)
}
