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
	// Doubt says what speaks against the audio, though it is held; Accepted why an
	// operator took audio that is not whole. Both are usually empty.
	Doubt, Accepted string
	// AsNoted is true for audio of a recording that was noted (Note): what was
	// noted of it last counts, not what Recording tells.
	AsNoted bool
}

// Outcome says what Keep did.
type Outcome int

// The outcomes of Keep: it was not here; it was known and now has its audio;
// what is known of it was replaced; nothing changed.
const (
	Added Outcome = iota
	Completed
	Updated
	Unchanged
)

func ofKeeping(k *keeping) *callvault.Recording { return &k.in.Recording }

// unstage gives up the sidecar that was staged for it, if Put did not take it.
func (k *keeping) unstage(blobs Blobs) {
	for _, file := range k.files {
		if k.in.Audio == nil || file != k.in.Audio.file {
			blobs.Discard(file)
		}
	}
	k.keys, k.files, k.stale = nil, nil, ""
}

// maxGroup is how many recordings are made durable together at most.
const maxGroup = 64

// keeping is an intake on its way.
type keeping struct {
	in      *Intake
	entry   *Entry
	outcome Outcome
	err     error
	done    bool

	keys  []string
	files []*os.File
	stale string // the sidecar of an earlier form that stood elsewhere
}

// Keep keeps a recording. When it returns no error, the recording survives a
// power cut. The same key with the same audio again changes nothing; with other
// audio it is callvault.Conflict. A full disk is callvault.InsufficientStorage,
// and nothing is kept. Intakes that arrive at the same time are made durable
// together. in.Audio is used up, whatever happens.
func (a *Archive) Keep(ctx context.Context, in *Intake) (*Entry, Outcome, error) {
	if err := in.prepare(); err != nil {
		a.Discard(in)
		return nil, Unchanged, err
	}
	k := &keeping{in: in}
	a.queueMu.Lock()
	a.queue = append(a.queue, k)
	a.queueMu.Unlock()

	// Whoever gets the lock commits for all who wait for it.
	a.commitMu.Lock()
	for !k.done {
		a.commit(context.WithoutCancel(ctx), a.takeGroup())
	}
	a.commitMu.Unlock()
	return k.entry, k.outcome, k.err
}

// prepare fills in what follows from the rest, and tells whether all can be kept.
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

// Discard gives up an intake that is not going to be kept.
func (a *Archive) Discard(in *Intake) {
	if in.Audio != nil {
		a.blobs.Discard(in.Audio.file)
	}
}

// takeGroup takes the next intakes. A recording is in a group once: what takes
// its place reads the sidecar that the group before left.
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

// commit keeps a group in one transaction, whose rows are committed only when
// the blobs are durable. The transaction keeps all other writers of these tenants
// out, so that of two intakes of one key, in whichever processes, one finds the
// other's row.
func (a *Archive) commit(ctx context.Context, group []*keeping) {
	put := false
	err := a.alter(ctx, foldersOf(group, ofKeeping), func(tx *sql.Tx) error {
		var keys []string
		var files []*os.File
		b, err := readBatch(ctx, tx, group, ofKeeping)
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
		if err := a.blobs.Put(ctx, keys, files); err != nil {
			return err
		}
		for _, k := range group {
			if k.stale != "" {
				_ = a.blobs.Delete(ctx, k.stale) // of two sidecars of a recording the later one counts
			}
		}
		return nil
	})
	if err != nil && put {
		a.undo(ctx, group)
	}
	for _, k := range group {
		if err != nil && !refusal(k.err) {
			k.err = StorageError(err)
		}
		if k.err != nil {
			k.entry = nil
		}
		k.unstage(a.blobs)
		a.Discard(k.in)
		k.done = true
	}
}

// undo takes the blobs of what could not be kept away again, so that a disk that
// is full is not filled further with what was refused: but for a recording that
// was here before, or that another process has kept since. A store that is away is
// asked once, for others wait.
func (a *Archive) undo(ctx context.Context, group []*keeping) {
	_ = a.alter(ctx, foldersOf(group, ofKeeping), func(tx *sql.Tx) error { // what stays is named by Verify
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

// refusal tells an answer to one intake from a fault that stops them all.
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

// EncodedFrom tells whether its audio was made of audio with the hash upload, and is
// not that itself.
func (e *Entry) EncodedFrom(upload [sha256.Size]byte) bool {
	return e.Held && e.upload == upload && e.SHA256 != upload
}

// Lost tells whether the audio of a held recording is gone from the store, or cut off
// there. It looks at its size, and does not read it.
func (a *Archive) Lost(ctx context.Context, e *Entry) (bool, error) {
	size, err := a.blobs.Size(ctx, e.path+audioEnding)
	if errors.Is(err, fs.ErrNotExist) {
		return e.Held, nil
	}
	return e.Held && err == nil && size != e.Recording.Size, StorageError(err)
}

// restoreAudio stages the audio of a recording that is held, where its file was lost or
// cut off since: who sends it once more is told that it is here.
func (a *Archive) restoreAudio(ctx context.Context, k *keeping) error {
	if k.in.Audio == nil {
		return nil
	}
	lost, err := a.Lost(ctx, k.entry)
	switch {
	case err != nil || !lost:
		return err
	case k.in.Audio.SHA256 != k.entry.SHA256:
		return fmt.Errorf("the audio of recording %s is lost, and what was sent cannot take its place: encoded again it is other audio than was held; put that back from a backup: %w",
			k.entry.Recording.RecordingKey, callvault.Conflict)
	}
	k.keys, k.files = []string{k.entry.path + audioEnding}, []*os.File{k.in.Audio.file}
	return nil
}

// adoptNote takes what is known of a recording that is not held yet.
func (in *Intake) adoptNote(earlier *Entry) {
	if in.AsNoted && earlier != nil && !earlier.Held {
		status, size := in.Recording.Status, in.Recording.Size
		in.Recording = earlier.Recording
		in.Recording.Status, in.Recording.Size = status, size
	}
}

// follow makes the intake later than what it takes the place of, also when the
// clock was set back since, so that a rebuild finds the same one to be the later;
// and lets it tell of its call what is known already, if it does not itself.
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

// callOutcome is Updated where an intake that tells nothing new of its recording, which is
// without audio, does so of its call: what is neither known nor was told with this
// recording last. Who only tells it once more does not speak against others since.
func (a *Archive) callOutcome(ctx context.Context, in *Intake, earlier *Entry, call *callRow) (Outcome, error) {
	if in.Call == nil {
		return Unchanged, nil
	}
	sent := &callRow{call: *in.Call, given: true}
	if call.sameAs(sent) {
		return Unchanged, nil
	}
	if earlier.path == "" { // it was only noted, and has no sidecar
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

// decide says what becomes of an intake beside what is known already.
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

// entry is the intake as it will be kept.
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

// stage makes the intake's blobs ready: the audio first, the sidecar after it.
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
