package audio

import (
	"encoding/binary"
	"io"
)

// How speech is kept. Frames of 60 ms take a tenth less than those of 20 ms, and
// at the highest complexity encoding is still twice as fast as opusenc, since
// nothing is resampled to 48 kHz first: see BenchmarkEncode.
const (
	bitrate    = 8000 // bit/s aimed at
	complexity = 10   // of 10
	frame      = 60 * Rate / 1000
	pageTime   = opusRate
	maxEncoded = 4000 // bytes; what libopus recommends as room for a packet
)

// Samples is sound at [Rate], mono, 16 bit: a [Decoder] or a [WAVReader].
type Samples interface {
	// ReadSamples gives the next samples; io.EOF after the last.
	ReadSamples(pcm []int16) (int, error)
}

// Encode writes src to w as Ogg Opus: mono, 8000 Hz of input, speech at some 8
// kbit/s, variable, in frames of 60 ms and pages of up to a second, with the end
// marked and trimmed to the very sample. The same sound and the same libopus give
// the same bytes. Errors are those of src and w, ErrEmpty, or [ErrNoLibrary]; what
// w got until then is to be thrown away.
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
		return fault(ErrEmpty, "the audio holds no sound at all: its length is 0; send the recording again")
	}
	if err := e.headers(); err != nil {
		return err
	}
	// The last sound leaves the encoder only after its delay.
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

// fill reads the next frame, silent after the end.
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

// encode puts one frame on the page. A full page is written only when the next
// packet comes, so that there is one left to mark as the last.
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
