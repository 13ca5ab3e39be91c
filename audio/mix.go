package audio

import (
	"fmt"
	"math"

	"github.com/pion/opus"
)

// mixer decodes packets of several streams to one channel. It averages all output
// channels that are not silent, each with the same weight, so that no speaker is lost
// whatever their number: a decoded channel that two output channels take counts twice.
// (RFC 7845 section 5.1.1.5 only suggests how to mix surround down to stereo.)
type mixer struct {
	voices []voice
	plain  []byte // a packet in normal framing
	pcm    [2 * maxPacketPCM]int16
	sum    [maxPacketPCM]float64
}

// voice is one stream of a mixer.
type voice struct {
	opus     opus.Decoder
	channels int        // to decode to; 0 if no output channel takes any of the stream
	shares   [2]float64 // of each channel in the mix
}

// newMixer returns the mixer for a header with a channel mapping table.
func newMixer(h opusHead) (*mixer, error) {
	var taken [256]int // how many output channels take each decoded channel
	heard := 0
	for _, from := range h.mapping {
		if from != silent {
			taken[from]++
			heard++
		}
	}
	m := &mixer{voices: make([]voice, h.streams)}
	for i := range m.voices {
		v := &m.voices[i]
		// The channels of the coupled streams come first (RFC 7845 section 5.1.1).
		left, right := taken[h.coupled+i], 0
		if i < h.coupled {
			left, right = taken[2*i], taken[2*i+1]
		}
		switch {
		case left+right == 0:
			continue
		case i >= h.coupled || left == right:
			// Decoded to one channel, a coupled stream is the average of its two.
			v.channels, v.shares[0] = 1, float64(left+right)/float64(heard)
		default:
			v.channels = 2
			v.shares = [2]float64{float64(left) / float64(heard), float64(right) / float64(heard)}
		}
		if err := v.opus.Init(Rate, v.channels); err != nil {
			return nil, fmt.Errorf("start the Opus decoder of stream %d: %w", i, err)
		}
	}
	return m, nil
}

// reset forgets all packets before.
func (m *mixer) reset() {
	for i := range m.voices {
		if v := &m.voices[i]; v.channels > 0 {
			_ = v.opus.Init(Rate, v.channels) // newMixer has called it with the same arguments
		}
	}
}

// decode sets pcm to the mix of a packet that measure accepted. A stream that cannot
// be decoded is silent in it.
func (m *mixer) decode(data []byte, pcm []int16) {
	sum := m.sum[:len(pcm)]
	clear(sum)
	for i := range m.voices {
		one, v := data, &m.voices[i]
		if i < len(m.voices)-1 {
			d, _ := selfDelimited(data)
			m.plain = d.plain(m.plain[:0], data)
			one, data = m.plain, data[d.end:]
		}
		if v.channels > 0 {
			all := m.pcm[:v.channels*len(pcm)]
			decodePacket(&v.opus, v.channels, one, all)
			v.add(sum, all)
		}
	}
	for i, x := range sum {
		pcm[i] = int16(max(math.MinInt16, min(math.MaxInt16, math.Round(x))))
	}
}

// add adds the voice's part to the sum.
func (v *voice) add(sum []float64, pcm []int16) {
	for i := range sum {
		sum[i] += v.shares[0] * float64(pcm[v.channels*i])
		if v.channels == 2 {
			sum[i] += v.shares[1] * float64(pcm[2*i+1])
		}
	}
}
