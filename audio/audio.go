// Package audio checks, measures, decodes and encodes the two forms in which a
// recording travels: Ogg Opus (RFC 7845), which is what is kept, and WAV, which
// is what telephone systems hand in and what a listener may ask for.
//
// It knows nothing of calls, tenants, files or HTTP, and it does not play,
// stream live or transcode to anything else.
//
// It promises: constant memory however long the recording; no panic on any
// bytes; every error that is the input's fault is a sentence for the person who
// sent it and answers errors.Is(err, [ErrUnprocessable]); the same input gives
// the same output, byte for byte.
//
// Checking and decoding are pure Go. Encoding calls libopus, opened when it is
// first needed; where it is missing only encoding fails, with [ErrNoLibrary].
package audio

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Rate is the sampling rate, in Hz, of all PCM that this package gives out and
// of what it encodes: that of a telephone line.
const Rate = 8000

// opusRate is the rate in Hz in which Ogg Opus counts, whatever the input's
// (RFC 7845 section 4).
const opusRate = 48000

// step is how many samples of opusRate one sample of Rate spans.
const step = opusRate / Rate

// Info is what an Ogg Opus stream says of itself.
type Info struct {
	Channels  int   // as coded: 1 or 2
	InputRate int   // Hz of the original, from the identification header (RFC 7845 section 5.1); 0 if not said
	PreSkip   int   // samples at 48 kHz to drop from the start (RFC 7845 section 4.2)
	Samples   int64 // playable samples at 48 kHz: last granule position, less the first one's offset, less PreSkip
	Pages     int   // whole Ogg pages
	Bytes     int64 // all bytes seen
	Ended     bool  // the last page is marked as the end of the stream
}

// Duration is the playing time.
func (i Info) Duration() time.Duration {
	whole, rest := i.Samples/opusRate, i.Samples%opusRate
	return time.Duration(whole)*time.Second + time.Duration(rest)*time.Second/opusRate
}

// wavSamples is how many samples at Rate a decoder gives for the stream.
func (i Info) wavSamples() int64 {
	skip := int64(i.PreSkip)
	return (i.Samples+skip)/step - skip/step
}

// What can be wrong with audio. Each is wrapped in a [Fault], which says where.
var (
	// ErrUnprocessable is matched by every error that is the input's fault, and
	// by none that is the machine's.
	ErrUnprocessable = errors.New("unprocessable audio")
	// ErrEmpty is no bytes, or no sound in them.
	ErrEmpty = errors.New("empty")
	// ErrNotOgg is a file that does not begin with an Ogg page (RFC 3533 section 6).
	ErrNotOgg = errors.New("not Ogg")
	// ErrNotOpus is an Ogg file of something else, Vorbis for one.
	ErrNotOpus = errors.New("not Ogg Opus")
	// ErrCRC is an Ogg page whose bytes do not agree with its checksum.
	ErrCRC = errors.New("checksum mismatch")
	// ErrTruncated is a file that ends before what it announced.
	ErrTruncated = errors.New("truncated")
	// ErrMalformed is a file that breaks the rules of its own format.
	ErrMalformed = errors.New("malformed")
	// ErrUnsupported is audio, or another file, of a kind that is not taken.
	ErrUnsupported = errors.New("unsupported")
)

// ErrNoLibrary is a machine without libopus: its message says what to install.
// It is not the input's fault.
var ErrNoLibrary = errors.New("encoding needs libopus, which is not on this machine: install it " +
	"(Debian, Ubuntu: apt-get install libopus0; Alpine, Homebrew: opus) and start again")

// Fault is one thing wrong with the input. It unwraps to its Kind and to
// [ErrUnprocessable].
type Fault struct {
	Kind   error  // one of the errors above
	Offset int64  // byte of the input at which the faulty thing begins
	Text   string // what is wrong and what to do about it
}

// Error is the text with its place.
func (f *Fault) Error() string {
	if f.Offset == 0 {
		return f.Text
	}
	return fmt.Sprintf("%s (at byte %d)", f.Text, f.Offset)
}

// Finding is what is wrong, with its place but without what who sends the audio should
// do about it: for those who have it from elsewhere.
func (f *Fault) Finding() string {
	found := *f
	for _, advice := range []string{"; send ", "; repair "} {
		found.Text, _, _ = strings.Cut(found.Text, advice)
	}
	return found.Error()
}

// Unwrap makes errors.Is work for the kind and for [ErrUnprocessable].
func (f *Fault) Unwrap() []error { return []error{f.Kind, ErrUnprocessable} }

// fault makes a Fault whose place is still to be filled in by who knows it.
func fault(kind error, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Text: fmt.Sprintf(format, args...)}
}
