package audio

import (
	"encoding/binary"
	"io"
)

// How speech is encoded. Frames of 60 ms take a tenth less space than frames of 20 ms.
// Even at the highest complexity encoding is twice as fast as with opusenc, since
// nothing is resampled to 48 kHz first: see BenchmarkEncode.
const (
	bitrate    = 8000 // bit/s aimed at
	complexity = 10   // of 10
	frame      = 60 * Rate / 1000
	pageTime   = opusRate
	maxEncoded = 4000 // bytes; the buffer size that libopus recommends for a packet
)

// Samples is sound at [Rate], mono, 16 bit: a [Decoder] or a [WAVReader].
type Samples interface {
	// ReadSamples reads the next samples. It returns io.EOF after the last.
	ReadSamples(pcm []int16) (int, error)
}

// Encode writes src to w as Ogg Opus: mono, with an input rate of 8000 Hz, speech at
// about 8 kbit/s, variable, in frames of 60 ms and pages of up to a second. The end is
// marked, and exact to the sample. The same sound and the same libopus give the same
// bytes. The error is that of src or w, ErrEmpty, or [ErrNoLibrary]; what was written to
// w is then to be discarded.
func Encode(w io.Writer, src Samples) (Info, error) {
	opus, err := newOpusEncoder()
	if err != nil {
		return Info{}, err
	}
	defer opus.close()
	delay, err := opus.lookahead()
	if err != nil {
		return Info{}, err
	}
	e := &encoder{opus: opus, src: src, out: pageWriter{w: w}, preSkip: delay * step}
	if err := e.run(); err != nil {
		return Info{}, err
	}
	return Info{
		Channels:  1,
		InputRate: Rate,
		PreSkip:   e.preSkip,
		Samples:   e.read * step,
		Pages:     e.out.pages,
		Bytes:     e.out.bytes,
		Ended:     true,
	}, nil
}

type encoder struct {
	opus    *opusEncoder
	src     Samples
	out     pageWriter
	preSkip int // samples at 48 kHz
	read    int64
	ended   bool
	pcm     [frame]int16
	packet  [maxEncoded]byte
	granule int64 // of all packets so far
	paged   int64 // of those on written pages
}

func (e *encoder) run() error {
	if err := e.fill(); err != nil {
		return err
	}
	if e.read == 0 {
		return fault(ErrEmpty, "the audio holds no sound: its length is 0; send the recording again")
	}
	if err := e.headers(); err != nil {
		return err
	}
	// The encoder returns the last sound only after its delay.
	for !e.ended || e.granule < e.read*step+int64(e.preSkip) {
		if err := e.encode(); err != nil {
			return err
		}
		if err := e.fill(); err != nil {
			return err
		}
	}
	return e.out.flush(e.read*step+int64(e.preSkip), flagLast)
}

// fill reads the next frame, and pads it with silence after the end.
func (e *encoder) fill() error {
	n := 0
	for n < frame && !e.ended {
		k, err := e.src.ReadSamples(e.pcm[n:])
		n += k
		if err == io.EOF {
			e.ended = true
		} else if err != nil {
			return err
		}
	}
	e.read += int64(n)
	clear(e.pcm[n:])
	return nil
}

// encode adds one frame to the page. It writes a full page only when the next packet is
// there, so that a page is left to be marked as the last.
func (e *encoder) encode() error {
	n, err := e.opus.encode(e.pcm[:], e.packet[:])
	if err != nil {
		return err
	}
	if e.granule+frame*step-e.paged > pageTime || !e.out.fits(n) {
		if err := e.out.flush(e.granule, 0); err != nil {
			return err
		}
		e.paged = e.granule
	}
	e.out.add(e.packet[:n])
	e.granule += frame * step
	return nil
}

// headers writes the two header pages (RFC 7845 section 5).
func (e *encoder) headers() error {
	le := binary.LittleEndian
	head := append([]byte("OpusHead"), 1, 1)
	head = le.AppendUint16(head, uint16(e.preSkip))
	head = le.AppendUint32(head, Rate)
	head = append(head, 0, 0, 0)
	e.out.add(head)
	if err := e.out.flush(0, flagFirst); err != nil {
		return err
	}
	const vendor = "callvault"
	tags := le.AppendUint32([]byte("OpusTags"), uint32(len(vendor)))
	tags = le.AppendUint32(append(tags, vendor...), 0)
	e.out.add(tags)
	return e.out.flush(0, 0)
}
