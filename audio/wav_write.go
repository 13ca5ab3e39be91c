package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

const (
	wavHeaderLen = 44
	wavBlock     = 1 << 14 // bytes handled at a time
	maxWAV       = math.MaxUint32 - wavHeaderLen
)

// WAV is a WAV file, 16-bit PCM at [Rate] Hz, mono, that is decoded on demand from an
// Ogg Opus stream. Each byte is the same in whichever range it is read. Seek costs
// nothing; the Read after it skips what comes before at the speed of [Check], and decodes
// at most half a minute in vain. It must not be used concurrently.
type WAV struct {
	src     io.ReadSeeker
	samples int64
	pos     int64 // of the next Read

	dec  *Decoder
	next int64 // the next sample that dec will return
	pcm  [wavBlock / 2]int16
	buf  [wavBlock]byte
	have []byte // part of buf: decoded, not read yet, and ending before next
}

// NewWAV returns a WAV of the Ogg Opus stream in src, from its start. info is what
// [Check] returned for it. If the sound is too long for a WAV, which has at most 4 GiB
// or three days, the error wraps ErrUnsupported.
func NewWAV(src io.ReadSeeker, info Info) (*WAV, error) {
	w := &WAV{src: src, samples: info.wavSamples()}
	if 2*w.samples > maxWAV {
		return nil, fault(ErrUnsupported, "%s of sound does not fit into a WAV file", info.Duration())
	}
	return w, nil
}

// Size returns the length of the file in bytes.
func (w *WAV) Size() int64 { return wavHeaderLen + 2*w.samples }

// Seek implements [io.Seeker].
func (w *WAV) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += w.pos
	case io.SeekEnd:
		offset += w.Size()
	}
	if offset < 0 {
		return w.pos, errors.New("audio: seek to before the start of the WAV")
	}
	w.pos = offset
	return offset, nil
}

// Read implements [io.Reader]. Its errors are those of [Decoder.ReadSamples], and
// ErrTruncated if the stream is shorter than its Info says.
func (w *WAV) Read(p []byte) (int, error) {
	if w.pos >= w.Size() {
		return 0, io.EOF
	}
	n := 0
	if w.pos < wavHeaderLen {
		n = copy(p, w.header()[w.pos:])
		w.pos += int64(n)
	}
	for n < len(p) && w.pos < w.Size() {
		if err := w.load(); err != nil {
			return n, err
		}
		k := copy(p[n:], w.have)
		w.have = w.have[k:]
		w.pos += int64(k)
		n += k
	}
	return n, nil
}

// load makes w.have begin at w.pos.
func (w *WAV) load() error {
	at := w.pos - wavHeaderLen
	begin := 2*w.next - int64(len(w.have))
	if w.dec != nil && at >= begin && at < 2*w.next {
		w.have = w.have[at-begin:]
		return nil
	}
	if err := w.reach(at / 2); err != nil {
		return err
	}
	n, err := w.dec.ReadSamples(w.pcm[:min(int64(len(w.pcm)), w.samples-w.next)])
	if err == io.EOF {
		return fault(ErrTruncated, "the Ogg Opus stream ends %d samples too early", w.samples-w.next)
	} else if err != nil {
		return err
	}
	for i, v := range w.pcm[:n] {
		binary.LittleEndian.PutUint16(w.buf[2*i:], uint16(v))
	}
	w.next += int64(n)
	w.have = w.buf[at%2 : 2*n]
	return nil
}

// reach brings the decoder to the sample. If it is past it already, it starts over.
func (w *WAV) reach(sample int64) error {
	if w.dec == nil || w.next > sample {
		w.dec = nil
		if _, err := w.src.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("go back to the start of the audio: %w", err)
		}
		dec, err := NewDecoder(w.src)
		if err != nil {
			return err
		}
		w.dec, w.next = dec, 0
	}
	if w.next < sample {
		w.dec.skipTo(sample)
		w.next = sample
	}
	w.have = nil
	return nil
}

// header returns the RIFF header of 16-bit PCM.
func (w *WAV) header() []byte {
	le := binary.LittleEndian
	size := uint32(2 * w.samples)
	b := append(make([]byte, 0, wavHeaderLen), "RIFF"...)
	b = le.AppendUint32(b, wavHeaderLen-8+size)
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(b, wavPCM)
	b = le.AppendUint16(b, 1)
	b = le.AppendUint32(b, Rate)
	b = le.AppendUint32(b, 2*Rate)
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, 16)
	b = append(b, "data"...)
	return le.AppendUint32(b, size)
}
