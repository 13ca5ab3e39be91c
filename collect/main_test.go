package collect_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callvault/archive"
	"callvault/archive/disk"
	"callvault/client"
	"callvault/collect"
	"callvault/database"
	"callvault/database/databasetest"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := collectInChild(dir, os.Getenv(childURL)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// vault is a data folder with a collector.
type vault struct {
	*collect.Collector
	dir        string
	db         *database.DB
	archive    *archive.Archive
	quarantine *disk.Store
	close      func()
}

// tempDir makes a folder, on a disk that syncs quickly if there is one.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "callvault-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// open opens a data folder, which the caller closes.
func open(ctx context.Context, dir string) (*vault, error) {
	db, err := database.Open(ctx, databasetest.Place(filepath.Join(dir, "callvault.db")))
	if err != nil {
		return nil, err
	}
	blobs, err := disk.Open(filepath.Join(dir, "audio"))
	if err != nil {
		return nil, err
	}
	quarantine, err := disk.Open(filepath.Join(dir, "quarantine"))
	if err != nil {
		return nil, err
	}
	a, err := archive.New(ctx, db, blobs)
	if err != nil {
		return nil, err
	}
	v := &vault{dir: dir, db: db, archive: a, quarantine: quarantine}
	v.close = func() { quarantine.Close(); blobs.Close(); db.Close() }
	v.Collector = collect.New(collect.Config{
		DB: db, Archive: a, Quarantine: quarantine, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		EnsureTenants: func(context.Context, []string) error { return nil },
	})
	return v, nil
}

// newVault opens a new data folder and closes it at the end of the test, or of the
// bubble.
func newVault(t *testing.T, dir string) *vault {
	t.Helper()
	v, err := open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		v.checkTallies(t)
		v.close()
	})
	return v
}

// checkTallies compares the counts that are kept with the items that are there.
func (v *vault) checkTallies(t *testing.T) {
	t.Helper()
	const (
		kept    = `SELECT tenant, standing, doubtful, changed, vanished, recordings, bytes FROM tallies WHERE recordings <> 0 OR bytes <> 0`
		counted = `SELECT tenant, CASE WHEN state <> 'noted' THEN state WHEN status = 'PENDING' THEN 'pending' WHEN status LIKE 'DELETED%' THEN 'deleted' ELSE 'noted' END,
			doubt <> '', changed_ms > 0, vanished_ms > 0, count(*), sum(size) FROM items GROUP BY 1, 2, 3, 4, 5`
	)
	for _, query := range []string{kept + ` EXCEPT ` + counted, counted + ` EXCEPT ` + kept} {
		var differ int
		if err := v.db.Reader.QueryRow(`SELECT count(*) FROM (` + query + `) AS differ`).Scan(&differ); err != nil || differ > 0 {
			t.Errorf("%d tallies are not what is there (%v)", differ, err)
		}
	}
}

// from configures a source that is reached without a connection.
func from(t testing.TB, s http.RoundTripper) *collect.Source {
	t.Helper()
	return fromURL(t, "https://source.example", client.WithTransport(s))
}

func fromURL(t testing.TB, url string, options ...client.Option) *collect.Source {
	t.Helper()
	c, err := client.New(url, sourceKey, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return &collect.Source{Name: "acme", Client: c, Pace: collect.DefaultPace, Lookback: collect.DefaultLookback,
		Since: time.Now().Add(-3 * 24 * time.Hour).UnixMilli()}
}

// run does one run to its end.
func (v *vault) run(t *testing.T, s *collect.Source) *collect.Report {
	t.Helper()
	r, err := v.Start(t.Context(), s, collect.Always)
	if err != nil {
		t.Fatal(err)
	}
	report, err := r.Wait(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// complete fails unless the run was complete, without problems.
func complete(t *testing.T, r *collect.Report) {
	t.Helper()
	if r.Result != collect.Complete || len(r.Problems) > 0 || r.Error != "" {
		t.Fatalf("the run is %s %q: %v", r.Result, r.Error, r.Problems)
	}
}

// isHeld reports whether a recording is held with the source's audio.
func (v *vault) isHeld(t *testing.T, r *recording) bool {
	t.Helper()
	entry, err := v.archive.Find(context.Background(), r.TenantName, r.RecordingKey)
	if err != nil || !entry.Held {
		return false
	}
	file, err := v.archive.OpenAudio(context.Background(), entry)
	if err != nil {
		t.Errorf("%s counts as held: %v", r.RecordingKey, err)
		return false
	}
	defer file.Close()
	audio, err := io.ReadAll(file)
	return err == nil && string(audio) == string(r.audio)
}

func (v *vault) allHeld(t *testing.T, s *source) {
	t.Helper()
	for _, r := range s.recordings {
		if r.Status.HasAudio() && !v.isHeld(t, r) {
			t.Errorf("%s of %s is not held", r.RecordingKey, r.TenantName)
		}
	}
}

// status returns the status of the tenant with that name.
func (v *vault) status(t *testing.T, s *collect.Source, tenant string) collect.TenantStatus {
	t.Helper()
	all, err := v.TenantStatuses(context.Background(), s, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if one.Tenant == tenant {
			v.checkGlance(t, s, &one)
			return one
		}
	}
	t.Fatalf("no tenant %s", tenant)
	return collect.TenantStatus{}
}

// checkGlance compares the glance at a tenant with its status.
func (v *vault) checkGlance(t *testing.T, s *collect.Source, long *collect.TenantStatus) {
	t.Helper()
	glances, err := v.Glances(context.Background(), &collect.GlanceQuery{Source: s, Include: func(name string) bool { return name == long.Tenant }}, time.Now())
	if err != nil || len(glances) != 1 {
		t.Fatalf("%+v, %v, want one tenant", glances, err)
	}
	if diff := cmp.Diff(glanceOf(long), glances[0]); diff != "" {
		t.Errorf("a glance tells otherwise than the status (-status +glance): %s", diff)
	}
}

// glanceOf returns the glance that a tenant's status implies.
func glanceOf(long *collect.TenantStatus) collect.Glance {
	return collect.Glance{Tenant: long.Tenant, Source: long.Source, State: long.State, Due: long.Due, Quarantined: long.Quarantined,
		Denied: long.Denied, Missing: long.Missing, ClosedUntil: long.ClosedUntil, LastCompleteAt: long.LastCompleteAt}
}

// reasonOf returns the reason why the report says that a recording is not held.
func reasonOf(r *collect.Report, key string) string {
	for _, p := range r.Problems {
		if p.Key == key {
			return p.Reason
		}
	}
	return ""
}

func problems(r *collect.Report) string {
	var lines []string
	for _, p := range r.Problems {
		lines = append(lines, fmt.Sprintf("%s %s: %s", p.Tenant, p.Key, p.Reason))
	}
	return strings.Join(lines, "\n")
}

func ago(d time.Duration) time.Time { return time.Now().Add(-d) }

// execute writes to the database without the collector.
func execute(v *vault, query string, args ...any) error {
	return v.db.Tx(context.Background(), func(tx *sql.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
}
