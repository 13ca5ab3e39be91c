package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"os"
	"time"

	"callvault"
	"callvault/archive"
)

// maxMetadata is the most that an upload's recording or call may take, in bytes.
const maxMetadata = 1 << 20

// upload is the parts of a multipart body.
type upload struct {
	metadata
	audio *os.File // nil when there is none
	sum   [sha256.Size]byte
}

// Upload takes in a tenant's recording from a multipart/form-data body: part
// "recording", JSON; part "call", JSON, optional; part "audio", left out for
// statuses without; in any order. A bad body is callvault.InvalidParameter, a recording
// that the sender's grant does not hold callvault.Forbidden, audio that cannot be used
// callvault.UnprocessableAudio, and the rest as archive.Keep.
func (t *Intake) Upload(ctx context.Context, tenant string, grant *callvault.Grant, body *multipart.Reader) (*archive.Entry, archive.Outcome, error) {
	var up upload
	discard, err := t.readParts(body, &up)
	defer discard()
	if err != nil {
		return nil, archive.Unchanged, err
	}
	if up.recording == nil {
		return nil, archive.Unchanged, fmt.Errorf("the body has no part named recording: %w", callvault.InvalidParameter)
	}
	in, err := up.fill(tenant, "upload", time.Now())
	if err != nil {
		return nil, archive.Unchanged, err
	}
	if has := in.Recording.Status.HasAudio(); has != (up.audio != nil) {
		return nil, archive.Unchanged, audioMismatch(in.Recording.Status)
	}
	// Who gave up on an upload and sends it again waits for what is made of the first.
	end, err := t.takeTurn(ctx, tenant+"/"+in.Recording.RecordingKey)
	if err != nil {
		return nil, archive.Unchanged, err
	}
	defer end()
	known, err := t.known(ctx, tenant, in.Recording.RecordingKey)
	if err != nil {
		return nil, archive.Unchanged, err
	}
	if err := mayTell(grant, &in.Recording, known); err != nil {
		return nil, archive.Unchanged, err
	}
	if err := t.completeUpload(ctx, &up, in, known); err != nil {
		t.archive.Discard(in)
		return nil, archive.Unchanged, err
	}
	return t.archive.Keep(ctx, in)
}

// mayTell tells whether a grant holds the recording that is told of, and what is known
// of it so far, which one who may not hear it must neither change nor learn of.
func mayTell(grant *callvault.Grant, told *callvault.Recording, known *archive.Entry) error {
	if !grant.MayHear(told) {
		return fmt.Errorf("the user is granted no recordings of the agent %q with the skill %q: %w", told.Agent, told.Skill, callvault.Forbidden)
	}
	if known != nil && !grant.MayHear(&known.Recording) {
		return fmt.Errorf("there is a recording %s already, which the user may not hear: %w", told.RecordingKey, callvault.Forbidden)
	}
	return nil
}

// completeUpload adds to an intake its audio and its call. What is told again of a
// recording without a call key, or completes it, stays in its call.
func (t *Intake) completeUpload(ctx context.Context, up *upload, in *archive.Intake, known *archive.Entry) (err error) {
	if up.audio != nil {
		if in.Audio, err = t.encode(ctx, known, up.audio, up.sum); err != nil {
			return err
		}
		in.UploadSHA256 = up.sum
		if in.Recording.Duration == 0 {
			in.Recording.Duration = in.Audio.Info.Duration().Milliseconds()
		}
	}
	if known != nil {
		up.callKey = known.Recording.CallKey
	}
	return up.fillCall(in)
}

func audioMismatch(status callvault.Status) error {
	if status.HasAudio() {
		return fmt.Errorf("the body has no part named audio, which a recording with the status %s needs: %w", status, callvault.InvalidParameter)
	}
	return fmt.Errorf("a recording with the status %s comes without a part named audio: %w", status, callvault.InvalidParameter)
}

// readParts reads the body's parts. discard ends what it staged.
func (t *Intake) readParts(body *multipart.Reader, up *upload) (discard func(), err error) {
	discard = func() {}
	for {
		part, err := body.NextRawPart()
		if err == io.EOF { // wrapped, it is of a body that was cut
			return discard, nil
		}
		if err != nil {
			return discard, bodyError(err)
		}
		switch name := part.FormName(); {
		case name == "recording" && up.recording == nil:
			up.recording, err = readMetadata(part)
		case name == "call" && up.call == nil:
			up.call, err = readMetadata(part)
		case name == "audio" && up.audio == nil:
			if up.audio, discard, err = t.archive.Scratch(); err != nil {
				return func() {}, err
			}
			err = up.readAudio(part)
		case name == "recording" || name == "call" || name == "audio":
			err = fmt.Errorf("the body has more than one part named %s: %w", name, callvault.InvalidParameter)
		default:
			err = fmt.Errorf("the body has a part named %.40q; there are recording, call and audio: %w", name, callvault.InvalidParameter)
		}
		if err != nil {
			return discard, err
		}
	}
}

func readMetadata(part *multipart.Part) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(part, maxMetadata+1))
	if err != nil {
		return nil, bodyError(err)
	}
	if len(text) > maxMetadata {
		return nil, fmt.Errorf("the part %s has over %d bytes: %w", part.FormName(), maxMetadata, callvault.InvalidParameter)
	}
	return text, nil
}

// readAudio spools the audio as it was sent, and hashes it.
func (up *upload) readAudio(part *multipart.Part) error {
	sum := sha256.New()
	_, err := io.Copy(up.audio, io.TeeReader(part, sum))
	var ours *fs.PathError
	if errors.As(err, &ours) {
		return fmt.Errorf("spool audio: %w", archive.StorageError(err))
	}
	if err != nil {
		return bodyError(err)
	}
	sum.Sum(up.sum[:0])
	if _, err := up.audio.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("spool audio: %w", err)
	}
	return nil
}

// bodyError gives an error met while reading a body its answer.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return fmt.Errorf("the body has over %d bytes, which is the most that is taken: %w", tooLarge.Limit, callvault.PayloadTooLarge)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) { // the text of which names our address
		return fmt.Errorf("the multipart body arrived too slowly; send it again: %w", callvault.InvalidParameter)
	}
	return fmt.Errorf("the multipart body cannot be read: %w: %w", err, callvault.InvalidParameter)
}
