package archive_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/archive/archivetest"
	"callvault/archive/disk"
	"callvault/database"
)

// keeperDir is the environment variable that tells the test binary, run as a child, in which
// folder to keep recordings.
const keeperDir = "CALLVAULT_TEST_KEEPER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(keeperDir); dir != "" {
		if err := keepUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// keepUntilKilled keeps recordings from several goroutines and prints the key of each once
// it is acknowledged. Every third was pending before, on another day.
func keepUntilKilled(dir string) error {
	ctx := context.Background()
	db, err := database.Open(ctx, filepath.Join(dir, "callvault.db"))
	if err != nil {
		return err
	}
	blobs, err := disk.Open(filepath.Join(dir, "audio"))
	if err != nil {
		return err
	}
	a, err := archive.New(ctx, db, blobs)
	if err != nil {
		return err
	}
	errs := make(chan error)
	for worker := range 6 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, i)
				if i%3 == 0 {
					if err := keepOne(ctx, a, key, nil); err != nil {
						errs <- err
					}
				}
				if err := keepOne(ctx, a, key, opusOf(key)); err != nil {
					errs <- err
				}
				fmt.Println(key)
			}
		}()
	}
	return <-errs
}

// opusOf returns the audio of a recording, which follows from its key.
func opusOf(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return archivetest.Opus(int(sum[0])<<16+int(sum[1])<<8+int(sum[2]), time.Duration(1+sum[3]%20)*time.Second)
}

func keepOne(ctx context.Context, a *archive.Archive, key string, opus []byte) error {
	in := &archive.Intake{Source: "test", Added: time.Now(), Recording: callvault.Recording{
		RecordingKey: key, CallKey: "c", TenantName: "acme-ns", StartTime: 1707739200000, Status: callvault.Pending,
	}}
	if opus != nil {
		in.Recording.Status = callvault.Saved
		in.Recording.StartTime += 24 * 60 * 60 * 1000
		spool, err := a.NewSpool()
		if err != nil {
			return err
		}
		if _, err := spool.Write(opus); err != nil {
			return err
		}
		if in.Audio, err = spool.Finish(); err != nil {
			return err
		}
	}
	_, _, err := a.Keep(ctx, in)
	return err
}

// What was acknowledged is held, even after the database is rebuilt from the files. What was
// not acknowledged is whole, or is not listed as held.
func TestKilledAtAnyMoment(t *testing.T) {
	const rounds = 25
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for range rounds {
		keepAndKill(t, dir, acknowledged)
	}
	if len(acknowledged) < rounds {
		t.Fatalf("only %d recordings were acknowledged in %d rounds", len(acknowledged), rounds)
	}
	blobs := openDisk(t, dir)
	survived := openArchive(t, filepath.Join(dir, "callvault.db"), blobs)
	allHeld(t, survived, acknowledged)
	strays := faultsOf(t, survived)
	rebuilt := openArchive(t, filepath.Join(t.TempDir(), "callvault.db"), blobs)
	for _, a := range []*archive.Archive{rebuilt, survived} {
		if _, err := a.Rebuild(t.Context(), time.Now(), func(archive.Rebuilt) {}); err != nil {
			t.Fatal(err)
		}
		allHeld(t, a, acknowledged)
	}
	t.Logf("%d recordings acknowledged in %d rounds, %d strays", len(acknowledged), rounds, strays)
}

// keepAndKill runs the keeper, kills it after a moment, and records what it acknowledged.
func keepAndKill(t *testing.T, dir string, acknowledged map[string]bool) {
	t.Helper()
	keeper := exec.Command(os.Args[0])
	keeper.Env = append(os.Environ(), keeperDir+"="+dir)
	var complaints strings.Builder
	keeper.Stderr = &complaints
	out, err := keeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	for lines := bufio.NewScanner(out); lines.Scan(); {
		acknowledged[lines.Text()] = true
		once.Do(func() {
			time.AfterFunc(time.Duration(rand.IntN(80_000))*time.Microsecond, func() { keeper.Process.Kill() })
		})
	}
	keeper.Wait()
	if complaints.Len() > 0 {
		t.Fatal(complaints.String())
	}
}

func allHeld(t *testing.T, a *archive.Archive, keys map[string]bool) {
	t.Helper()
	for key := range keys {
		entry, err := a.Find(t.Context(), "acme-ns", key)
		if err != nil || !entry.Held || entry.SHA256 != sha256.Sum256(opusOf(key)) {
			t.Errorf("%s was acknowledged: %+v, %v", key, entry, err)
		}
	}
}

// faultsOf checks that everything listed as held is whole, and counts the strays.
func faultsOf(t *testing.T, a *archive.Archive) (strays int) {
	t.Helper()
	for checked, err := range a.Verify(t.Context(), archive.Selection{Span: callvault.Span{To: math.MaxInt64}}, time.Now()) {
		if err != nil {
			t.Fatal(err)
		}
		if checked.Bytes > 0 && checked.Fault != "" {
			t.Errorf("%s: %s", checked.RecordingKey, checked.Fault)
		}
		if checked.Bytes == 0 {
			strays++
		}
	}
	return strays
}
