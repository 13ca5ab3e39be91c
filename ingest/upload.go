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

// maxMetadata is the maximum size of an upload's recording or call, in bytes.
const maxMetadata = 1 << 20

// upload is the parts of a multipart body.
type upload struct {
	metadata
	audio *os.File // nil if there is none
	sum   [sha256.Size]byte
}

// Upload adds a tenant's recording from a multipart/form-data body with these parts, in
// any order: "recording", JSON; "call", JSON, optional; "audio", left out for statuses
// without audio. The error wraps callvault.InvalidParameter for a bad body,
// callvault.Forbidden for a recording that the sender's grant does not include,
// callvault.UnprocessableAudio for audio that cannot be used, and otherwise is that of
// archive.Keep.
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
	// A client that gave up on an upload and sends it again waits until the first is done.
	end, err := t.takeTurn(ctx, tenant+"/"+in.Recording.RecordingKey)
	if err != nil {
		return nil, archive.Unchanged, err
	}
	defer end()
	known, err := t.known(ctx, tenant, in.Recording.RecordingKey)
	if err != nil {
		return nil, archive.Unchanged, err
	}
	if err := checkGrant(grant, &in.Recording, known); err != nil {
		return nil, archive.Unchanged, err
	}
	if err := t.completeUpload(ctx, &up, in, known); err != nil {
		t.archive.Discard(in)
		return nil, archive.Unchanged, err
	}
	return t.archive.Keep(ctx, in)
}

// checkGrant returns an error unless the grant includes the recording as it was sent and
// as it is known so far. Without the latter, the sender must neither change the known
// recording nor learn what is in it.
func checkGrant(grant *callvault.Grant, sent *callvault.Recording, known *archive.Entry) error {
	if !grant.MayHear(sent) {
		return fmt.Errorf("the user has no access to recordings of the agent %q with the skill %q: %w", sent.Agent, sent.Skill, callvault.Forbidden)
	}
	if known != nil && !grant.MayHear(&known.Recording) {
		return fmt.Errorf("there is a recording %s already, to which the user has no access: %w", sent.RecordingKey, callvault.Forbidden)
	}
	return nil
}

// completeUpload adds the audio and the call to an intake. A known recording that is
// sent again without a call key stays in its call.
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
	return fmt.Errorf("a recording with the status %s must not have a part named audio: %w", status, callvault.InvalidParameter)
}

// readParts reads the body's parts. discard deletes the file in which it staged audio.
func (t *Intake) readParts(body *multipart.Reader, up *upload) (discard func(), err error) {
	discard = func() {}
	for {
		part, err := body.NextRawPart()
		if err == io.EOF { // a wrapped EOF means that the body was cut
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
			err = fmt.Errorf("the body has a part named %.40q; its parts must be recording, call and audio: %w", name, callvault.InvalidParameter)
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

// readAudio stages the audio as it was sent, and hashes it.
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

// bodyError wraps an error from reading a body with the Code for its sender.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return fmt.Errorf("the body has over %d bytes, which is more than is accepted: %w", tooLarge.Limit, callvault.PayloadTooLarge)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) { // its text names the address of the service
		return fmt.Errorf("the multipart body arrived too slowly; send it again: %w", callvault.InvalidParameter)
	}
	return fmt.Errorf("the multipart body cannot be read: %w: %w", err, callvault.InvalidParameter)
}
