package audio

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// maxGap is the longest silence, in samples at 48 kHz, that a stream may skip with all
// its jumps of the granule position together. More means that a position is damaged;
// and a few bytes could otherwise stand for years of silence to decode and encode.
const maxGap = 24 * 3600 * opusRate

// opusHead is the identification header (RFC 7845 section 5.1).
type opusHead struct {
	channels, preSkip, rate int
	gain                    int    // dB in 1/256
	streams, coupled        int    // Opus packets in an Ogg packet, and how many of them, the first, have two channels
	mapping                 []byte // the decoded channel that each output channel takes, or silent; nil: family 0
}

func parseHead(b []byte) (opusHead, *Fault) {
	if !bytes.HasPrefix(b, []byte("OpusHead")) {
		return opusHead{}, fault(ErrNotOpus, "the Ogg file does not hold Opus; send Ogg Opus or WAV instead")
	}
	if len(b) < 19 {
		return opusHead{}, fault(ErrMalformed, "the OpusHead header is %d bytes long instead of 19: the file is damaged", len(b))
	}
	h := opusHead{
		channels: int(b[9]),
		preSkip:  int(binary.LittleEndian.Uint16(b[10:])),
		rate:     int(binary.LittleEndian.Uint32(b[12:])),
		gain:     int(int16(binary.LittleEndian.Uint16(b[16:]))),
		streams:  1,
	}
	switch {
	case b[8]&0xf0 != 0:
		return h, fault(ErrUnsupported, "Ogg Opus version %d is not supported; send version 1", b[8])
	case b[18] != 0:
		bad := h.readMapping(b[18], b[19:])
		return h, bad
	case h.channels != 1 && h.channels != 2:
		return h, fault(ErrMalformed, "the OpusHead header names %d channels; mapping family 0 has 1 or 2", h.channels)
	}
	h.coupled = h.channels - 1
	return h, nil
}

// packet is an Ogg packet with sound: an Opus packet, or one of each stream, and its
// length in samples at 48 kHz.
type packet struct {
	data []byte
	time int
}

type stage int

const (
	atHead stage = iota
	atTags
	inTags
	atAudio
	atEnd
)

// stream follows the one logical stream of an Ogg Opus file page by page, and returns a
// fault if it breaks the rules of RFC 3533 and RFC 7845.
type stream struct {
	head    opusHead
	stage   stage
	serial  uint32
	seq     uint32
	pages   int
	timed   bool  // a granule position of an audio page is known
	start   int64 // granule position of the first sample
	granule int64 // the last granule position
	gaps    int64 // all gaps so far, in samples at 48 kHz
	partial []byte
	packets []packet
}

// samples returns how many samples at 48 kHz can be played so far.
func (s *stream) samples() int64 {
	return max(0, s.granule-s.start-int64(s.head.preSkip))
}

// follow reads the next page. Until the next call, s.packets are the packets that end on
// it, and s.granule is its granule position.
func (s *stream) follow(p page) *Fault {
	s.packets = s.packets[:0]
	if bad := s.order(p); bad != nil {
		return bad
	}
	s.seq = p.seq
	s.pages++
	var bad *Fault
	switch s.stage {
	case atHead:
		bad = s.readHead(p)
	case atTags, inTags:
		bad = s.readTags(p)
	default:
		bad = s.readAudio(p)
	}
	if bad == nil && p.flags&flagLast != 0 {
		if s.partial != nil {
			return fault(ErrMalformed, "the stream is marked as ended inside a packet: its end is missing")
		}
		s.stage = atEnd
	}
	return bad
}

// order checks that the page is the next one of the stream.
func (s *stream) order(p page) *Fault {
	switch first := p.flags&flagFirst != 0; {
	case s.stage == atHead && !first:
		return fault(ErrMalformed, "the first Ogg page is not marked as the start of a stream: the beginning is missing; send the whole file")
	case s.stage == atHead:
		s.serial = p.serial
		return nil
	case s.stage == atEnd && first:
		return fault(ErrUnsupported, "a second Ogg stream follows the first (a chained file); send one stream per file")
	case s.stage == atEnd:
		return fault(ErrMalformed, "Ogg pages follow the end of the stream: the file is not in order")
	case first || p.serial != s.serial:
		return fault(ErrUnsupported, "several Ogg streams are interleaved (a multiplexed file); send only one Opus stream")
	case p.seq != s.seq+1:
		return fault(ErrMalformed, "Ogg page %d comes where page %d should: pages are missing or out of order", p.seq, s.seq+1)
	}
	if continued := p.flags&flagContinued != 0; continued != (s.partial != nil || s.stage == inTags) && len(p.lacing) > 0 {
		return fault(ErrMalformed, "an Ogg page does not continue the packet that the page before it began: bytes are missing")
	}
	return nil
}

func (s *stream) readHead(p page) *Fault {
	head, bad := parseHead(p.body)
	if bad != nil {
		return bad
	}
	// The table of over 233 channels needs a second lacing value.
	if end := slices.IndexFunc(p.lacing, func(n byte) bool { return n < 255 }); end < 0 || end != len(p.lacing)-1 {
		return fault(ErrMalformed, "the OpusHead header does not stand alone on its page: the file is damaged")
	}
	s.head, s.stage = head, atTags
	return nil
}

// readTags skips the comment header (RFC 7845 section 5.2), which may have any length.
func (s *stream) readTags(p page) *Fault {
	if s.stage == atTags && !bytes.HasPrefix(p.body, []byte("OpusTags")) {
		return fault(ErrMalformed, "the OpusTags header does not follow the OpusHead header: the file is damaged")
	}
	s.stage = inTags
	for i, n := range p.lacing {
		if n == 255 {
			continue
		}
		if i != len(p.lacing)-1 {
			return fault(ErrMalformed, "sound begins on the page of the OpusTags header: the file is damaged")
		}
		s.stage = atAudio
	}
	return nil
}

func (s *stream) readAudio(p page) *Fault {
	time, bad := s.split(p)
	if bad != nil || len(s.packets) == 0 {
		return bad
	}
	return s.advance(p, int64(time))
}

// malformed is the fault of a packet that breaks a rule of RFC 6716 section 3.4.
func malformed(packet []byte) *Fault {
	return fault(ErrMalformed, "an Opus packet of %d bytes is malformed: the file is damaged; send the original again", len(packet))
}

// split collects the packets that end on the page and returns their total length.
func (s *stream) split(p page) (time int, bad *Fault) {
	body, from := p.body, 0
	for i, at := 0, 0; i < len(p.lacing); i++ {
		at += int(p.lacing[i])
		if p.lacing[i] == 255 {
			continue
		}
		data := body[from:at]
		from = at
		if s.partial != nil {
			s.partial = append(s.partial, data...)
			data, s.partial = s.partial, nil
		}
		n, ok := packetTime(data)
		if s.head.streams > 1 {
			if n, bad = s.head.measure(data); bad != nil {
				return 0, bad
			}
		} else if !ok {
			return 0, malformed(data)
		}
		time += n
		s.packets = append(s.packets, packet{data, n})
	}
	if len(p.lacing) > 0 && p.lacing[len(p.lacing)-1] == 255 {
		// RFC 7845 section 6 gives this limit for each stream.
		if most := s.head.streams * maxPacketLen; len(s.partial)+len(body)-from > most {
			return 0, fault(ErrMalformed, "an Opus packet is longer than %d bytes: the file is damaged", most)
		}
		s.partial = append(s.partial, body[from:]...)
		if s.partial == nil {
			s.partial = []byte{}
		}
	}
	return time, nil
}

// advance checks the granule position of a page whose packets last for time (RFC 7845
// section 4).
func (s *stream) advance(p page, time int64) *Fault {
	last := p.flags&flagLast != 0
	gap := p.granule - s.granule - time
	switch {
	case p.granule < 0:
		return fault(ErrMalformed, "an Ogg page with sound has no granule position: the file is damaged")
	case !s.timed && p.granule < time && !last:
		return fault(ErrMalformed, "the first granule position, %d, is below the %d samples that came: the file is damaged", p.granule, time)
	case s.timed && p.granule < s.granule:
		return fault(ErrMalformed, "the granule position falls from %d to %d: pages are out of order or damaged", s.granule, p.granule)
	case s.timed && gap > maxGap-s.gaps:
		return fault(ErrMalformed, "the granule position jumps from %d to %d: the file is damaged", s.granule, p.granule)
	}
	if s.timed {
		s.gaps += max(0, gap)
	} else {
		s.timed = true
		s.start = max(0, p.granule-time)
	}
	s.granule = p.granule
	return nil
}
