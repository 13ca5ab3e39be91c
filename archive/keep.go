package archive

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"callvault"
)

// Intake is a recording to be kept.
type Intake struct {
	Recording callvault.Recording
	// Call is the call that it came with; nil when it came without one.
	Call *callvault.Call
	// Audio is nil for a recording whose status has none. UploadSHA256 is the
	// hash of the audio as it was sent in, before it was encoded.
	Audio        *Audio
	UploadSHA256 [sha256.Size]byte
	Source       string // where it comes from
	Added        time.Time
	// Doubt says why the held audio is doubtful; Accepted says why an operator
	// accepted audio that is not whole. Both are usually empty.
	Doubt, Accepted string
	// AsNoted is true for the audio of a recording that was noted (Note): what was
	// last noted about it counts, not Recording.
	AsNoted bool
}

// Outcome says what Keep did.
type Outcome int

// The outcomes of Keep.
const (
	Added     Outcome = iota // the recording is new
	Completed                // it was known, and now has its audio
	Updated                  // its metadata was replaced
	Unchanged                // nothing changed
)

// maxGroup is how many recordings are made durable together at most.
const maxGroup = 64

// keeping is an intake on its way into the archive.
type keeping struct {
	in      *Intake
	entry   *Entry
	outcome Outcome
	err     error
	done    bool

	keys  []string
	files []*os.File
	stale string // the key of an earlier sidecar at another path
}

func recordingOfKeeping(k *keeping) *callvault.Recording { return &k.in.Recording }

// unstage discards the sidecar that was staged, unless Put has taken it.
func (k *keeping) unstage(blobs Blobs) {
	for _, file := range k.files {
		if k.in.Audio == nil || file != k.in.Audio.file {
			blobs.Discard(file)
		}
	}
	k.keys, k.files, k.stale = nil, nil, ""
}

// Keep stores a recording. When it returns no error, the recording survives a
// power cut. Keeping the same key with the same audio again changes nothing; with
// other audio the error is callvault.Conflict. When the disk is full the error is
// callvault.InsufficientStorage, and nothing is kept. Intakes that arrive at the
// same time are made durable together. Keep always consumes in.Audio, even when it
// fails.
func (a *Archive) Keep(ctx context.Context, in *Intake) (*Entry, Outcome, error) {
	if err := in.prepare(); err != nil {
		a.Discard(in)
		return nil, Unchanged, err
	}
	k := &keeping{in: in}
	a.queueMu.Lock()
	a.queue = append(a.queue, k)
	a.queueMu.Unlock()

	// The caller that gets the lock commits for all that are waiting for it.
	a.commitMu.Lock()
	defer a.commitMu.Unlock()
	for !k.done {
		a.commit(context.WithoutCancel(ctx), a.takeGroup())
	}
	return k.entry, k.outcome, k.err
}

// prepare fills in what follows from the audio, and checks whether the intake can
// be kept.
func (in *Intake) prepare() error {
	r := &in.Recording
	if in.Audio != nil {
		r.Size = in.Audio.Info.Bytes
	}
	if err := r.Validate(); err != nil {
		return err
	}
	if r.Status.HasAudio() != (in.Audio != nil) {
		return fmt.Errorf("a recording comes with audio when its status is SAVED or PENDING_DELETE_*, and only then; this one is %s: %w",
			r.Status, callvault.InvalidParameter)
	}
	if in.Call == nil {
		return nil
	}
	if in.Call.CallKey != r.CallKey || in.Call.TenantName != r.TenantName {
		return fmt.Errorf("the call %s of %s is not the recording's call %s of %s: %w",
			in.Call.CallKey, in.Call.TenantName, r.CallKey, r.TenantName, callvault.InvalidParameter)
	}
	in.Call.Recordings = nil
	return in.Call.Validate()
}

// Discard discards the audio of an intake that is not going to be kept.
func (a *Archive) Discard(in *Intake) {
	if in.Audio != nil {
		a.blobs.Discard(in.Audio.file)
	}
}

// takeGroup removes the next group from the queue. It ends before a second intake
// of the same recording, which must read the sidecar that the first one leaves.
func (a *Archive) takeGroup() []*keeping {
	a.queueMu.Lock()
	defer a.queueMu.Unlock()
	n, taken := 0, map[[2]string]bool{}
	for ; n < min(len(a.queue), maxGroup); n++ {
		r := &a.queue[n].in.Recording
		if name := [2]string{r.TenantName, r.RecordingKey}; !taken[name] {
			taken[name] = true
			continue
		}
		break
	}
	group := a.queue[:n:n]
	a.queue = a.queue[n:]
	return group
}

// errPanicked is the error of intakes whose group met a panic.
var errPanicked = errors.New("the recording was not kept: the program panicked meanwhile")

// commit keeps a group, and ends each of its intakes, even after a panic.
func (a *Archive) commit(ctx context.Context, group []*keeping) {
	err := errPanicked
	defer func() {
		for _, k := range group {
			a.end(k, err)
		}
	}()
	put, groupErr := a.commitGroup(ctx, group)
	if groupErr != nil && put {
		a.undo(ctx, group)
	}
	err = groupErr
}

// end ends an intake whose group was committed, or failed with groupErr.
func (a *Archive) end(k *keeping, groupErr error) {
	if groupErr != nil && !refusal(k.err) {
		k.err = StorageError(groupErr)
	}
	if k.err != nil {
		k.entry = nil
	}
	k.unstage(a.blobs)
	a.Discard(k.in)
	k.done = true
}

// commitGroup keeps a group in one transaction, which commits its rows only when the
// blobs are durable. The transaction excludes all other writers of these tenants, so
// that of two intakes of one key, even in different processes, the second finds the row
// of the first. put reports whether blobs may have been put.
func (a *Archive) commitGroup(ctx context.Context, group []*keeping) (put bool, err error) {
	err = a.alter(ctx, foldersOf(group, recordingOfKeeping), func(tx *sql.Tx) error {
		var keys []string
		var files []*os.File
		b, err := readBatch(ctx, tx, group, recordingOfKeeping)
		if err != nil {
			return err
		}
		for _, k := range group {
			k.unstage(a.blobs)
			if k.err = a.keepOne(ctx, b, k); k.err != nil && !refusal(k.err) {
				return k.err
			}
			keys, files = append(keys, k.keys...), append(files, k.files...)
		}
		if len(keys) == 0 {
			return nil
		}
		if err := b.end(ctx); err != nil {
			return err
		}
		put = true
		if err := a.db.While(ctx, tx, func() error { return a.blobs.Put(ctx, keys, files) }); err != nil {
			return err
		}
		for _, k := range group {
			if k.stale != "" {
				_ = a.blobs.Delete(ctx, k.stale) // should it remain, the later sidecar of a recording counts
			}
		}
		return nil
	})
	return put, err
}

// undo deletes the blobs of a group that could not be kept, so that refused
// recordings do not fill a full disk further. It leaves those of recordings that
// were here before, or that another process has kept since. It stops at the first
// failure: other callers are waiting, and the store may not be answering.
func (a *Archive) undo(ctx context.Context, group []*keeping) {
	_ = a.alter(ctx, foldersOf(group, recordingOfKeeping), func(tx *sql.Tx) error { // Verify reports what remains
		for _, k := range group {
			r := &k.in.Recording
			if known, err := findRow(ctx, tx, r); known != nil || err != nil {
				continue
			}
			for _, key := range k.keys {
				if err := a.blobs.Delete(ctx, key); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// refusal reports whether err refuses one intake, rather than being a fault that
// stops the whole group.
func refusal(err error) bool {
	var code callvault.Code
	return errors.As(err, &code) && code < callvault.Internal
}

// keepOne decides on one intake, writes its rows, and stages its blobs.
func (a *Archive) keepOne(ctx context.Context, b *batch, k *keeping) error {
	r := &k.in.Recording
	earlier, err := b.row(ctx, r)
	if err != nil {
		return err
	}
	k.in.adoptNote(earlier)
	call, err := b.call(ctx, r)
	if err != nil {
		return err
	}
	if k.outcome, err = decide(earlier, k.in); err != nil {
		return err
	}
	if k.outcome == Unchanged && !earlier.Held {
		if k.outcome, err = a.callOutcome(ctx, k.in, earlier, call); err != nil {
			return err
		}
	}
	if k.outcome == Unchanged {
		k.entry = earlier
		return a.restoreAudio(ctx, k)
	}
	k.in.follow(earlier, call)
	side := sidecarOf(k.in)
	k.entry = k.in.entry()
	if earlier != nil {
		if err := a.remember(ctx, &side, earlier); err != nil {
			return err
		}
		if earlier.path != "" && earlier.path != k.entry.path {
			k.stale = earlier.path + sidecarEnding
		}
	}
	if err := b.replaceRow(ctx, earlier, k.entry, side.given()); err != nil {
		return err
	}
	return a.stage(k, &side)
}

// EncodedFrom reports whether the held audio was encoded from an upload with this
// hash, rather than being that upload itself.
func (e *Entry) EncodedFrom(upload [sha256.Size]byte) bool {
	return e.Held && e.upload == upload && e.SHA256 != upload
}

// Lost reports whether the audio of a held recording is missing from the store or has
// the wrong size there. It does not read the audio.
func (a *Archive) Lost(ctx context.Context, e *Entry) (bool, error) {
	size, err := a.blobs.Size(ctx, e.path+audioEnding)
	if errors.Is(err, fs.ErrNotExist) {
		return e.Held, nil
	}
	return e.Held && err == nil && size != e.Recording.Size, StorageError(err)
}

// restoreAudio stages the audio of a recording that is already held, if its file has
// since been lost or truncated: Keep tells the sender that the audio is here, so it
// must be.
func (a *Archive) restoreAudio(ctx context.Context, k *keeping) error {
	if k.in.Audio == nil {
		return nil
	}
	lost, err := a.Lost(ctx, k.entry)
	switch {
	case err != nil || !lost:
		return err
	case k.in.Audio.SHA256 != k.entry.SHA256:
		return fmt.Errorf("the audio of recording %s is lost, and this upload cannot replace it: encoding it again gives other audio than was held; restore the file from a backup: %w",
			k.entry.Recording.RecordingKey, callvault.Conflict)
	}
	k.keys, k.files = []string{k.entry.path + audioEnding}, []*os.File{k.in.Audio.file}
	return nil
}

// adoptNote replaces the intake's metadata with what was last noted about the
// recording, if the intake asks for it (AsNoted) and no audio is held yet.
func (in *Intake) adoptNote(earlier *Entry) {
	if in.AsNoted && earlier != nil && !earlier.Held {
		status, size := in.Recording.Status, in.Recording.Size
		in.Recording = earlier.Recording
		in.Recording.Status, in.Recording.Size = status, size
	}
}

// follow makes the intake later than what it replaces, even when the clock was set
// back in between, so that a rebuild finds the same one to be the latest. An intake
// without a call takes over the given call that is already known.
func (in *Intake) follow(earlier *Entry, call *callRow) {
	var latest int64
	if earlier != nil {
		latest = earlier.Added
	}
	if call != nil && call.given {
		latest = max(latest, call.updatedMs)
		if in.Call == nil {
			in.Call = &call.call
		}
	}
	if in.Added.UnixMilli() <= latest {
		in.Added = time.UnixMilli(latest + 1)
	}
}

// callOutcome decides on an intake that says nothing new about a recording without
// audio: it is Updated if its call is news, that is, if the call differs both from the
// one that is known and from the one last sent with this recording. Merely sending the
// latter again does not override what others have sent since.
func (a *Archive) callOutcome(ctx context.Context, in *Intake, earlier *Entry, call *callRow) (Outcome, error) {
	if in.Call == nil {
		return Unchanged, nil
	}
	sent := &callRow{call: *in.Call, given: true}
	if call.sameAs(sent) {
		return Unchanged, nil
	}
	if earlier.path == "" { // it was only noted and has no sidecar
		return Updated, nil
	}
	side, err := a.readSidecar(ctx, earlier.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, errSidecar):
		return Updated, nil
	case err == nil && !side.given().sameAs(sent):
		return Updated, nil
	}
	return Unchanged, err
}

// decide returns the outcome of an intake, given what is already known.
func decide(earlier *Entry, in *Intake) (Outcome, error) {
	switch {
	case earlier == nil:
		return Added, nil
	case !earlier.Held && in.Audio != nil:
		return Completed, nil
	case !earlier.Held && earlier.Recording == in.Recording:
		return Unchanged, nil
	case !earlier.Held:
		return Updated, nil
	case in.Audio == nil:
		return Unchanged, fmt.Errorf("recording %s is held with its audio; an upload without audio does not replace it: %w",
			in.Recording.RecordingKey, callvault.Conflict)
	case earlier.SHA256 != in.Audio.SHA256 && earlier.upload != in.UploadSHA256:
		return Unchanged, fmt.Errorf("recording %s is held with other audio (SHA-256 %x); what is held stays: %w",
			in.Recording.RecordingKey, earlier.SHA256, callvault.Conflict)
	}
	return Unchanged, nil
}

// entry returns the intake in the form in which it will be kept.
func (in *Intake) entry() *Entry {
	r := in.Recording
	e := &Entry{Recording: r, Added: in.Added.UnixMilli(), path: pathOf(r.TenantName, r.RecordingKey, r.StartTime)}
	if in.Audio != nil {
		e.Held = true
		e.SHA256, e.upload = in.Audio.SHA256, in.UploadSHA256
		e.AudioMs = in.Audio.Info.Duration().Milliseconds()
		e.Read = e.Added
	}
	return e
}

// stage prepares the intake's blobs for Put: the audio first, then the sidecar.
func (a *Archive) stage(k *keeping, side *sidecar) error {
	content, err := side.encode()
	if err != nil {
		return err
	}
	file, err := stageBytes(a.blobs, content)
	if err != nil {
		return err
	}
	if k.in.Audio != nil {
		k.keys = append(k.keys, k.entry.path+audioEnding)
		k.files = append(k.files, k.in.Audio.file)
	}
	k.keys = append(k.keys, k.entry.path+sidecarEnding)
	k.files = append(k.files, file)
	return nil
}
