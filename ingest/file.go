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

// maxSidecar is the most that a KEY.json may have, in bytes.
const maxSidecar = 16 << 20

// File takes in a file of a tenant. Audio that the tenant has already, whatever
// its name, is archive.Unchanged, unless the metadata gives it a key of its own.
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
	// Also who has a key takes his turn: the same audio without one waits for him.
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

// isThere tells whether the tenant has audio with the hash sum. Where its file was lost
// since, about becomes what is known of it, so that it is put there again.
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

// stoppable is a file that is read no further once its context has ended: to encode
// hours of sound takes minutes, which who presses Ctrl-C would wait for.
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

// quiet is for how long a file that may be growing must not have been written to
// before it counts as whole: Asterisk writes two seconds of sound at a time.
const quiet = 3 * time.Second

// awaitEnd tells, by an error, that a file is being written still. Only a WAV whose
// header leaves open how long it is can look whole before it is.
func awaitEnd(ctx context.Context, file *os.File) error {
	wav, err := audio.OpenWAV(file)
	growing := err == nil && wav.Endless()
	if _, err := file.Seek(0, io.SeekStart); err != nil || !growing {
		return err // what is wrong with the WAV is told when it is converted
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
		err = fmt.Errorf("it is being written still: it grew from %d to %d bytes; import it again when it is whole", before.Size(), after.Size())
	}
	return err
}

func (t *Intake) keepWithoutAudio(ctx context.Context, tenant *callvault.Tenant, file *File, about *about) (archive.Outcome, error) {
	if about.known.Status == "" || about.known.Status.HasAudio() {
		if _, err := os.Stat(file.Path); err == nil && file.row != nil {
			return archive.Unchanged, fmt.Errorf("a table tells of this file, which was not named: import it, or its folder, as well: %w", callvault.InvalidParameter)
		}
		return archive.Unchanged, fmt.Errorf("there is no audio file beside this metadata: %w", callvault.InvalidParameter)
	}
	about.from = sha256.Sum256([]byte(filepath.Base(file.Path)))
	in := &archive.Intake{Source: "import", Added: time.Now()}
	if err := about.complete(in, tenant.Name, ""); err != nil {
		return archive.Unchanged, err
	}
	_, outcome, err := t.archive.Keep(ctx, in)
	return outcome, err
}

// about is what a file's surroundings tell of its recording.
type about struct {
	known callvault.Recording
	call  json.RawMessage   // of a KEY.json or a line; empty when there is none
	from  [sha256.Size]byte // hash of what keys that are not told are made of: the audio, or the file's name
}

// metadata reads what is told of the file: by its name, and above that by a CSV,
// and above that by its KEY.json.
func (f *File) metadata(tenant *callvault.Tenant) (*about, error) {
	var zone *time.Location
	if tenant.TimeZone != "" {
		var err error
		if zone, err = time.LoadLocation(tenant.TimeZone); err != nil {
			return nil, fmt.Errorf("time zone of tenant %s: %w", tenant.Name, err)
		}
	}
	stem := filepath.Base(withoutEnding(f.Path))
	told := parseName(stem, zone)
	if f.table != "" && told.start.IsZero() && f.row == nil && f.sidecar == "" {
		return nil, fmt.Errorf("what is known of it may stand in %s, which cannot be read: %w", filepath.Base(f.table), callvault.InvalidParameter)
	}
	if f.torn != "" {
		return nil, fmt.Errorf("two rows tell of it, and differ in %s: take away the wrong one: %w", f.torn, callvault.InvalidParameter)
	}
	a := &about{known: told.recording(), call: json.RawMessage(f.row["call"])}
	if err := readRow(f.row, zone, &a.known); err != nil || f.sidecar == "" {
		return a, err
	}
	err := a.readSidecar(f.sidecar)
	if a.known.RecordingKey == "" {
		a.known.RecordingKey = stem
	}
	return a, err
}

// readSidecar reads a KEY.json: a Recording as the API publishes it, or the
// sidecar of an archive, which holds one with its call.
func (a *about) readSidecar(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // to read a pipe may take for ever, and a device has no end
		return fmt.Errorf("%s is not a file: what it tells of the recording cannot be read", filepath.Base(path))
	}
	if info.Size() > maxSidecar {
		return fmt.Errorf("%s has %d bytes: it is not the metadata of a recording", filepath.Base(path), info.Size())
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

// complete makes up what is not told, from the audio and the file at path, and
// fills in the intake.
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
		r.StartTime = info.ModTime().UnixMilli() - r.Duration // it was written until then
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

// uuidOf makes a UUID of 16 bytes (RFC 9562 5.8, version 8: of our own making),
// the same for the same bytes.
func uuidOf(from []byte) string {
	b := [16]byte(from)
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
