package audio

import (
	"fmt"
	"io"
	"math"

	"github.com/pion/opus"
)

// An Opus decoder carries state from packet to packet, so what a packet decodes to
// depends on all packets before it. But any range of a WAV must have the same bytes
// whether or not the sound before it was decoded. So the decoder is reset at every
// segment, and first decodes the preroll just before it (RFC 7845 section 4.6 asks for
// 80 ms).
const (
	segment = 30 * Rate
	preroll = Rate / 2
	// maxPacketPCM is the maximum number of samples at Rate in a packet.
	maxPacketPCM = maxPacketTime / step
	// maxTail is the most bytes in a preroll: as many as one stream can have, in packets of
	// 2.5 ms. So memory stays small, even if 255 streams are all padding.
	maxTail = preroll * step / (opusRate / 400) * maxPacketLen
)

// Decoder decodes Ogg Opus of any number of channels to PCM: [Rate] Hz, mono, 16 bit, the
// average of all channels, less those that the channel mapping table says are silent
// (RFC 7845 section 5.1.1). It follows RFC 7845 section 4: it drops the pre-skip and
// everything after the last granule position, fills gaps in the granule positions with
// silence, and applies the header's gain. A packet that cannot be decoded becomes silence
// of its length. The Opus decoder is pion/opus.
type Decoder struct {
	pages  pageReader
	stream stream
	opus   opus.Decoder
	mix    *mixer // instead of opus, if the header has a channel mapping table
	gain   float64

	queue []packet // the remaining packets of the current page
	page  int64    // sample at which that page ends
	pos   int64    // sample at which the next packet begins
	skip  int64    // samples before this one are dropped
	tail  []packet // the packets just before pos, preroll long
	begun int64    // the segment for which opus was reset; -1: none
	thin  int      // only one of so many packets is decoded: see Peaks; 0: all are
	since int      // packets skipped since the last that was decoded,
	last  int      // which had this length

	pcm     []int16 // decoded up to pos and not returned yet
	silence int64   // or that many samples of silence up to pos
	scratch [maxPacketPCM]int16
	err     error
}

// NewDecoder reads the headers of an Ogg Opus stream. Its errors are those of
// [Check] and of r.
func NewDecoder(r io.Reader) (*Decoder, error) {
	d := &Decoder{pages: pageReader{src: r}, begun: -1}
	for d.stream.stage < atAudio {
		if err := d.nextPage(); err == io.EOF {
			return nil, fault(ErrTruncated, "the file ends inside its headers: the rest did not arrive; send the whole file")
		} else if err != nil {
			return nil, err
		}
	}
	if err := d.start(); err != nil {
		return nil, err
	}
	d.gain = math.Pow(10, float64(d.stream.head.gain)/256/20)
	d.skip = int64(d.stream.head.preSkip) / step
	return d, nil
}

// start readies the decoder, or decoders, that the header calls for.
func (d *Decoder) start() (err error) {
	if d.stream.head.mapping != nil {
		d.mix, err = newMixer(d.stream.head)
		return err
	}
	if err := d.opus.Init(Rate, 1); err != nil {
		return fmt.Errorf("start the Opus decoder: %w", err)
	}
	return nil
}

// ReadSamples reads samples at [Rate], full scale ±32768, into pcm, and returns how many
// it read. At the end of the sound it returns [io.EOF]. It returns an error of the
// file, or of its reader, after all good samples before it.
func (d *Decoder) ReadSamples(pcm []int16) (int, error) {
	n := 0
	for n < len(pcm) {
		if len(d.pcm) > 0 {
			k := copy(pcm[n:], d.pcm)
			d.pcm = d.pcm[k:]
			n += k
			continue
		}
		if d.silence > 0 {
			k := int(min(d.silence, int64(len(pcm)-n)))
			clear(pcm[n : n+k])
			d.silence -= int64(k)
			n += k
			continue
		}
		if d.err == nil {
			d.err = d.advance()
		}
		if d.err != nil {
			break
		}
	}
	if n == 0 && len(pcm) > 0 {
		return 0, d.err
	}
	return n, nil
}

// skipTo skips to a sample, counted from the first that is played. It must not be before
// what was read already. Segments that end before it are parsed but not decoded.
func (d *Decoder) skipTo(sample int64) {
	d.skip = sample + int64(d.stream.head.preSkip)/step
	behind := d.skip - (d.pos - d.silence - int64(len(d.pcm)))
	d.silence -= max(0, min(d.silence, behind))
	d.pcm = d.pcm[max(0, min(int64(len(d.pcm)), behind)):]
}

// advance takes one step: to the next page, or to the next packet of this one.
func (d *Decoder) advance() error {
	if len(d.queue) == 0 {
		return d.nextPage()
	}
	p := d.queue[0]
	d.queue = d.queue[1:]
	d.play(p)
	return nil
}

// nextPage reads the next page and queues its packets.
func (d *Decoder) nextPage() error {
	p, at, err := d.pages.next()
	if err != nil {
		return err
	}
	if bad := d.stream.follow(p); bad != nil {
		bad.Offset = at
		return bad
	}
	d.queue = d.stream.packets
	d.alignPage()
	return nil
}

// alignPage makes the page just read end where its granule position says. If its packets are
// too short for that, it puts silence before them; if they are too long, play cuts them.
func (d *Decoder) alignPage() {
	if len(d.queue) == 0 {
		return
	}
	d.page = (d.stream.granule - d.stream.start) / step
	length := int64(0)
	for _, p := range d.queue {
		length += int64(p.time / step)
	}
	if gap := d.page - d.pos - length; gap > 0 {
		d.emit(nil, gap)
	}
}

// play decodes one packet, or skips it if it ends well before d.skip.
func (d *Decoder) play(p packet) {
	length := int64(p.time / step)
	kept := min(length, max(0, d.page-d.pos))
	current := d.pos / segment
	if (current+1)*segment+maxPacketPCM > d.skip {
		if current != d.begun {
			d.restart(current)
		}
		d.emit(d.sound(p)[:kept], kept)
	} else {
		d.pos += kept
	}
	d.remember(p)
}

// sound returns the PCM of the packet. If the packet is skipped because d.thin says so,
// the PCM of the last decoded one, of the same length, stands in for it.
func (d *Decoder) sound(p packet) []int16 {
	if d.since++; d.since < d.thin && d.last == p.time {
		return d.scratch[:p.time/step]
	}
	d.since, d.last = 0, p.time
	return d.decode(p)
}

// emit queues n samples at pos: those of pcm, or silence if it is nil.
func (d *Decoder) emit(pcm []int16, n int64) {
	drop := min(n, max(0, d.skip-d.pos))
	d.pos += n
	if pcm == nil {
		d.silence = n - drop
		return
	}
	d.pcm = pcm[drop:]
}

// restart resets the Opus decoder and decodes the preroll.
func (d *Decoder) restart(to int64) {
	d.begun = to
	if d.mix != nil {
		d.mix.reset()
	} else {
		// Init cannot fail: NewDecoder has called it with the same arguments.
		_ = d.opus.Init(Rate, 1)
	}
	for _, p := range d.tail {
		d.decode(p)
	}
}

// remember keeps the packet for the next preroll and forgets what is no longer
// needed for it.
func (d *Decoder) remember(p packet) {
	total, size := p.time, len(p.data)
	for _, q := range d.tail {
		total += q.time
		size += len(q.data)
	}
	var spare []byte
	for len(d.tail) > 0 && (total-d.tail[0].time >= preroll*step || size > maxTail) {
		total -= d.tail[0].time
		size -= len(d.tail[0].data)
		spare = d.tail[0].data
		d.tail = append(d.tail[:0], d.tail[1:]...)
	}
	if cap(spare) > 2*maxPacketLen {
		spare = nil // a small packet must not hold the room of a huge one
	}
	d.tail = append(d.tail, packet{append(spare[:0], p.data...), p.time})
}

// decode returns the PCM of a packet, valid until the next call.
func (d *Decoder) decode(p packet) (pcm []int16) {
	pcm = d.scratch[:p.time/step]
	if d.mix != nil {
		d.mix.decode(p.data, pcm)
	} else {
		decodePacket(&d.opus, 1, p.data, pcm)
	}
	if d.gain != 1 {
		for i, v := range pcm {
			pcm[i] = int16(max(math.MinInt16, min(math.MaxInt16, math.Round(float64(v)*d.gain))))
		}
	}
	return pcm
}

// decodePacket decodes an Opus packet to all of pcm, which has so many channels, or clears
// it if that fails.
func decodePacket(dec *opus.Decoder, channels int, packet []byte, pcm []int16) {
	// The structure of the packet was checked. If the decoder panics on its contents all
	// the same, going on with the sound after it is better than ending early.
	defer func() {
		if recover() != nil {
			clear(pcm)
			_ = dec.Init(Rate, channels)
		}
	}()
	if n, err := dec.DecodeToInt16(packet, pcm); err != nil || n*channels != len(pcm) {
		clear(pcm)
	}
}
