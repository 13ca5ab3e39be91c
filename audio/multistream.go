package audio

import "bytes"

// silent is the index, in a channel mapping table, of an output channel without sound
// (RFC 7845 section 5.1.1).
const silent = 255

// readMapping reads the channel mapping table (RFC 7845 section 5.1.1), which follows the
// header's first 19 bytes if the mapping family is not 0.
func (h *opusHead) readMapping(family byte, table []byte) *Fault {
	most := 255 // family 255: separate channels
	if family == 1 {
		most = 8 // mono to 7.1 surround
	}
	switch {
	case family != 1 && family != 255:
		return fault(ErrUnsupported, "Ogg Opus channel mapping family %d is not supported; "+
			"send family 0 (mono or stereo), 1 (surround, to 8 channels) or 255 (separate channels)", family)
	case h.channels < 1 || h.channels > most:
		return fault(ErrMalformed, "the OpusHead header names %d channels; mapping family %d has 1 to %d", h.channels, family, most)
	case len(table) != 2+h.channels:
		return fault(ErrMalformed, "the OpusHead header is %d bytes long instead of %d, as %d channels of mapping family %d need: "+
			"the file is damaged", 19+len(table), 21+h.channels, h.channels, family)
	}
	h.streams, h.coupled, h.mapping = int(table[0]), int(table[1]), bytes.Clone(table[2:])
	if h.streams == 0 || h.coupled > h.streams || h.streams+h.coupled > 255 {
		return fault(ErrMalformed, "the OpusHead header names %d streams, %d of them of two channels: the file is damaged", h.streams, h.coupled)
	}
	for i, from := range h.mapping {
		if from != silent && int(from) >= h.streams+h.coupled {
			return fault(ErrMalformed, "the OpusHead header takes channel %d from decoded channel %d, but its streams have only %d: "+
				"the file is damaged", i, from, h.streams+h.coupled)
		}
	}
	return nil
}

// measure returns how many samples at 48 kHz an Ogg packet of several streams lasts. It
// holds an Opus packet of each stream, all of the same length (RFC 7845 section 3), and
// all but the last in self-delimiting framing.
func (h *opusHead) measure(b []byte) (samples int, bad *Fault) {
	rest := b
	for i := range h.streams - 1 {
		one, ok := selfDelimited(rest)
		switch {
		case !ok:
			return 0, fault(ErrMalformed, "the packet of stream %d of %d in an Ogg packet of %d bytes is malformed or cut off: "+
				"the file is damaged; send the original again", i, h.streams, len(b))
		case i > 0 && one.time != samples:
			return 0, unequal(samples, one.time)
		}
		samples, rest = one.time, rest[one.end:]
	}
	last, ok := packetTime(rest)
	switch {
	case !ok:
		return 0, malformed(rest)
	case last != samples:
		return 0, unequal(samples, last)
	}
	return last, nil
}

func unequal(one, other int) *Fault {
	return fault(ErrMalformed, "the streams of an Ogg packet last for %d and %d samples instead of equally long: "+
		"the file is damaged; send the original again", one, other)
}

// delimited says where the parts of a packet of self-delimiting framing are (RFC 6716
// appendix B). b[:end] without the extra length b[at:at+used] is the same packet in
// normal framing.
type delimited struct {
	time          int // samples at 48 kHz
	at, used, end int
}

// plain appends the packet at the start of b to dst in normal framing.
func (d delimited) plain(dst, b []byte) []byte {
	return append(append(dst, b[:d.at]...), b[d.at+d.used:d.end]...)
}

// selfDelimited parses the packet of self-delimiting framing at the start of b. ok is
// false if it breaks a rule of RFC 6716 section 3.4, or if b ends inside it.
func selfDelimited(b []byte) (d delimited, ok bool) {
	b = b[:min(len(b), maxPacketLen)]
	if len(b) == 0 {
		return d, false
	}
	d.time, d.at, ok = frameTime(b[0]>>3), 1, true
	equal, others := 1, 0 // frames of the extra length; bytes of the other frames and of padding
	switch b[0] & 3 {
	case 1:
		d.time, equal = 2*d.time, 2
	case 2:
		d.time *= 2
		others, ok = d.lengths(b, 1)
	case 3:
		equal, others, ok = d.manyFrames(b)
	}
	if !ok {
		return d, false
	}
	n, used, ok := frameLen(b[d.at:])
	d.used = used
	d.end = d.at + used + equal*n + others
	return d, ok && d.end <= len(b)
}

// manyFrames is selfDelimited for a packet of code 3, up to its extra length.
func (d *delimited) manyFrames(b []byte) (equal, others int, ok bool) {
	if len(b) < 2 {
		return 0, 0, false
	}
	count := int(b[1] & countMask)
	d.time *= count
	d.at = 2
	if count == 0 || d.time > maxPacketTime {
		return 0, 0, false
	}
	padding := 0
	if b[1]&padded != 0 {
		used := 0
		if padding, used, ok = paddingLen(b[d.at:]); !ok {
			return 0, 0, false
		}
		d.at += used
	}
	if b[1]&variable == 0 {
		return count, padding, true
	}
	sum, ok := d.lengths(b, count-1)
	return 1, padding + sum, ok
}

// lengths adds up the n lengths of frames at d.at, and moves that past them.
func (d *delimited) lengths(b []byte, n int) (sum int, ok bool) {
	for range n {
		one, used, ok := frameLen(b[d.at:])
		if !ok {
			return 0, false
		}
		sum += one
		d.at += used
	}
	return sum, true
}
