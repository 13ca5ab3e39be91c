package callvault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// MaxTime is the last instant that is taken, the end of the year 9999, in Unix
// milliseconds.
const MaxTime = 253402300799999

// Status says where a recording's audio is in its life (contract, "Status
// values"). Others than those named here may come from a source.
type Status string

// The statuses of the API.
const (
	Pending            Status = "PENDING"
	Saved              Status = "SAVED"
	PendingDeleteSpace Status = "PENDING_DELETE_SPACE"
	PendingDeleteTime  Status = "PENDING_DELETE_TIME"
	DeletedUser        Status = "DELETED_USER"
	DeletedSpace       Status = "DELETED_SPACE"
	DeletedTime        Status = "DELETED_TIME"
	DeletedUnknown     Status = "DELETED_UNKNOWN"
)

// HasAudio tells whether the audio of a recording with this status is served.
func (s Status) HasAudio() bool {
	return s == Saved || s == PendingDeleteSpace || s == PendingDeleteTime
}

// Deleted tells whether the status says that the audio is gone.
func (s Status) Deleted() bool { return strings.HasPrefix(string(s), "DELETED_") }

// Known tells whether the status is one of the API's.
func (s Status) Known() bool {
	return s.HasAudio() || slices.Contains([]Status{Pending, DeletedUser, DeletedSpace, DeletedTime, DeletedUnknown}, s)
}

// Recording is one stretch of recorded audio of a call, in the fields, names and
// order of the seed ("Requesting Recording Data"). StartTime is in Unix
// milliseconds, Duration in milliseconds, Size in bytes: exactly what the audio
// endpoint sends for it.
type Recording struct {
	RecordingKey      string `json:"recordingKey"`
	CallKey           string `json:"callKey"`
	StartTime         int64  `json:"startTime"`
	Duration          int64  `json:"duration"`
	Size              int64  `json:"size"`
	EventID           int64  `json:"eventId"`
	RecordingSystemID int64  `json:"recordingSystemId"`
	Status            Status `json:"status"`
	CallingParty      string `json:"callingParty"`
	ReceivingParty    string `json:"receivingParty"`
	TenantName        string `json:"tenantName"`
	TagData           string `json:"tagData"`
	CallDirection     string `json:"callDirection"`
	Skill             string `json:"skill"`
	Agent             string `json:"agent"`
}

// Validate tells whether the recording can be kept. The error, a sentence for
// the one who sent it, wraps InvalidParameter.
func (r *Recording) Validate() error {
	if err := CheckKey("recordingKey", r.RecordingKey); err != nil {
		return err
	}
	if err := CheckKey("callKey", r.CallKey); err != nil {
		return err
	}
	if err := CheckKey("tenantName", r.TenantName); err != nil {
		return err
	}
	switch {
	case r.StartTime <= 0 || r.StartTime > MaxTime:
		return fmt.Errorf("startTime %d is not a time in Unix milliseconds: %w", r.StartTime, InvalidParameter)
	case r.Duration < 0 || r.Duration > MaxTime:
		return fmt.Errorf("duration %d is not a number of milliseconds: %w", r.Duration, InvalidParameter)
	case r.Size < 0:
		return fmt.Errorf("size %d is not a number of bytes: %w", r.Size, InvalidParameter)
	case r.Status == "":
		return fmt.Errorf("status is missing: %w", InvalidParameter)
	}
	return nil
}

// AppendJSON appends the recording's published JSON form to b.
func (r *Recording) AppendJSON(b []byte) []byte { return appendJSON(b, r) }

// appendJSON encodes a value that cannot fail to encode, without escaping what
// only HTML would need escaped.
func appendJSON(b []byte, value any) []byte {
	buf := bytes.NewBuffer(b)
	encoder := json.NewEncoder(buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
