package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/audio"
)

// maxSidecar is the maximum size of a KEY.json, in bytes.
const maxSidecar = 16 << 20

// File adds a file to a tenant's recordings. If the tenant has the same audio already,
// under whatever name, the outcome is archive.Unchanged, unless the metadata gives the
// file a key of its own.
func (t *Intake) File(ctx context.Context, tenant *callvault.Tenant, file *File) (archive.Outcome, error) {
	about, err := file.metadata(tenant)
	if err != nil {
		return archive.Unchanged, err
	}
	if file.noAudio {
		return t.keepWithoutAudio(ctx, tenant, file, about)
	}
	opened, err := os.Open(file.Path)
	if err != nil {
		return archive.Unchanged, err
	}
	defer opened.Close()
	if err := awaitEnd(ctx, opened); err != nil {
		return archive.Unchanged, err
	}
	raw := stoppable{ctx, opened}
	sum, err := hashFile(raw)
	if err != nil {
		return archive.Unchanged, err
	}
	// Files with a key take a turn too: the same audio without a key must wait for them.
	end, err := t.takeTurn(ctx, string(sum[:]))
	if err != nil {
		return archive.Unchanged, err
	}
	defer end()
	if about.known.RecordingKey == "" {
		there, err := t.isThere(ctx, tenant.Name, sum, about)
		if there || err != nil {
			return archive.Unchanged, err
		}
	}
	known, err := t.known(ctx, tenant.Name, about.known.RecordingKey)
	if err != nil {
		return archive.Unchanged, err
	}
	converted, err := t.encode(ctx, known, raw, sum)
	if err != nil {
		return archive.Unchanged, err
	}
	about.from = sum
	in := &archive.Intake{Audio: converted, UploadSHA256: sum, Source: "import", Added: time.Now()}
	if err := about.complete(in, tenant.Name, file.Path); err != nil {
		t.archive.Discard(in)
		return archive.Unchanged, err
	}
	_, outcome, err := t.archive.Keep(ctx, in)
	return outcome, err
}

// isThere reports whether the tenant has audio with the hash sum. If it had, but the file
// is lost, isThere sets about.known to that recording, so that it is restored.
func (t *Intake) isThere(ctx context.Context, tenant string, sum [sha256.Size]byte, about *about) (bool, error) {
	found, err := t.archive.FindUpload(ctx, tenant, sum)
	if errors.Is(err, callvault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	lost, err := t.archive.Lost(ctx, found)
	if lost {
		about.known = found.Recording
	}
	return !lost, err
}

// stoppable is a file that cannot be read further once its context has ended. Encoding
// hours of sound takes minutes, for which Ctrl-C must not wait.
type stoppable struct {
	ctx context.Context
	io.ReadSeeker
}

// Read implements [io.Reader].
func (s stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.ReadSeeker.Read(p)
}

// quiet is how long nothing must have been written to a file that may be growing before
// it counts as complete: Asterisk writes two seconds of sound at a time.
const quiet = 3 * time.Second

// awaitEnd returns an error if a file is still being written. Only a WAV whose header
// leaves open how long it is can look complete before it is.
func awaitEnd(ctx context.Context, file *os.File) error {
	wav, err := audio.OpenWAV(file)
	growing := err == nil && wav.Endless()
	if _, err := file.Seek(0, io.SeekStart); err != nil || !growing {
		return err // a faulty WAV is reported when it is converted
	}
	before, err := file.Stat()
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(quiet, quiet-time.Since(before.ModTime()))):
	}
	after, err := file.Stat()
	if err == nil && after.Size() != before.Size() {
		err = fmt.Errorf("it is still being written: it grew from %d to %d bytes; import it again when it is complete", before.Size(), after.Size())
	}
	return err
}

func (t *Intake) keepWithoutAudio(ctx context.Context, tenant *callvault.Tenant, file *File, about *about) (archive.Outcome, error) {
	if about.known.Status == "" || about.known.Status.HasAudio() {
		if _, err := os.Stat(file.Path); err == nil && file.row != nil {
			return archive.Unchanged, fmt.Errorf("a table describes this file, but it was not named: import it, or its folder, as well: %w", callvault.InvalidParameter)
		}
		return archive.Unchanged, fmt.Errorf("there is no audio file for this metadata: %w", callvault.InvalidParameter)
	}
	about.from = sha256.Sum256([]byte(filepath.Base(file.Path)))
	in := &archive.Intake{Source: "import", Added: time.Now()}
	if err := about.complete(in, tenant.Name, ""); err != nil {
		return archive.Unchanged, err
	}
	_, outcome, err := t.archive.Keep(ctx, in)
	return outcome, err
}

// about is what is known of a file's recording from its name and the files beside it.
type about struct {
	known callvault.Recording
	call  json.RawMessage   // of a KEY.json or a line; empty if there is none
	from  [sha256.Size]byte // hash from which missing keys are made: of the audio, or of the file's name
}

// metadata returns what is known of the file from its name, from a table, which takes
// precedence over that, and from its KEY.json, which takes precedence over both.
func (f *File) metadata(tenant *callvault.Tenant) (*about, error) {
	var zone *time.Location
	if tenant.TimeZone != "" {
		var err error
		if zone, err = time.LoadLocation(tenant.TimeZone); err != nil {
			return nil, fmt.Errorf("time zone of tenant %s: %w", tenant.Name, err)
		}
	}
	stem := filepath.Base(trimExt(f.Path))
	fromName := parseName(stem, zone)
	if f.table != "" && fromName.start.IsZero() && f.row == nil && f.sidecar == "" {
		return nil, fmt.Errorf("its metadata may be in %s, which cannot be read: %w", filepath.Base(f.table), callvault.InvalidParameter)
	}
	if f.conflict != "" {
		return nil, fmt.Errorf("two rows describe it and differ in %s; remove the wrong one: %w", f.conflict, callvault.InvalidParameter)
	}
	a := &about{known: fromName.recording(), call: json.RawMessage(f.row["call"])}
	if err := readRow(f.row, zone, &a.known); err != nil || f.sidecar == "" {
		return a, err
	}
	err := a.readSidecar(f.sidecar)
	if a.known.RecordingKey == "" {
		a.known.RecordingKey = stem
	}
	return a, err
}

// readSidecar reads a KEY.json: a Recording as the API publishes it, or the sidecar of an
// archive, which holds a recording and its call.
func (a *about) readSidecar(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // reading a pipe may take forever, and a device has no end
		return fmt.Errorf("%s is not a regular file, so the metadata in it cannot be read", filepath.Base(path))
	}
	if info.Size() > maxSidecar {
		return fmt.Errorf("%s has %d bytes, which is too large for the metadata of a recording", filepath.Base(path), info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var kept struct {
		Recording json.RawMessage `json:"recording"`
		Call      json.RawMessage `json:"call"`
		CallGiven bool            `json:"callGiven"`
	}
	if err := decode(filepath.Base(path), text, &kept); err != nil {
		return err
	}
	if len(kept.Recording) == 0 {
		return decode(filepath.Base(path), text, &a.known)
	}
	if kept.CallGiven {
		a.call = kept.Call
	}
	return decode(filepath.Base(path), kept.Recording, &a.known)
}

// complete derives what is not known from the audio and the file at path, and fills in
// the intake.
func (a *about) complete(in *archive.Intake, tenant, path string) error {
	r := &a.known
	if in.Audio != nil && r.Duration == 0 {
		r.Duration = in.Audio.Info.Duration().Milliseconds()
	}
	if r.StartTime == 0 && path != "" {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		r.StartTime = info.ModTime().UnixMilli() - r.Duration // it was last written when the recording ended
	}
	if r.RecordingKey == "" {
		r.RecordingKey = fmt.Sprintf("%s-%d", uuidOf(a.from[:16]), r.StartTime)
	}
	if r.CallKey == "" && len(a.call) == 0 {
		r.CallKey = fmt.Sprintf("%s-%d-%d", uuidOf(a.from[16:]), r.StartTime, r.StartTime+r.Duration)
	}
	if r.TenantName == "" {
		r.TenantName = tenant
	}
	m := metadata{recording: r.AppendJSON(nil), call: a.call}
	filled, err := m.fill(tenant, in.Source, in.Added)
	if err != nil {
		return err
	}
	in.Recording = filled.Recording
	return m.fillCall(in)
}

// uuidOf makes a UUID from 16 bytes, always the same one from the same bytes (RFC 9562
// 5.8, version 8, for custom UUIDs).
func uuidOf(from []byte) string {
	b := [16]byte(from)
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
