// Package audio checks, measures, decodes and encodes the two formats of
// recordings: Ogg Opus (RFC 7845), in which they are stored, and WAV, which
// telephone systems deliver and listeners may ask for.
//
// It knows nothing of calls, tenants, files or HTTP. It does not play audio, stream
// it live, or transcode it to anything else.
//
// It promises: constant memory, however long the recording; no panic, whatever the
// bytes; for every error that is the input's fault, a sentence for the person who
// sent it, and errors.Is(err, [ErrUnprocessable]); the same output for the same
// input, byte for byte.
//
// Checking and decoding are pure Go. Encoding calls libopus, which is opened when it
// is first needed. Without it, only encoding fails, with [ErrNoLibrary].
package audio

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Rate is the sampling rate, in Hz, of all PCM that this package returns or encodes:
// that of a telephone line.
const Rate = 8000

// opusRate is the rate, in Hz, of the samples that Ogg Opus counts, whatever the rate
// of the input (RFC 7845 section 4).
const opusRate = 48000

// step is the number of samples at opusRate for one sample at Rate.
const step = opusRate / Rate

// Info describes an Ogg Opus stream.
type Info struct {
	Channels  int   // of the output, from the identification header (RFC 7845 section 5.1): 1 to 255
	InputRate int   // Hz of the original, from the identification header (RFC 7845 section 5.1); 0 if unknown
	PreSkip   int   // samples at 48 kHz to drop from the start (RFC 7845 section 4.2)
	Samples   int64 // playable samples at 48 kHz: last granule position, less the first one's offset, less PreSkip
	Pages     int   // whole Ogg pages
	Bytes     int64 // all bytes read
	Ended     bool  // the last page is marked as the end of the stream
}

// Duration returns the playing time.
func (i Info) Duration() time.Duration {
	whole, rest := i.Samples/opusRate, i.Samples%opusRate
	return time.Duration(whole)*time.Second + time.Duration(rest)*time.Second/opusRate
}

// wavSamples returns the number of samples at Rate that the stream decodes to.
func (i Info) wavSamples() int64 {
	skip := int64(i.PreSkip)
	return (i.Samples+skip)/step - skip/step
}

// What can be wrong with audio. Each is wrapped in a [Fault], which says where.
var (
	// ErrUnprocessable is wrapped by every error that is the input's fault, and
	// by no other.
	ErrUnprocessable = errors.New("unprocessable audio")
	// ErrEmpty means that there are no bytes, or no sound in them.
	ErrEmpty = errors.New("empty")
	// ErrNotOgg means that the file does not begin with an Ogg page (RFC 3533 section 6).
	ErrNotOgg = errors.New("not Ogg")
	// ErrNotOpus means that the Ogg file holds something else, such as Vorbis.
	ErrNotOpus = errors.New("not Ogg Opus")
	// ErrCRC means that the bytes of an Ogg page do not match its checksum.
	ErrCRC = errors.New("checksum mismatch")
	// ErrTruncated means that the file is shorter than it says.
	ErrTruncated = errors.New("truncated")
	// ErrMalformed means that the file breaks the rules of its format.
	ErrMalformed = errors.New("malformed")
	// ErrUnsupported means that the file is of a kind that is not accepted.
	ErrUnsupported = errors.New("unsupported")
)

// ErrNoLibrary means that the machine has no libopus. Its message says what to
// install. It is not the input's fault.
var ErrNoLibrary = errors.New("encoding needs libopus, which is not on this machine: install it " +
	"(Debian, Ubuntu: apt-get install libopus0; Alpine, Homebrew: opus) and start again")

// Fault is one thing wrong with the input. It unwraps to its Kind and to
// [ErrUnprocessable].
type Fault struct {
	Kind   error  // one of the errors above
	Offset int64  // byte of the input at which the faulty thing begins
	Text   string // what is wrong and what to do about it
}

// Error returns the text and the offset.
func (f *Fault) Error() string {
	if f.Offset == 0 {
		return f.Text
	}
	return fmt.Sprintf("%s (at byte %d)", f.Text, f.Offset)
}

// Finding returns what is wrong and where, without the advice to the sender of the
// audio. It is for people who did not send it.
func (f *Fault) Finding() string {
	found := *f
	for _, advice := range []string{"; send ", "; repair "} {
		found.Text, _, _ = strings.Cut(found.Text, advice)
	}
	return found.Error()
}

// Unwrap returns the kind and [ErrUnprocessable].
func (f *Fault) Unwrap() []error { return []error{f.Kind, ErrUnprocessable} }

// fault returns a Fault without its offset, which the caller may fill in.
func fault(kind error, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Text: fmt.Sprintf(format, args...)}
}
