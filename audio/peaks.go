package audio

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"
)

// The format of peaks. Buckets are leastBucket samples long, doubled as often as needed
// for fewer than maxBuckets to cover the whole stream.
const (
	peaksVersion = 1
	peaksHeader  = 16
	leastBucket  = Rate / 40
	maxBuckets   = 20_000
)

// Decoding takes nearly all the time: some 5 s for two hours on an idle processor. Of a
// stream n times as long as thinEach, only every n-th packet is decoded.
const (
	thinEach = 20 * time.Minute
	mostThin = 4
)

// Peaks returns how loud an Ogg Opus stream is, bucket by bucket, for drawing a waveform
// and finding silence. The format, little endian: "CVP" and the version, 1; the number
// of samples in a bucket (uint32); [Rate] (uint32); the number of buckets (uint32); then
// two bytes for each bucket, which are
//
//   - its peak: the greatest distance from zero, full scale 255, rounded up;
//   - its loudness: its mean power in dB relative to full scale, plus 96, at least 0.
//
// A bucket is 25 ms long; for audio over 500 s that is doubled as often as needed for
// 10,000 to 20,000 buckets. At a fault of the stream the peaks end: they cover what can
// be played. Peaks returns only errors of r and of [NewDecoder].
//
// length is about how long the stream is, 0 if unknown. From 40 minutes on only every
// second packet is decoded, from an hour on every third, from 80 minutes on every
// fourth; it stands for those that follow. So the sound of 20 ms stands for that of
// 80 ms, and no pause or word is that short.
func Peaks(r io.Reader, length time.Duration) ([]byte, error) {
	d, err := NewDecoder(r)
	if err != nil {
		return nil, err
	}
	d.thin = int(min(length/thinEach, mostThin))
	g := gauge{span: leastBucket}
	pcm := make([]int16, 4096)
	for err == nil {
		var n int
		n, err = d.ReadSamples(pcm)
		g.add(pcm[:n])
	}
	if err != io.EOF && !errors.Is(err, ErrUnprocessable) {
		return nil, err
	}
	return g.encode(), nil
}

// bucket is the measurements of a stretch of samples.
type bucket struct {
	peak int
	sum  float64 // of the squares
}

func (b *bucket) merge(other bucket) {
	b.peak, b.sum = max(b.peak, other.peak), b.sum+other.sum
}

// gauge measures samples in buckets of span samples. When there are too many buckets it
// doubles the span.
type gauge struct {
	span    int
	filled  int // samples in last, the incomplete bucket
	last    bucket
	buckets []bucket
}

func (g *gauge) add(pcm []int16) {
	for len(pcm) > 0 {
		n := min(len(pcm), g.span-g.filled)
		var sum int64 // the squares of one bucket are far from overflowing it
		for _, v := range pcm[:n] {
			v := int(v)
			g.last.peak = max(g.last.peak, v, -v)
			sum += int64(v * v)
		}
		g.last.sum += float64(sum)
		pcm = pcm[n:]
		if g.filled += n; g.filled == g.span {
			g.buckets = append(g.buckets, g.last)
			g.last, g.filled = bucket{}, 0
			g.widen()
		}
	}
}

// widen merges every two buckets when there are too many.
func (g *gauge) widen() {
	if len(g.buckets) < maxBuckets {
		return
	}
	for i := range maxBuckets / 2 {
		g.buckets[i] = g.buckets[2*i]
		g.buckets[i].merge(g.buckets[2*i+1])
	}
	g.buckets, g.span = g.buckets[:maxBuckets/2], 2*g.span
}

func (g *gauge) encode() []byte {
	if g.filled > 0 {
		g.last.sum *= float64(g.span) / float64(g.filled) // so that its mean power is that of the samples it has
		g.buckets, g.filled = append(g.buckets, g.last), 0
	}
	form := make([]byte, 0, peaksHeader+2*len(g.buckets))
	form = append(form, 'C', 'V', 'P', peaksVersion)
	for _, n := range []int{g.span, Rate, len(g.buckets)} {
		form = binary.LittleEndian.AppendUint32(form, uint32(n))
	}
	for _, b := range g.buckets {
		form = append(form, byte((min(b.peak, math.MaxInt16)*255+math.MaxInt16-1)/math.MaxInt16), b.loudness(g.span))
	}
	return form
}

// loudness returns the mean power over span samples, as in Peaks.
func (b bucket) loudness(span int) byte {
	const full = 32768.0 * 32768.0
	if b.sum == 0 {
		return 0
	}
	return byte(max(0, math.Round(96+10*math.Log10(b.sum/float64(span)/full))))
}
