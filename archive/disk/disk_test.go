package disk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/archive/disk"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, dir string) *disk.Store {
	t.Helper()
	s, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func stage(t *testing.T, s *disk.Store, content string) *os.File {
	t.Helper()
	file, err := s.Stage()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(file, content); err != nil {
		t.Fatal(err)
	}
	return file
}

func put(t *testing.T, s *disk.Store, key, content string) {
	t.Helper()
	if err := s.Put(t.Context(), []string{key}, []*os.File{stage(t, s, content)}); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s *disk.Store, key string, size int64) string {
	t.Helper()
	file, err := s.Open(t.Context(), key, size)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	if err != nil {
		t.Error(err)
	}
	return string(content)
}

func keys(t *testing.T, s *disk.Store, prefix string) (list []string) {
	t.Helper()
	for key, err := range s.Keys(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, key)
	}
	return list
}

func staged(t *testing.T, dir string) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, ".staging", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestPutTakesTheOldPlace(t *testing.T) {
	s := open(t, t.TempDir())
	put(t, s, "a/b", "old and longer")
	reader, err := s.Open(t.Context(), "a/b", 14)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	put(t, s, "a/b", "new")
	if got := read(t, s, "a/b", 3); got != "new" {
		t.Errorf("got %q", got)
	}
	if old, err := io.ReadAll(reader); string(old) != "old and longer" || err != nil {
		t.Errorf("an open reader sees %q, %v", old, err)
	}
	if size, err := s.Size(t.Context(), "a/b"); size != 3 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	s := open(t, t.TempDir())
	put(t, s, "a", "four")
	if _, err := s.Open(t.Context(), "b", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	if _, err := s.Size(t.Context(), "b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("size: %v", err)
	}
	if err := s.Delete(t.Context(), "b"); err != nil {
		t.Errorf("delete: %v", err)
	}
	for _, size := range []int64{0, 3, 5} {
		if _, err := s.Open(t.Context(), "a", size); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open as one of %d bytes: %v", size, err)
		}
	}
	if err := s.Delete(t.Context(), "a"); err != nil || len(keys(t, s, "")) > 0 {
		t.Errorf("delete: %v, left %v", err, keys(t, s, ""))
	}
}

func TestKeysStayInTheFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "audio"))
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"", ".", "..", "../secret", "a/../../secret", "/etc/passwd", "a//b", "a/", "/a", "./a", "a/.", ".a", "a/.b", ".staging/x", "a/../b",
	} {
		file := stage(t, s, "x")
		if err := s.Put(t.Context(), []string{key}, []*os.File{file}); err == nil {
			t.Errorf("%q was put", key)
		}
		s.Discard(file)
		if _, err := s.Open(t.Context(), key, 1); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: open: %v", key, err)
		}
		if _, err := s.Size(t.Context(), key); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: size: %v", key, err)
		}
		if err := s.Delete(t.Context(), key); err == nil {
			t.Errorf("%q was deleted", key)
		}
	}
	if left := staged(t, filepath.Join(dir, "audio")); len(left) > 0 {
		t.Errorf("staged: %v", left)
	}
	if _, err := os.Stat(filepath.Join(dir, "secret")); err != nil {
		t.Error(err)
	}
}

func TestKeysComeInOrder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	all := []string{"a/2024/01/x.json", "a/2024/01/x.opus", "a/2024/02/x.opus", "a-b/2024/y.opus", "ab/y.opus", "b"}
	for _, key := range slices.Backward(all) {
		put(t, s, key, "")
	}
	defer s.Discard(stage(t, s, "not a blob yet"))
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".DS_Store", "a/.nfs01", "a/2024/.hidden", "lost+found/#12"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string][]string{
		"": all, "a/": all[:3], "a": all[:5], "a/2024/01/x": all[:2], "a/2024/02/x.opus": all[2:3], "a-": all[3:4], "b": all[5:],
		"c": nil, "a/2024/01/x.opus/": nil, ".staging": nil, "..": nil,
	} {
		if diff := cmp.Diff(want, keys(t, s, prefix)); diff != "" {
			t.Errorf("prefix %q: %s", prefix, diff)
		}
	}
	for key, err := range s.Keys(t.Context(), "") {
		if key != all[0] || err != nil {
			t.Errorf("first %q, %v", key, err)
		}
		break
	}
}

// With a prefix, folders that have no such keys are not read.
func TestKeysSkipFolders(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read every folder")
	}
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "a/x", "")
	put(t, s, "b/x", "")
	if err := os.Chmod(filepath.Join(dir, "b"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(dir, "b"), 0o700)
	if got := keys(t, s, "a/"); !slices.Equal(got, []string{"a/x"}) {
		t.Errorf("got %v", got)
	}
}

func TestKeysFail(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "a", "")
	put(t, s, "b", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range s.Keys(ctx, "") {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("cancelled: %v", last)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	last = nil
	for _, err := range s.Keys(t.Context(), "") {
		last = err
	}
	if !errors.Is(last, fs.ErrNotExist) {
		t.Errorf("a folder that is gone: %v, want an error, unlike a folder without blobs", last)
	}
}

// Many files are synced with one sync of the whole file system.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var names []string
	var files []*os.File
	for i := range 100 {
		names = append(names, fmt.Sprintf("%02d/%d/x", i%20, i))
		files = append(files, stage(t, s, fmt.Sprint(i)))
	}
	if err := s.Put(t.Context(), names, files); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if got := read(t, s, name, int64(len(fmt.Sprint(i)))); got != fmt.Sprint(i) {
			t.Errorf("%s holds %q", name, got)
		}
	}
	if left := staged(t, dir); len(left) > 0 {
		t.Errorf("staged: %v", left)
	}
}

// A Put that fails leaves each blob whole or as it was, and nothing staged.
func TestPutThatFails(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "file", "x")
	if err := os.MkdirAll(filepath.Join(dir, "folder", "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, second := range []string{"file/below", "folder", "../out"} {
		files := []*os.File{stage(t, s, "1"), stage(t, s, "2"), stage(t, s, "3")}
		if err := s.Put(t.Context(), []string{"first", second, "third"}, files); err == nil {
			t.Errorf("%s was put", second)
		}
		for _, file := range files {
			s.Discard(file)
		}
		if left := staged(t, dir); len(left) > 0 {
			t.Errorf("%s: staged: %v", second, left)
		}
		if diff := cmp.Diff([]string{"file", "first"}, keys(t, s, "")); diff != "" {
			t.Errorf("%s: %s", second, diff)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := stage(t, s, "x")
	if err := s.Put(ctx, []string{"late"}, []*os.File{file}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	s.Discard(file)
}

func TestDiscardLeavesBlobs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	file := stage(t, s, "kept")
	if err := s.Put(t.Context(), []string{"a"}, []*os.File{file}); err != nil {
		t.Fatal(err)
	}
	s.Discard(file)
	s.Discard(stage(t, s, "given up"))
	if got := read(t, s, "a", 4); got != "kept" {
		t.Errorf("got %q", got)
	}
	if left := staged(t, dir); len(left) > 0 {
		t.Errorf("staged: %v", left)
	}
	if free, err := s.Free(); err != nil && !errors.Is(err, errors.ErrUnsupported) || err == nil && free <= 0 {
		t.Errorf("free: %d, %v", free, err)
	}
}

// stagerDir is the environment variable that tells the test binary, run as a child, in which
// folder to stage a file.
const stagerDir = "CALLVAULT_TEST_STAGER_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(stagerDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := disk.Open(dir)
	if err == nil {
		_, err = s.Stage()
	}
	fmt.Println(err)
	time.Sleep(time.Hour) // until it is killed
	runtime.KeepAlive(s)  // whose lock ends with it
}

// What killed processes have staged is removed. A process that is still running keeps what
// it has staged, however long ago.
func TestStagingOfKilledProcesses(t *testing.T) {
	dir := t.TempDir()
	alive := open(t, dir)
	defer alive.Discard(stage(t, alive, "mine"))
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), stagerDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 6)
	if _, err := io.ReadFull(out, said); err != nil || strings.TrimSpace(string(said)) != "<nil>" {
		t.Fatalf("the child said %q, %v", said, err)
	}
	age(t, dir)
	open(t, dir)
	if left := staged(t, dir); len(left) != 2 {
		t.Errorf("with both alive: %v", left)
	}
	child.Process.Kill()
	child.Wait()
	open(t, dir)
	if left := staged(t, dir); len(left) != 1 {
		t.Errorf("with one killed: %v", left)
	}
	put(t, alive, "a", "still at work")
}

// A folder that is gone, as after its disk was unmounted, is unavailable. It is not taken
// for a folder without blobs.
func TestFolderGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audio")
	s := open(t, dir)
	put(t, s, "a", "here")
	if _, err := s.Size(t.Context(), "b"); !errors.Is(err, fs.ErrNotExist) || s.Ready(t.Context()) != nil {
		t.Fatalf("none: %v; %v", err, s.Ready(t.Context()))
	}
	before := stage(t, s, "staged before")
	if err := errors.Join(os.Rename(dir, dir+".away"), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	_, opened := s.Open(t.Context(), "a", 4)
	_, sized := s.Size(t.Context(), "a")
	_, stagedNow := s.Stage()
	put := s.Put(t.Context(), []string{"c/d"}, []*os.File{before})
	var listed error
	for _, err := range s.Keys(t.Context(), "") {
		listed = err
	}
	for what, err := range map[string]error{
		"open": opened, "size": sized, "stage": stagedNow, "put": put, "keys": listed, "ready": s.Ready(t.Context()),
	} {
		var store interface{ Unavailable() bool }
		if !errors.As(err, &store) || !store.Unavailable() || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("away: %s: %v", what, err)
		}
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+".away", dir)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, "a", 4); got != "here" || s.Ready(t.Context()) != nil {
		t.Errorf("back: %q, %v", got, s.Ready(t.Context()))
	}
}

// age makes the staging folders old enough to be removed.
func age(t *testing.T, dir string) {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(dir, ".staging", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		old := time.Now().Add(-25 * time.Hour)
		if err := os.Chtimes(folder, old, old); err != nil {
			t.Fatal(err)
		}
	}
}
