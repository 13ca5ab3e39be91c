package audio

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Format is what a file's first bytes look like, in words that fit "this is …".
type Format string

// The formats that are accepted.
const (
	FormatWAV     Format = "a WAV file"
	FormatOggOpus Format = "an Ogg Opus file"
)

// What people send instead.
const (
	FormatEmpty     Format = "an empty file"
	FormatOggVorbis Format = "an Ogg Vorbis file"
	FormatOgg       Format = "an Ogg file of another codec"
	FormatMP3       Format = "an MP3 file"
	FormatFLAC      Format = "a FLAC file"
	FormatAIFF      Format = "an AIFF file"
	FormatAU        Format = "a Sun AU file"
	FormatMP4       Format = "an MP4 or M4A file"
	FormatWebM      Format = "a WebM or Matroska file"
	FormatAMR       Format = "an AMR file"
	FormatJPEG      Format = "a JPEG picture"
	FormatPNG       Format = "a PNG picture"
	FormatGIF       Format = "a GIF picture"
	FormatPDF       Format = "a PDF document"
	FormatZIP       Format = "a ZIP archive"
	FormatGzip      Format = "a gzip file"
	FormatMarkup    Format = "an HTML or XML page"
	FormatJSON      Format = "a JSON text"
	FormatText      Format = "a text"
	FormatUnknown   Format = "not an audio file that we know"
)

// SniffLen is the maximum number of bytes that [Sniff] looks at.
const SniffLen = 512

// magics are first bytes that identify a format.
var magics = []struct {
	prefix string
	format Format
}{
	{"ID3", FormatMP3},
	{"fLaC", FormatFLAC},
	{"FORM", FormatAIFF},
	{".snd", FormatAU},
	{"\x1a\x45\xdf\xa3", FormatWebM},
	{"#!AMR", FormatAMR},
	{"\xff\xd8\xff", FormatJPEG},
	{"\x89PNG", FormatPNG},
	{"GIF8", FormatGIF},
	{"%PDF", FormatPDF},
	{"PK\x03\x04", FormatZIP},
	{"\x1f\x8b", FormatGzip},
}

// Sniff says what a file is by its first [SniffLen] bytes, or all if there are fewer. It
// goes by the label and does not check the contents: see [Check] for that.
func Sniff(head []byte) Format {
	switch {
	case len(head) == 0:
		return FormatEmpty
	case bytes.HasPrefix(head, []byte("OggS")):
		return sniffOgg(head)
	case len(head) >= 12 && isRIFF(string(head[:4])) && string(head[8:12]) == "WAVE":
		return FormatWAV
	case len(head) >= 8 && string(head[4:8]) == "ftyp":
		return FormatMP4
	}
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.prefix)) {
			return m.format
		}
	}
	if isMPEGFrame(head) {
		return FormatMP3
	}
	return sniffText(head)
}

// sniffOgg identifies the codec by the start of the first packet.
func sniffOgg(head []byte) Format {
	if len(head) < pageHeaderLen {
		return FormatOgg
	}
	body := head[min(len(head), pageHeaderLen+int(head[26])):]
	switch {
	case bytes.HasPrefix(body, []byte("OpusHead")):
		return FormatOggOpus
	case bytes.HasPrefix(body, []byte("\x01vorbis")):
		return FormatOggVorbis
	}
	return FormatOgg
}

// isMPEGFrame reports whether b begins with the header of an MPEG audio frame of layer I
// to III. Most other bytes have values that the standard forbids.
func isMPEGFrame(b []byte) bool {
	return len(b) >= 4 && b[0] == 0xff && b[1]&0xe0 == 0xe0 &&
		b[1]>>3&3 != 1 && b[1]>>1&3 != 0 && b[2]>>4 != 15 && b[2]>>4 != 0 && b[2]>>2&3 != 3
}

func sniffText(head []byte) Format {
	if !isText(head) {
		return FormatUnknown
	}
	text := strings.TrimSpace(strings.TrimPrefix(string(head), "\ufeff"))
	switch {
	case strings.HasPrefix(text, "<"):
		return FormatMarkup
	case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "["):
		return FormatJSON
	}
	return FormatText
}

// isText reports whether b is UTF-8 without control characters. Its last character may
// be cut off.
func isText(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			return !utf8.FullRune(b)
		}
		if unicode.IsControl(r) && !unicode.IsSpace(r) {
			return false
		}
		b = b[n:]
	}
	return true
}

// refusal returns the error for a file of a format that is not accepted.
func (f Format) refusal() *Fault {
	kind := ErrUnsupported
	switch f {
	case FormatEmpty:
		return fault(ErrEmpty, "the audio is empty: no bytes arrived; send the recording again")
	case FormatOggVorbis, FormatOgg:
		kind = ErrNotOpus
	case FormatUnknown:
		return fault(kind, "this is %s; send Ogg Opus or WAV", f)
	}
	return fault(kind, "this is %s; send Ogg Opus or WAV instead", f)
}
