package audio

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// Codings of a WAV's samples (RFC 2361).
const (
	wavPCM        = 0x0001
	wavFloat      = 0x0003
	wavALaw       = 0x0006
	wavMuLaw      = 0x0007
	wavExtensible = 0xfffe
)

// Limits of the sampling rate, in Hz. Beyond them the header must be damaged.
const (
	minRate = 1000
	maxRate = 768000
)

// WAVReader reads the sound of a WAV file as PCM at [Rate] Hz, mono. The file may hold
// PCM of 8, 16, 24 or 32 bits, float of 32 or 64 bits, A-law or µ-law, at any rate from
// 1 to 768 kHz, in one channel or two, which are averaged. It may be RIFF, RF64 or BW64,
// with WAVE_FORMAT_EXTENSIBLE or without.
type WAVReader struct {
	src    *bufio.Reader
	pos    int64
	unpack unpacker
	width  int // bytes of a sample
	chans  int
	rate   int
	whole  int64 // bytes of the file, according to its header
	size   int64 // bytes of sound; -1: up to the end of the file

	left  int64 // of size
	block []byte
	mono  []float32
	conv  *resampler
	ready []float32 // at Rate, not returned yet
	over  bool      // all sound has been pushed into conv
	err   error
}

// OpenWAV reads the header of a WAV file up to the sound. Writers that cannot go back to
// fill in the size of the sound, or were stopped before, leave a value that stands for
// "unknown". The sound then goes on to the end of the file. Such values are 0 if sound
// follows (Asterisk), 0xffffffff (ffmpeg), 0x7ffff000 (sox), and others near these if the
// size of the file has one too (opusdec, oggdec, arecord). The error is a *[Fault] or
// that of r.
func OpenWAV(r io.Reader) (*WAVReader, error) {
	w := &WAVReader{src: bufio.NewReaderSize(r, 1<<16)}
	long, err := w.readHeader()
	if err == nil {
		err = w.findSound(long)
	}
	if err != nil {
		return nil, w.placed(err)
	}
	w.conv = newResampler(w.rate)
	w.left = w.size
	if w.size < 0 {
		w.left = math.MaxInt64
	}
	frame := w.width * w.chans
	w.block = make([]byte, wavBlock/frame*frame)
	w.mono = make([]float32, wavBlock/w.width)
	return w, nil
}

// Endless reports whether the header leaves open how long the sound is, like the header
// of a file that is still being written.
func (w *WAVReader) Endless() bool { return w.size < 0 }

func isRIFF(id string) bool { return id == "RIFF" || id == "RF64" || id == "BW64" }

// placed sets the offset of a fault that has none. It returns other errors as they are.
func (w *WAVReader) placed(err error) error {
	if f, ok := errors.AsType[*Fault](err); ok && f.Offset == 0 {
		f.Offset = w.pos
	}
	return err
}

// take reads exactly len(b) bytes.
func (w *WAVReader) take(b []byte) error {
	n, err := io.ReadFull(w.src, b)
	w.pos += int64(n)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fault(ErrTruncated, "the WAV file ends inside its header: the rest did not arrive; send the whole file")
	}
	return err
}

// readHeader reads the RIFF header. long reports whether the file has 64-bit sizes.
func (w *WAVReader) readHeader() (long bool, err error) {
	head, err := w.src.Peek(SniffLen)
	if err != nil && err != io.EOF {
		return false, err
	}
	if format := Sniff(head); format != FormatWAV {
		return false, format.refusal()
	}
	var b [12]byte
	err = w.take(b[:])
	w.whole = int64(binary.LittleEndian.Uint32(b[4:]))
	return string(b[:4]) != "RIFF", err
}

// findSound reads chunks up to the start of the sound.
func (w *WAVReader) findSound(long bool) error {
	size64 := int64(-1)
	for {
		id, size, err := w.chunk()
		if err != nil {
			return err
		}
		switch id {
		case "ds64":
			if size64, err = w.readSizes(size); err != nil {
				return err
			}
		case "fmt ":
			if err := w.readFormat(size); err != nil {
				return err
			}
		case "data":
			if w.unpack == nil {
				return fault(ErrMalformed, "the WAV file has sound before the fmt chunk that describes it: its header is damaged")
			}
			w.size = size
			if long && size == math.MaxUint32 {
				w.size = size64
			}
			return w.settleSize()
		default:
			if err := w.discard(size + size&1); err != nil {
				return err
			}
		}
	}
}

func (w *WAVReader) chunk() (id string, size int64, err error) {
	var b [8]byte
	if err := w.take(b[:]); err != nil {
		return "", 0, err
	}
	return string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:])), nil
}

func (w *WAVReader) discard(n int64) error {
	discarded, err := io.CopyN(io.Discard, w.src, n)
	w.pos += discarded
	if err == io.EOF {
		return fault(ErrTruncated, "the WAV file ends before its sound begins: the rest did not arrive, or a size in its header is wrong")
	}
	return err
}

// readSizes reads the 64-bit size of the sound (EBU Tech 3306 section 4.3).
func (w *WAVReader) readSizes(size int64) (int64, error) {
	var b [16]byte
	if size < int64(len(b)) {
		return 0, fault(ErrMalformed, "the ds64 chunk of the WAV file is %d bytes long instead of 28: its header is damaged", size)
	}
	if err := w.take(b[:]); err != nil {
		return 0, err
	}
	data := int64(binary.LittleEndian.Uint64(b[8:]))
	return max(data, -1), w.discard(size + size&1 - int64(len(b)))
}

// readFormat reads the fmt chunk.
func (w *WAVReader) readFormat(size int64) error {
	var b [40]byte
	if size < 16 {
		return fault(ErrMalformed, "the fmt chunk of the WAV file is %d bytes long instead of 16 or more: its header is damaged", size)
	}
	n := min(size, int64(len(b)))
	if err := w.take(b[:n]); err != nil {
		return err
	}
	le := binary.LittleEndian
	coding, bits := le.Uint16(b[0:]), int(le.Uint16(b[14:]))
	w.chans, w.rate = int(le.Uint16(b[2:])), int(le.Uint32(b[4:]))
	if coding == wavExtensible {
		coding = le.Uint16(b[24:])
	}
	switch {
	case w.chans != 1 && w.chans != 2:
		return fault(ErrUnsupported, "the WAV file has %d channels; send mono or stereo", w.chans)
	case w.rate < minRate || w.rate > maxRate:
		return fault(ErrUnsupported, "the WAV file has a sampling rate of %d Hz; send one of %d to %d Hz", w.rate, minRate, maxRate)
	}
	w.unpack, w.width = unpackerOf(coding, bits)
	if w.unpack == nil {
		return fault(ErrUnsupported, "the WAV file holds %s (coding 0x%04x, %d bits); convert it, with sox or ffmpeg, to PCM of 8, 16, 24 or 32 bits, float, A-law or µ-law",
			codingName(coding), coding, bits)
	}
	if align := int(le.Uint16(b[12:])); align != w.width*w.chans {
		return fault(ErrMalformed, "the WAV file says that a sample of all channels takes %d bytes, yet %d channels of %d bits take %d: its header is damaged",
			align, w.chans, bits, w.width*w.chans)
	}
	return w.discard(size + size&1 - n)
}

// codingName names a coding that is not accepted, or not with its number of bits.
func codingName(coding uint16) string {
	names := map[uint16]string{
		wavPCM: "PCM", wavFloat: "float", wavALaw: "A-law", wavMuLaw: "µ-law",
		0x0002: "Microsoft ADPCM", 0x0011: "IMA ADPCM", 0x0031: "GSM 6.10, which Asterisk calls wav49", 0x0045: "G.726", 0x0055: "MP3",
	}
	return cmp.Or(names[coding], "an unknown coding")
}

// settleSize sets w.size to -1 if the header leaves open how long the sound is.
func (w *WAVReader) settleSize() error {
	if w.placeholder() {
		w.size = -1
	}
	if w.size != 0 {
		return nil
	}
	next, err := w.src.Peek(8)
	if err != nil && err != io.EOF {
		return err
	}
	if len(next) == 8 && !isChunkID(next[:4]) {
		w.size = -1
	}
	return nil
}

// placeholder reports whether the size of the sound stands for "unknown": it is the
// largest number of 31 or 32 bits, or what a writer rounded that down to, with or without
// the size of the header.
func (w *WAVReader) placeholder() bool {
	const round = 1 << 12
	switch {
	case w.size == math.MaxUint32, w.size == 1<<31-round:
		return true
	case w.size >= 1<<31-round && w.size <= 1<<31, w.size > math.MaxUint32-round:
		return w.whole >= 1<<31-round
	}
	return false
}

// isChunkID reports whether b is the name of a chunk that may follow the sound.
func isChunkID(b []byte) bool {
	switch string(b) {
	case "LIST", "fact", "bext", "cue ", "smpl", "inst", "PEAK", "JUNK", "junk", "PAD ", "FLLR",
		"iXML", "axml", "chna", "_PMX", "afsp", "id3 ", "ID3 ", "DISP", "plst", "cart", "umid", "levl":
		return true
	}
	return false
}
