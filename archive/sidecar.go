package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"callvault"
)

// maxSidecar is the most that is read of a sidecar, in bytes.
const maxSidecar = 16 << 20

// sidecar is the file that stands beside a recording's audio: everything known
// of it, so that the archive can be read, and its database made again, without
// this software.
type sidecar struct {
	Recording callvault.Recording `json:"recording"`
	Call      callvault.Call      `json:"call"`
	CallGiven bool                `json:"callGiven"` // false: made from the recording
	Audio     *sidecarAudio       `json:"audio"`     // null: none is held
	Source    string              `json:"source"`
	AddedAt   int64               `json:"addedAt"` // Unix milliseconds
	History   []sidecarChange     `json:"history"` // earlier forms, oldest first
	Remarks   []Remark            `json:"remarks,omitempty"`
	// Path is where the files stand, where that does not follow from the recording
	// because its start was told otherwise since.
	Path string `json:"path,omitempty"`
}

// sidecarAudio tells of the audio beside the sidecar.
type sidecarAudio struct {
	SHA256       string `json:"sha256"`
	Bytes        int64  `json:"bytes"`
	Duration     int64  `json:"duration"`     // measured, in milliseconds
	UploadSHA256 string `json:"uploadSha256"` // of what was sent in, before it was encoded
	HeldAt       int64  `json:"heldAt"`       // when it was kept, or fetched, in Unix milliseconds
	// Doubt says what speaks against it, though it is held; Accepted, why an
	// operator took it though it is not whole.
	Doubt    string `json:"doubt,omitempty"`
	Accepted string `json:"accepted,omitempty"`
}

// sidecarChange is what was known until it was replaced.
type sidecarChange struct {
	ReplacedAt int64               `json:"replacedAt"` // Unix milliseconds
	Recording  callvault.Recording `json:"recording"`
	Call       *callvault.Call     `json:"call,omitempty"` // where it was replaced too
}

// errNoSidecar says that what else is known of a held recording cannot be read.
func errNoSidecar(r *callvault.Recording) error {
	return fmt.Errorf("the sidecar of recording %s is missing or damaged: %w", r.RecordingKey, callvault.NotFound)
}

// errSidecar is of a file that is not a sidecar, or of another recording.
var errSidecar = errors.New("this is not the sidecar that belongs here")

// sidecarOf tells everything of what is to be kept.
func sidecarOf(in *Intake) sidecar {
	s := sidecar{
		Recording: in.Recording, CallGiven: in.Call != nil,
		Source: in.Source, AddedAt: in.Added.UnixMilli(), History: []sidecarChange{},
	}
	if s.CallGiven {
		s.Call = *in.Call
	} else {
		s.Call = callvault.CallOf(&s.Recording)
	}
	if in.Audio != nil {
		s.Audio = &sidecarAudio{
			SHA256:       hex.EncodeToString(in.Audio.SHA256[:]),
			Bytes:        in.Audio.Info.Bytes,
			Duration:     in.Audio.Info.Duration().Milliseconds(),
			UploadSHA256: hex.EncodeToString(in.UploadSHA256[:]),
			HeldAt:       in.Added.UnixMilli(),
			Doubt:        in.Doubt,
			Accepted:     in.Accepted,
		}
	}
	return s
}

// given is the call that the sidecar was given, nil when it was made, or is not its
// recording's.
func (s *sidecar) given() *callRow {
	if !s.CallGiven || s.Call.CallKey != s.Recording.CallKey || s.Call.TenantName != s.Recording.TenantName {
		return nil
	}
	return &callRow{call: s.Call, given: true, updatedMs: s.AddedAt}
}

// path names the files of the sidecar's recording.
func (s *sidecar) path() string {
	if s.Path != "" {
		return s.Path
	}
	return pathOf(s.Recording.TenantName, s.Recording.RecordingKey, s.Recording.StartTime)
}

// encode is the sidecar as it is written, its text as the lists have it.
func (s *sidecar) encode() ([]byte, error) {
	if s.Call.Recordings == nil {
		s.Call.Recordings = []callvault.Recording{}
	}
	if s.Call.AccountCodes == nil {
		s.Call.AccountCodes = []json.RawMessage{}
	}
	var content bytes.Buffer
	encoder := json.NewEncoder(&content)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(s); err != nil {
		return nil, fmt.Errorf("sidecar of %s: %w", s.Recording.RecordingKey, err)
	}
	return content.Bytes(), nil
}

// readSidecar reads the sidecar at path; fs.ErrNotExist when there is none,
// errSidecar when it is damaged.
func (a *Archive) readSidecar(ctx context.Context, path string) (*sidecar, error) {
	key := path + sidecarEnding
	size, err := a.blobs.Size(ctx, key)
	if err != nil {
		return nil, err
	}
	if size > maxSidecar {
		return nil, fmt.Errorf("%s has %d bytes: %w", key, size, errSidecar)
	}
	file, err := a.blobs.Open(ctx, key, size)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("sidecar %s: %w", key, err)
	}
	s := &sidecar{}
	if err := json.Unmarshal(content, s); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", key, errSidecar, err)
	}
	return s, s.check(path)
}

// check tells whether the sidecar is whole and stands where it belongs.
func (s *sidecar) check(path string) error {
	err := s.Recording.Validate()
	if err == nil {
		err = s.Call.Validate()
	}
	if err == nil && s.path() != path {
		err = errors.New("it tells of a recording that belongs elsewhere")
	}
	if err == nil && s.Audio != nil {
		_, err = parseHash(s.Audio.SHA256)
	}
	if err != nil {
		return fmt.Errorf("%s%s: %w: %v", path, sidecarEnding, errSidecar, err) // whoever asks is not to blame for it
	}
	return nil
}

// remember carries an earlier form of the recording, and what that remembered
// itself, over into the sidecar that replaces it. One that is damaged is replaced
// like any other.
func (a *Archive) remember(ctx context.Context, s *sidecar, earlier *Entry) error {
	if earlier.path == "" { // it was only noted: where it comes from remembers
		return nil
	}
	old, err := a.readSidecar(ctx, earlier.path)
	switch {
	case err == nil:
		s.History = append(s.History, old.History...)
		s.Remarks = old.Remarks
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errSidecar):
		return err
	}
	s.History = append(s.History, sidecarChange{ReplacedAt: s.AddedAt, Recording: earlier.Recording})
	return nil
}

func parseHash(text string) (sum [sha256.Size]byte, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(sum) {
		return sum, fmt.Errorf("%.80q is not a SHA-256", text)
	}
	copy(sum[:], raw)
	return sum, nil
}
