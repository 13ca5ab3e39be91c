package audio

import (
	"fmt"
	"io"
	"math"

	"github.com/pion/opus"
)

// A decoder carries its state from packet to packet, so what a stretch of sound
// decodes to depends on all before it. To make it depend on little, so that any
// range of a WAV has the same bytes whether or not what precedes it was decoded,
// the decoder starts afresh at every segment and first runs in over the preroll
// just before it (RFC 7845 section 4.6 asks for 80 ms).
const (
	segment = 30 * Rate
	preroll = Rate / 2
	// maxPacketPCM is the most samples at Rate that a packet can give.
	maxPacketPCM = maxPacketTime / step
)

// Decoder turns Ogg Opus of one or two channels into PCM: [Rate] Hz, mono, 16
// bit. It plays what RFC 7845 section 4 says is to be played: the pre-skip and
// what lies past the last granule position are cut off, gaps in the granule
// positions are silent, the header's gain is applied. A packet that cannot be
// decoded is silent for its length. The Opus decoder within is pion/opus.
type Decoder struct {
	pages  pageReader
	stream stream
	opus   opus.Decoder
	gain   float64

	queue []packet // of the page being played
	page  int64    // sample at which that page ends
	pos   int64    // sample at which the next packet begins
	skip  int64    // samples before this one are not given out
	tail  []packet // the packets just before pos, preroll long
	fresh int64    // the segment for which opus was started; -1: none
	thin  int      // of so many packets only one is decoded: see Peaks; 0: all are
	since int      // packets that were passed over since the last that was decoded,
	last  int      // which had this length

	pcm     []int16 // decoded up to pos and not given out yet
	silence int64   // as many samples of silence up to pos instead
	scratch [maxPacketPCM]int16
	err     error
}

// NewDecoder reads the headers of an Ogg Opus stream. Its errors are those of
// [Check] and of r.
func NewDecoder(r io.Reader) (*Decoder, error) {
	d := &Decoder{pages: pageReader{src: r}, fresh: -1}
	for d.stream.stage < atAudio {
		if err := d.nextPage(); err == io.EOF {
			return nil, fault(ErrTruncated, "the file ends inside its headers: the rest did not arrive; send the whole file")
		} else if err != nil {
			return nil, err
		}
	}
	if err := d.opus.Init(Rate, 1); err != nil {
		return nil, fmt.Errorf("start the Opus decoder: %w", err)
	}
	d.gain = math.Pow(10, float64(d.stream.head.gain)/256/20)
	d.skip = int64(d.stream.head.preSkip) / step
	return d, nil
}

// ReadSamples fills pcm with samples at [Rate], full scale ±32768, and returns
// how many it gave. At the end of the sound it returns [io.EOF]; a fault of the
// file, or of its reader, comes after all that was good before it.
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

// skipTo passes over what comes before sample, counted from the first that is
// played; it must not lie behind what was read. Segments that end before it are
// parsed but not decoded.
func (d *Decoder) skipTo(sample int64) {
	d.skip = sample + int64(d.stream.head.preSkip)/step
	behind := d.skip - (d.pos - d.silence - int64(len(d.pcm)))
	d.silence -= max(0, min(d.silence, behind))
	d.pcm = d.pcm[max(0, min(int64(len(d.pcm)), behind)):]
}

// advance takes one step: on to the next page, or to the next packet of this one.
func (d *Decoder) advance() error {
	if len(d.queue) == 0 {
		return d.nextPage()
	}
	p := d.queue[0]
	d.queue = d.queue[1:]
	d.play(p)
	return nil
}

// nextPage takes the packets of the next page into the queue.
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
	d.lead()
	return nil
}

// lead makes the page just read end where its granule position says:
// silence before its packets if they are too short for that; if they are too
// long, play cuts them.
func (d *Decoder) lead() {
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

// play decodes one packet.
func (d *Decoder) play(p packet) {
	length := int64(p.time / step)
	kept := min(length, max(0, d.page-d.pos))
	within := d.pos / segment
	if (within+1)*segment+maxPacketPCM > d.skip {
		if within != d.fresh {
			d.restart(within)
		}
		d.emit(d.sound(p)[:kept], kept)
	} else {
		d.pos += kept
	}
	d.remember(p)
}

// sound is the PCM of the packet; of one that is passed over that of the last one
// of its length, which thereby stands for it.
func (d *Decoder) sound(p packet) []int16 {
	if d.since++; d.since < d.thin && d.last == p.time {
		return d.scratch[:p.time/step]
	}
	d.since, d.last = 0, p.time
	return d.decode(p)
}

// emit queues pcm, or as much silence if it is nil, that begins at pos.
func (d *Decoder) emit(pcm []int16, n int64) {
	drop := min(n, max(0, d.skip-d.pos))
	d.pos += n
	if pcm == nil {
		d.silence = n - drop
		return
	}
	d.pcm = pcm[drop:]
}

// restart makes the decoder forget all but the preroll.
func (d *Decoder) restart(within int64) {
	d.fresh = within
	// Init cannot fail: NewDecoder has called it with the same arguments.
	_ = d.opus.Init(Rate, 1)
	for _, p := range d.tail {
		d.decode(p)
	}
}

// remember keeps the packet for the next preroll and forgets what is no longer
// needed for it.
func (d *Decoder) remember(p packet) {
	total := p.time
	for _, q := range d.tail {
		total += q.time
	}
	var spare []byte
	for len(d.tail) > 0 && total-d.tail[0].time >= preroll*step {
		total -= d.tail[0].time
		spare = d.tail[0].data
		d.tail = append(d.tail[:0], d.tail[1:]...)
	}
	d.tail = append(d.tail, packet{append(spare[:0], p.data...), p.time})
}

// decode gives the PCM of a packet, good until the next call.
func (d *Decoder) decode(p packet) (pcm []int16) {
	pcm = d.scratch[:p.time/step]
	// The packet's shape was checked; should the decoder still stumble over its
	// contents, the sound after it is worth more than an early end.
	defer func() {
		if recover() != nil {
			clear(pcm)
			_ = d.opus.Init(Rate, 1)
		}
	}()
	if n, err := d.opus.DecodeToInt16(p.data, pcm); err != nil || n != len(pcm) {
		clear(pcm)
	}
	if d.gain != 1 {
		for i, v := range pcm {
			pcm[i] = int16(max(math.MinInt16, min(math.MaxInt16, math.Round(float64(v)*d.gain))))
		}
	}
	return pcm
}
