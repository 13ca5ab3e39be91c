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

// maxSidecar is the largest sidecar that is read, in bytes.
const maxSidecar = 16 << 20

// sidecar is the file beside a recording's audio. It holds everything known about
// the recording, so that the archive can be read, and its database rebuilt, without
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
	// Path is the path of the files when it no longer follows from the recording,
	// because its start was amended.
	Path string `json:"path,omitempty"`
}

// sidecarAudio describes the audio beside the sidecar.
type sidecarAudio struct {
	SHA256       string `json:"sha256"`
	Bytes        int64  `json:"bytes"`
	Duration     int64  `json:"duration"`     // measured, in milliseconds
	UploadSHA256 string `json:"uploadSha256"` // of what was sent in, before it was encoded
	HeldAt       int64  `json:"heldAt"`       // when it was kept, or fetched, in Unix milliseconds
	// Doubt says why the held audio is doubtful; Accepted says why an operator
	// accepted audio that is not whole.
	Doubt    string `json:"doubt,omitempty"`
	Accepted string `json:"accepted,omitempty"`
}

// sidecarChange is what was known until ReplacedAt.
type sidecarChange struct {
	ReplacedAt int64               `json:"replacedAt"` // Unix milliseconds
	Recording  callvault.Recording `json:"recording"`
	Call       *callvault.Call     `json:"call,omitempty"` // only if it was replaced too
}

// errSidecar marks a file that is not a sidecar, or is that of another recording.
var errSidecar = errors.New("this is not the sidecar that belongs here")

// sidecarOf returns the sidecar of an intake.
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

// given returns the call that the recording came with, or nil when the call was made
// from the recording or is not the recording's.
func (s *sidecar) given() *callRow {
	if !s.CallGiven || s.Call.CallKey != s.Recording.CallKey || s.Call.TenantName != s.Recording.TenantName {
		return nil
	}
	return &callRow{call: s.Call, given: true, updatedMs: s.AddedAt}
}

// path returns the path of the recording's files.
func (s *sidecar) path() string {
	if s.Path != "" {
		return s.Path
	}
	return pathOf(s.Recording.TenantName, s.Recording.RecordingKey, s.Recording.StartTime)
}

// encode returns the sidecar's JSON as it is written, without HTML escapes, as in lists.
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

// readSidecar reads the sidecar at path. The error is fs.ErrNotExist when there is
// none, and errSidecar when it is damaged.
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

// requireSidecar reads the sidecar of an entry that has one. The error is
// callvault.NotFound when it is missing or damaged.
func (a *Archive) requireSidecar(ctx context.Context, entry *Entry) (*sidecar, error) {
	side, err := a.readSidecar(ctx, entry.path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errSidecar) {
		return nil, fmt.Errorf("the sidecar of recording %s is missing or damaged: %w", entry.Recording.RecordingKey, callvault.NotFound)
	}
	return side, err
}

// check returns an error if the sidecar is not valid or is not where it belongs.
func (s *sidecar) check(path string) error {
	err := s.Recording.Validate()
	if err == nil {
		err = s.Call.Validate()
	}
	if err == nil && s.path() != path {
		err = errors.New("it describes a recording that belongs elsewhere")
	}
	if err == nil && s.Audio != nil {
		_, err = parseHash(s.Audio.SHA256)
	}
	if err != nil {
		return fmt.Errorf("%s%s: %w: %v", path, sidecarEnding, errSidecar, err) // %v: the code that err wraps is not the caller's fault
	}
	return nil
}

// remember adds the earlier form of the recording to the history of the sidecar that
// replaces it, after the history and remarks of the earlier sidecar. If that one is
// damaged, its history and remarks are lost.
func (a *Archive) remember(ctx context.Context, s *sidecar, earlier *Entry) error {
	if earlier.path == "" { // it was only noted: its source has the history
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
