//go:build linux

package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"time"

	"callvault"
	"callvault/account"
	"callvault/archive"
	"callvault/archive/disk"
	"callvault/database"

	"golang.org/x/sync/errgroup"
)

// The contents of an archive for a benchmark: a busy week of a few sites.
const (
	tenants    = 5
	firstStart = 1_767_571_200_000 // 2026-01-05T00:00:00Z
	week       = 7 * 24 * 3600 * 1000
	lastStart  = firstStart + week
)

// place is a data folder, and the URL of its database if that is not in the folder.
type place struct{ dir, database string }

// loaded is an archive made for a benchmark.
type loaded struct {
	place
	key        string // the key of a user who may read everything
	recordings []callvault.Recording
}

// load makes a data folder and fills it. No limit gets in the way, but egress is counted
// against one.
func (b *bench) load(ctx context.Context, name string, fill func(*loading) error) (*loaded, error) {
	return b.loadInto(ctx, place{dir: filepath.Join(b.dir, name)}, fill)
}

func (b *bench) loadInto(ctx context.Context, at place, fill func(*loading) error) (*loaded, error) {
	l := &loading{loaded: loaded{place: at}, ctx: ctx}
	known := at.database
	if known == "" {
		known = filepath.Join(at.dir, "callvault.db")
	}
	var err error
	if l.db, err = database.Open(ctx, known); err != nil {
		return nil, err
	}
	defer l.db.Close()
	blobs, err := disk.Open(filepath.Join(l.dir, "audio"))
	if err != nil {
		return nil, err
	}
	defer blobs.Close()
	if l.archive, err = archive.New(ctx, l.db, blobs); err != nil {
		return nil, err
	}
	accounts, limit := account.New(l.db), int64(1)<<60
	for i := range tenants {
		tenant := callvault.Tenant{Name: tenantName(i), EgressOverride: &limit}
		if err := accounts.AddTenant(ctx, tenant, time.Now()); err != nil {
			return nil, err
		}
	}
	user := callvault.ServiceUser{
		Name: "bench", Grant: callvault.Grant{AllTenants: true}, Can: []callvault.Capability{callvault.Read}, Enabled: true,
	}
	if l.key, err = accounts.AddUser(ctx, user, time.Now()); err != nil {
		return nil, err
	}
	if err := fill(l); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	return &l.loaded, nil
}

// serve starts callvault on the data folder, with its request log in a file.
func (b *bench) serve(ctx context.Context, l *loaded) (*process, error) {
	return b.start(ctx, "callvault", func(address string) (*exec.Cmd, error) {
		return exec.Command(b.callvault, "serve", "--data", l.dir, "--listen", address), nil
	})
}

type loading struct {
	loaded
	ctx     context.Context
	db      *database.DB
	archive *archive.Archive
}

func tenantName(i int) string { return fmt.Sprintf("site-%02d-ns", i) }

// The lengths of recordings, in milliseconds: 97 KB of audio on average.
const (
	shortest = 20_000
	longest  = 152_000
)

// recording makes up the ith of n recordings, the same one every time.
func recording(i, n int) callvault.Recording {
	random := rand.New(rand.NewPCG(uint64(i), 2))
	r := callvault.Recording{
		StartTime: firstStart + int64(i)*week/int64(n), Duration: shortest + random.Int64N(longest-shortest),
		EventID: int64(1_000_000 + i), RecordingSystemID: 1, Status: callvault.Saved,
		CallingParty: fmt.Sprintf("+1801555%04d", random.IntN(10_000)), ReceivingParty: fmt.Sprintf("%d", 200+random.IntN(100)),
		TenantName: tenantName(random.IntN(tenants)), CallDirection: "INBOUND",
		Skill: []string{"Sales", "Support", "Billing"}[random.IntN(3)], Agent: fmt.Sprintf("Agent %d(%d)", i%40, 200+i%40),
	}
	r.Size = r.Duration
	identity := fmt.Sprintf("%08x-0000-4000-8000-%012x", random.Uint32(), i)
	r.RecordingKey = fmt.Sprintf("%s-%d", identity, r.StartTime)
	r.CallKey = fmt.Sprintf("%s-%d-%d", identity, r.StartTime, r.StartTime+r.Duration)
	return r
}

// withAudio keeps n recordings with audio, as uploads would.
func (l *loading) withAudio(n int) error {
	l.recordings = make([]callvault.Recording, n)
	var group errgroup.Group
	group.SetLimit(64) // recordings that arrive together are synced together
	for i := range n {
		group.Go(func() error {
			r := recording(i, n)
			spool, err := l.archive.NewSpool()
			if err != nil {
				return err
			}
			if err := writeNoise(spool, uint64(i), int(r.Duration/60)); err != nil {
				spool.Discard()
				return err
			}
			sound, err := spool.Finish()
			if err != nil {
				return err
			}
			entry, _, err := l.archive.Keep(l.ctx, &archive.Intake{
				Recording: r, Audio: sound, UploadSHA256: sound.SHA256, Source: "bench", Added: time.UnixMilli(r.StartTime),
			})
			if err == nil {
				l.recordings[i] = entry.Recording
			}
			return err
		})
	}
	return group.Wait()
}

// rowsOnly writes the rows of n recordings and their calls, without any files: lists need
// none, and 600,000 files would take a quarter of an hour.
func (l *loading) rowsOnly(n int) error {
	const batch = 1000 // in one transaction; each recording changes its tenant's row of counts, whose former versions PostgreSQL keeps until the end
	for from := 0; from < n; from += batch {
		err := l.db.Tx(l.ctx, func(tx *sql.Tx) error {
			for i := from; i < min(from+batch, n); i++ {
				r := recording(i, n)
				if err := l.addRow(tx, &r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addRow writes the rows of a recording and its call.
func (l *loading) addRow(tx *sql.Tx, r *callvault.Recording) error {
	_, err := tx.ExecContext(l.ctx, `INSERT INTO recordings (tenant, start_ms, recording_key, call_key, status,
		agent, skill, json, bytes, audio_ms, sha256, upload_sha256, path, added_ms, read_ms)
		VALUES ($1, $2, $3, $4, 'SAVED', $5, $6, $7, $8, 0, $9, $9, $3, $2, 0)`,
		r.TenantName, r.StartTime, r.RecordingKey, r.CallKey, r.Agent, r.Skill, string(r.AppendJSON(nil)), r.Size, []byte{})
	if err != nil {
		return err
	}
	call := callvault.CallOf(r)
	_, err = tx.ExecContext(l.ctx, `INSERT INTO calls (tenant, start_ms, call_key, given, json, lead_ms, reach_ms, updated_ms)
		VALUES ($1, $2, $3, false, $4, 0, 0, $2)`, r.TenantName, r.StartTime, r.CallKey, string(call.AppendJSON(nil)))
	return err
}
