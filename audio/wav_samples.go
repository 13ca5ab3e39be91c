package audio

import (
	"encoding/binary"
	"io"
	"math"
)

// ReadSamples reads samples at [Rate] into pcm and returns how many it read. At the end
// it returns [io.EOF]. If there is less sound than the header announces, or something
// follows the sound that is not part of a WAV, it returns an error after all the sound.
func (w *WAVReader) ReadSamples(pcm []int16) (int, error) {
	for len(w.ready) == 0 && w.err == nil {
		w.ready, w.err = w.read()
		w.err = w.placed(w.err)
	}
	if len(w.ready) == 0 && len(pcm) > 0 {
		return 0, w.err
	}
	n := min(len(pcm), len(w.ready))
	for i, v := range w.ready[:n] {
		pcm[i] = toInt16(v)
	}
	w.ready = w.ready[n:]
	return n, nil
}

// read returns the next stretch of sound at Rate; with the last, io.EOF.
func (w *WAVReader) read() ([]float32, error) {
	if w.over {
		return w.conv.finish(), io.EOF
	}
	n, err := io.ReadFull(w.src, w.block[:min(int64(len(w.block)), w.left)])
	w.pos += int64(n)
	w.left -= int64(n)
	sound := w.conv.push(w.mix(w.block[:n]))
	switch ended := err == io.EOF || err == io.ErrUnexpectedEOF; {
	case err != nil && !ended:
		return nil, err
	case ended && w.size >= 0:
		return sound, fault(ErrTruncated, "the header of the WAV file announces %d bytes of sound, only %d are there: "+
			"the rest did not arrive or the header is wrong; send the whole file", w.size, w.size-w.left)
	case ended:
		w.over = true
	case w.left == 0:
		w.over = true
		return sound, w.lookPast()
	}
	return sound, nil
}

// mix unpacks samples of all channels and averages the channels. It ignores an
// incomplete sample at the end.
func (w *WAVReader) mix(b []byte) []float32 {
	n := len(b) / (w.width * w.chans)
	all := w.mono[:n*w.chans]
	w.unpack(all, b)
	if w.chans == 2 {
		for i := range n {
			all[i] = (all[2*i] + all[2*i+1]) / 2
		}
	}
	return all[:n]
}

// lookPast checks that the sound really ends where the header says. There the file must
// end, or be padded with zeros, or go on with a chunk; not all writers put a padding byte
// before that if the number of bytes is odd. If more sound or another file follows, it
// must not be left out, so it is an error.
func (w *WAVReader) lookPast() error {
	pad := int(w.size & 1)
	next, err := w.src.Peek(8 + pad)
	if err == io.EOF {
		return nil
	} else if err != nil {
		return err
	}
	zeros, name := true, true
	for _, c := range next[pad : pad+4] {
		zeros = zeros && c == 0
		name = name && c >= ' ' && c <= '~'
	}
	switch string(next[pad : pad+4]) {
	case "data", "RIFF", "RF64", "BW64":
		return fault(ErrUnsupported, "more sound follows the %d bytes that the header of the WAV file announces, "+
			"as if files had been joined; send them one by one", w.size)
	}
	if zeros || name || isChunkID(next[:4]) {
		return nil
	}
	return fault(ErrMalformed, "the header of the WAV file announces %d bytes of sound, yet more follows: "+
		"the header is wrong; repair it and send the file again", w.size)
}

func toInt16(v float32) int16 {
	return int16(math.RoundToEven(float64(max(-32768, min(32767, v*32768)))))
}

// unpacker converts the bytes of len(dst) samples to numbers in [-1, 1).
type unpacker func(dst []float32, b []byte)

// unpackerOf returns the unpacker for a coding, or nil if there is none, and the number
// of bytes in a sample.
func unpackerOf(coding uint16, bits int) (unpacker, int) {
	switch {
	case coding == wavPCM && bits == 8:
		return unpack8, 1
	case coding == wavPCM && bits == 16:
		return unpack16, 2
	case coding == wavPCM && bits == 24:
		return unpack24, 3
	case coding == wavPCM && bits == 32:
		return unpack32, 4
	case coding == wavFloat && bits == 32:
		return unpackFloat32, 4
	case coding == wavFloat && bits == 64:
		return unpackFloat64, 8
	case coding == wavALaw && bits == 8:
		return unpackTable(aLaw), 1
	case coding == wavMuLaw && bits == 8:
		return unpackTable(muLaw), 1
	}
	return nil, 0
}

func unpack8(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = (float32(b[i]) - 128) / (1 << 7)
	}
}

func unpack16(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = float32(int16(binary.LittleEndian.Uint16(b[2*i:]))) / (1 << 15)
	}
}

func unpack24(dst []float32, b []byte) {
	for i := range dst {
		high := uint32(b[3*i])<<8 | uint32(b[3*i+1])<<16 | uint32(b[3*i+2])<<24
		dst[i] = float32(int32(high)) / (1 << 31)
	}
}

func unpack32(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = float32(int32(binary.LittleEndian.Uint32(b[4*i:]))) / (1 << 31)
	}
}

func unpackFloat32(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = sane(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	}
}

func unpackFloat64(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = sane(float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))))
	}
}

// sane limits a sample to [-1, 1], and turns NaN into 0, so that one bad sample does not
// spread through the resampler's filter into its neighbours.
func sane(v float32) float32 {
	if v != v {
		return 0
	}
	return max(-1, min(1, v))
}

func unpackTable(decode func(byte) int16) unpacker {
	var table [256]float32
	for i := range table {
		table[i] = float32(decode(byte(i))) / (1 << 15)
	}
	return func(dst []float32, b []byte) {
		for i := range dst {
			dst[i] = table[b[i]]
		}
	}
}

// aLaw decodes a sample of ITU-T G.711 A-law.
func aLaw(b byte) int16 {
	b ^= 0x55
	v := int16(b&0x0f)<<4 + 8
	if exp := b >> 4 & 7; exp > 0 {
		v = (v + 0x100) << (exp - 1)
	}
	if b&0x80 == 0 {
		return -v
	}
	return v
}

// muLaw decodes a sample of ITU-T G.711 µ-law.
func muLaw(b byte) int16 {
	const bias = 0x84
	b = ^b
	v := (int16(b&0x0f)<<3+bias)<<(b>>4&7) - bias
	if b&0x80 != 0 {
		return -v
	}
	return v
}
