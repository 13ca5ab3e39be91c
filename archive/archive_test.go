package archive_test

import (
	"os"
	"path/filepath"
	"testing"

	"callvault/archive"
	"callvault/archive/archivetest"
	"callvault/archive/disk"
	"callvault/archive/s3"
	"callvault/archive/s3/s3test"
	"callvault/database"
	"callvault/database/databasetest"

	_ "modernc.org/sqlite"
)

func TestSQLiteAndDisk(t *testing.T) {
	archivetest.Run(t, func(t *testing.T) archivetest.Fixture {
		dir := t.TempDir()
		blobs := openDisk(t, dir)
		t.Cleanup(func() { nothingStaged(t, dir) })
		f := archivetest.Fixture{
			Blobs: blobs,
			Open: func(t *testing.T, blobs archive.Blobs) *archive.Archive {
				return openArchive(t, filepath.Join(dir, "callvault.db"), blobs)
			},
			Fresh: func(t *testing.T) *archive.Archive {
				return openArchive(t, filepath.Join(t.TempDir(), "callvault.db"), blobs)
			},
		}
		f.Archive = f.Open(t, blobs)
		return f
	})
}

func TestSQLiteAndS3(t *testing.T) {
	server := s3test.Start(t)
	archivetest.Run(t, func(t *testing.T) archivetest.Fixture {
		dir, blobs := t.TempDir(), openS3(t, server)
		f := archivetest.Fixture{
			Blobs: blobs,
			Open: func(t *testing.T, blobs archive.Blobs) *archive.Archive {
				return openArchive(t, filepath.Join(dir, "callvault.db"), blobs)
			},
			Fresh: func(t *testing.T) *archive.Archive {
				return openArchive(t, filepath.Join(t.TempDir(), "callvault.db"), blobs)
			},
		}
		f.Archive = f.Open(t, blobs)
		return f
	})
}

// openS3 opens a new bucket.
func openS3(t *testing.T, server *s3test.Server) *s3.Store {
	t.Helper()
	place, err := s3.ParseLocation(server.Bucket(t))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := s3.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	return blobs
}

func TestPostgreSQLAndDisk(t *testing.T) {
	archivetest.Run(t, func(t *testing.T) archivetest.Fixture {
		dir, place := t.TempDir(), databasetest.PostgreSQL(t)
		blobs := openDisk(t, dir)
		t.Cleanup(func() { nothingStaged(t, dir) })
		f := archivetest.Fixture{
			Blobs: blobs,
			Open: func(t *testing.T, blobs archive.Blobs) *archive.Archive {
				return openArchive(t, place, blobs)
			},
			Fresh: func(t *testing.T) *archive.Archive {
				return openArchive(t, databasetest.PostgreSQL(t), blobs)
			},
		}
		f.Archive = f.Open(t, blobs)
		return f
	})
}

func openDisk(t *testing.T, dir string) *disk.Store {
	t.Helper()
	blobs, err := disk.Open(filepath.Join(dir, "audio"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	return blobs
}

func openArchive(t *testing.T, path string, blobs archive.Blobs) *archive.Archive {
	t.Helper()
	db, err := database.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	a, err := archive.New(t.Context(), db, blobs)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// nothingStaged checks that no staged file is left.
func nothingStaged(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "audio", ".staging", "*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("staged files were left: %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "audio", ".staging")); err != nil {
		t.Error(err)
	}
}
