// Package ingest adds recordings from elsewhere to the archive: uploads and files, in
// any format that package audio can read. It converts them to the archive's format.
//
// It fills in what the sender left out, and refuses what cannot be stored with an
// error that says what to do. It does not authenticate the sender.
//
// It promises that what it accepts is stored as durably as the archive promises, and
// that nothing stays of what it refuses.
package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"callvault"
	"callvault/archive"
	"callvault/audio"
)

// Intake adds recordings to an archive.
type Intake struct {
	archive *archive.Archive
	mu      sync.Mutex
	turns   map[string]chan struct{} // closed when the turn ends
}

// New returns an Intake for the archive.
func New(a *archive.Archive) *Intake {
	return &Intake{archive: a, turns: map[string]chan struct{}{}}
}

// takeTurn waits until no one else has the turn of this name, and takes it until end is
// called. It fails if ctx ends first.
func (t *Intake) takeTurn(ctx context.Context, name string) (end func(), err error) {
	for {
		t.mu.Lock()
		turn, taken := t.turns[name]
		if !taken {
			turn = make(chan struct{})
			t.turns[name] = turn
		}
		t.mu.Unlock()
		if !taken {
			return func() {
				t.mu.Lock()
				delete(t.turns, name)
				t.mu.Unlock()
				close(turn)
			}, nil
		}
		select {
		case <-turn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// convert converts audio to the archive's format: it copies Ogg Opus of one channel byte for byte,
// and encodes anything else that can be read as Ogg Opus, 8 kHz, mono.
func (t *Intake) convert(raw io.ReadSeeker) (*archive.Audio, error) {
	spool, err := t.archive.NewSpool()
	if err != nil {
		return nil, err
	}
	defer spool.Discard()
	if _, err := audio.ToOpus(spool, raw); err != nil {
		return nil, audioError(err)
	}
	converted, err := spool.Finish()
	return converted, audioError(err)
}

// known returns the archive's entry of a tenant's recording, or nil if there is none.
func (t *Intake) known(ctx context.Context, tenant, key string) (*archive.Entry, error) {
	entry, err := t.archive.Find(ctx, tenant, key)
	if errors.Is(err, callvault.NotFound) {
		return nil, nil
	}
	return entry, err
}

// encode converts audio with the hash sum that was sent for a recording. If the known
// entry was encoded from the same audio, it reuses the result. Encoding may take so long
// that a client gives up; when it sends the audio again it must not wait that long again.
func (t *Intake) encode(ctx context.Context, known *archive.Entry, raw io.ReadSeeker, sum [sha256.Size]byte) (*archive.Audio, error) {
	if known == nil || !known.EncodedFrom(sum) {
		return t.convert(raw)
	}
	held, err := t.archive.OpenAudio(ctx, known)
	if err != nil {
		return t.convert(raw) // the file is lost; this replaces it
	}
	defer held.Close()
	if audio, err := t.convert(held); err == nil {
		return audio, nil
	}
	return t.convert(raw)
}

// audioError wraps an error about audio with the Code for its sender.
func audioError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, audio.ErrNoLibrary):
		return fmt.Errorf("only Ogg Opus of one channel is accepted here: %w: %w", err, callvault.UnsupportedMediaType)
	case errors.Is(err, audio.ErrUnprocessable):
		return fmt.Errorf("the audio cannot be used: %w: %w", err, callvault.UnprocessableAudio)
	}
	return err
}

// hashFile returns the SHA-256 of a file that is at its start, and goes back there.
func hashFile(file io.ReadSeeker) (sum [sha256.Size]byte, err error) {
	digest := sha256.New()
	if _, err := io.Copy(digest, file); err != nil {
		return sum, fmt.Errorf("read audio: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return sum, fmt.Errorf("read audio: %w", err)
	}
	digest.Sum(sum[:0])
	return sum, nil
}

// metadata is a recording's metadata as it was sent.
type metadata struct {
	recording []byte // JSON of a Recording
	call      []byte // JSON of a Call; empty if none was sent
	callKey   string // used if neither has one; if it is empty too, a key is made
}

// fill parses the metadata, fills in what it leaves out, and returns an intake without
// audio. source says where the recording comes from.
func (m *metadata) fill(tenant, source string, now time.Time) (*archive.Intake, error) {
	in := &archive.Intake{Source: source, Added: now}
	r := &in.Recording
	if err := decode("recording", m.recording, r); err != nil {
		return nil, err
	}
	if r.TenantName == "" {
		r.TenantName = tenant
	}
	if r.TenantName != tenant {
		return nil, fmt.Errorf("the recording's tenantName is %q, but it was sent to %q: %w", r.TenantName, tenant, callvault.InvalidParameter)
	}
	if r.StartTime == 0 {
		return nil, fmt.Errorf("the recording has no startTime; give it in Unix milliseconds: %w", callvault.InvalidParameter)
	}
	if r.Status == "" {
		r.Status = callvault.Saved
	}
	if !r.Status.Known() {
		return nil, fmt.Errorf("%q is not a status of a recording; the usual one is SAVED: %w", r.Status, callvault.InvalidParameter)
	}
	if r.RecordingKey == "" {
		r.RecordingKey = callvault.NewRecordingKey(r.StartTime)
	}
	return in, callvault.CheckKey("recordingKey", r.RecordingKey)
}

// fillCall parses the call, if one was sent. The recording's duration must be known.
func (m *metadata) fillCall(in *archive.Intake) error {
	r := &in.Recording
	var sent *callvault.Call // stays nil if the JSON is null
	if len(m.call) > 0 {
		if err := decode("call", m.call, &sent); err != nil {
			return err
		}
	}
	if r.CallKey == "" && sent != nil {
		r.CallKey = sent.CallKey
	}
	if r.CallKey == "" {
		r.CallKey = m.callKey
	}
	if r.CallKey == "" {
		r.CallKey = callvault.NewCallKey(callvault.Span{From: r.StartTime, To: r.StartTime + r.Duration})
	}
	if sent == nil {
		return nil
	}
	call := callvault.CallOf(r)
	if err := decode("call", m.call, &call); err != nil {
		return err
	}
	in.Call = &call
	return nil
}

// decode parses one JSON object. It ignores unknown fields.
func decode(what string, text []byte, into any) error {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if err := checkUnicode(text); err != nil {
		return fmt.Errorf("the %s cannot be read: %w: %w", what, err, callvault.InvalidParameter)
	}
	err := json.Unmarshal(text, into)
	if err == nil {
		return nil
	}
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		err = fmt.Errorf("its %s cannot be a %s", wrongType.Field, wrongType.Value)
	case errors.As(err, &wrongType):
		err = errors.New("it is not a JSON object")
	}
	return fmt.Errorf("the %s cannot be read: %w: %w", what, err, callvault.InvalidParameter)
}

// checkUnicode returns an error if part of a JSON text is not Unicode. json.Unmarshal
// would replace that with U+FFFD, so that two keys could become one.
func checkUnicode(text []byte) error {
	switch {
	case !utf8.Valid(text):
		return errors.New("it is not UTF-8")
	case halfCharacter(text):
		return errors.New(`an escape such as \ud83d is half of a character, whose other half is missing`)
	}
	return nil
}

// halfCharacter reports whether a JSON text escapes one half of a surrogate pair without
// the other (RFC 8259 8.2).
func halfCharacter(text []byte) bool {
	for at := 0; at < len(text); {
		if text[at] != '\\' {
			at++
			continue
		}
		first, size := escape(text[at:])
		at += size
		if !utf16.IsSurrogate(first) {
			continue
		}
		second, size := escape(text[at:])
		if utf16.DecodeRune(first, second) == utf8.RuneError {
			return true
		}
		at += size
	}
	return false
}

// escape parses the escape at the start of a JSON text. It returns its UTF-16 code unit,
// or -1 if it is not of the form \u0000, and its length.
func escape(text []byte) (unit rune, size int) {
	if len(text) >= 6 && text[0] == '\\' && text[1] == 'u' {
		if n, err := strconv.ParseUint(string(text[2:6]), 16, 16); err == nil {
			return rune(n), 6
		}
	}
	return -1, 2
}
