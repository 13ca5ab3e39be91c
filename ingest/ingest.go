// Package ingest takes in audio from elsewhere, uploads and files of any kind
// that audio can read, and brings it into the archive's form.
//
// It makes up what the sender left out, and refuses what it cannot keep with an
// error that says what to do. It does not ask who sends.
//
// It promises that what it accepted is kept as the archive promises, and that of
// what it refused nothing stays.
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

// Intake takes audio into an archive.
type Intake struct {
	archive *archive.Archive
	mu      sync.Mutex
	turns   map[string]chan struct{} // closed at its end
}

// New returns what takes audio into a.
func New(a *archive.Archive) *Intake {
	return &Intake{archive: a, turns: map[string]chan struct{}{}}
}

// takeTurn waits until nothing else of this name is being taken in; end lets the next.
// It fails where ctx ends first.
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

// convert brings audio into the archive's form: mono Ogg Opus is kept byte for
// byte, anything else that can be read becomes Ogg Opus, 8 kHz, mono.
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

// known is what is known of a tenant's recording; nil when nothing is.
func (t *Intake) known(ctx context.Context, tenant, key string) (*archive.Entry, error) {
	entry, err := t.archive.Find(ctx, tenant, key)
	if errors.Is(err, callvault.NotFound) {
		return nil, nil
	}
	return entry, err
}

// encode is convert of audio with the hash sum that is sent for a recording of which
// this is known: where it was sent before, it is what was made of it then. Encoding takes
// long enough for a client to give up on it; when he sends it again, he must not wait
// as long again.
func (t *Intake) encode(ctx context.Context, known *archive.Entry, raw io.ReadSeeker, sum [sha256.Size]byte) (*archive.Audio, error) {
	if known == nil || !known.EncodedFrom(sum) {
		return t.convert(raw)
	}
	held, err := t.archive.OpenAudio(ctx, known)
	if err != nil {
		return t.convert(raw) // which is what was lost
	}
	defer held.Close()
	if audio, err := t.convert(held); err == nil {
		return audio, nil
	}
	return t.convert(raw)
}

// audioError gives an error about audio the answer that its sender should get.
func audioError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, audio.ErrNoLibrary):
		return fmt.Errorf("only Ogg Opus of one channel can be taken here: %w: %w", err, callvault.UnsupportedMediaType)
	case errors.Is(err, audio.ErrUnprocessable):
		return fmt.Errorf("the audio cannot be used: %w: %w", err, callvault.UnprocessableAudio)
	}
	return err
}

// hashFile is the SHA-256 of a file from its beginning; it leaves the file there.
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

// metadata is what a sender tells of a recording.
type metadata struct {
	recording []byte // JSON of a Recording
	call      []byte // JSON of a Call; empty when there is none
	callKey   string // where neither tells one; empty when it is to be made
}

// fill reads metadata, makes up what it leaves out, and returns an intake
// without audio. source says where it comes from.
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
		return nil, fmt.Errorf("%q is not a status of a recording; SAVED is the usual one: %w", r.Status, callvault.InvalidParameter)
	}
	if r.RecordingKey == "" {
		r.RecordingKey = callvault.NewRecordingKey(r.StartTime)
	}
	return in, callvault.CheckKey("recordingKey", r.RecordingKey)
}

// fillCall reads the call, if one was sent, once the recording's length is known.
func (m *metadata) fillCall(in *archive.Intake) error {
	r := &in.Recording
	var sent *callvault.Call // nil as well when null was sent
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

// decode reads one JSON object, whose unknown fields are passed over.
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

// checkUnicode returns an error if a JSON text has something in it that is not Unicode.
// json.Unmarshal would replace it with U+FFFD, so that two keys could become one.
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

// escape reads the escape at the beginning of a JSON text: its UTF-16 code unit, -1
// for one that is none, and its length.
func escape(text []byte) (unit rune, size int) {
	if len(text) >= 6 && text[0] == '\\' && text[1] == 'u' {
		if n, err := strconv.ParseUint(string(text[2:6]), 16, 16); err == nil {
			return rune(n), 6
		}
	}
	return -1, 2
}
