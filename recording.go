package callvault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// MaxTime is the latest time that is accepted, the end of the year 9999, in Unix
// milliseconds.
const MaxTime = 253402300799999

// Status is the stage of a recording's audio in its life. A source may send other
// values than those named here.
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

// HasAudio reports whether the audio of a recording with this status is served.
func (s Status) HasAudio() bool {
	return s == Saved || s == PendingDeleteSpace || s == PendingDeleteTime
}

// Deleted reports whether the status says that the audio is gone.
func (s Status) Deleted() bool { return strings.HasPrefix(string(s), "DELETED_") }

// Known reports whether the status is one of the API's.
func (s Status) Known() bool {
	return s.HasAudio() || slices.Contains([]Status{Pending, DeletedUser, DeletedSpace, DeletedTime, DeletedUnknown}, s)
}

// Recording is one recorded stretch of a call, in the fields, names and order of
// the API guide ("Requesting Recording Data"). StartTime is in Unix milliseconds,
// Duration in milliseconds. Size is the exact number of bytes that the audio
// endpoint sends.
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

// Validate returns an error if the recording cannot be stored: a sentence for its
// sender that wraps InvalidParameter.
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

// appendJSON appends the JSON of a value whose encoding cannot fail. It does not
// escape what only HTML needs escaped.
func appendJSON(b []byte, value any) []byte {
	buf := bytes.NewBuffer(b)
	encoder := json.NewEncoder(buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
