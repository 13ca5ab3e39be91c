package audio

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"
)

// TestMixAgreesWithFFmpeg averages the channels that another decoder returns for real
// files, and compares with the mix and its length.
func TestMixAgreesWithFFmpeg(t *testing.T) {
	for name, chans := range map[string]int{"surround.opus": 6, "discrete.opus": 3} {
		out := filepath.Join(t.TempDir(), "out.raw")
		tool(t, "ffmpeg", "ffmpeg", "-v", "error", "-i", filepath.Join("testdata", name), "-f", "s16le", "-c:a", "pcm_s16le", out)
		raw := readFile(t, out)
		info, err := Check(bytes.NewReader(fixture(t, name)))
		if err != nil || info.Samples != int64(len(raw)/2/chans) || info.Channels != chans {
			t.Errorf("%s: %+v, %v; ffmpeg returns %d samples", name, info, err, len(raw)/2/chans)
		}
		ours := decodeAll(t, fixture(t, name))
		best := 0.0
		for phase := range step {
			var theirs []int16
			for i := 2 * chans * phase; i < len(raw); i += 2 * chans * step {
				sum := 0
				for c := range chans {
					sum += int(int16(binary.LittleEndian.Uint16(raw[i+2*c:])))
				}
				theirs = append(theirs, int16(sum/chans))
			}
			best = max(best, correlation(ours, theirs))
			if d := level(ours) - level(theirs); math.Abs(d) > 0.3 {
				t.Errorf("%s: %.2f dB louder than ffmpeg's", name, d)
			}
		}
		if best < 0.98 {
			t.Errorf("%s: correlation with ffmpeg's %.3f", name, best)
		}
	}
}

// TestEveryChannelIsInTheMix looks for the tone of each channel, of 0.4 of full scale.
func TestEveryChannelIsInTheMix(t *testing.T) {
	for name, tones := range map[string][]float64{
		"surround.opus": {60, 300, 500, 700, 900, 1100},
		"discrete.opus": {400, 800, 1300},
	} {
		pcm := decodeAll(t, fixture(t, name))[Rate/10:]
		want := 0.4 * 32768 / float64(len(tones))
		for _, hz := range tones {
			if got := amplitude(pcm, hz); got < 0.85*want || got > 1.1*want {
				t.Errorf("%s: the tone of %v Hz has an amplitude of %.0f, want %.0f", name, hz, got, want)
			}
		}
	}
}

// amplitude is that of a tone in pcm.
func amplitude(pcm []int16, hz float64) float64 {
	var re, im float64
	for i, v := range pcm {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / Rate)
		re, im = re+cos*float64(v), im+sin*float64(v)
	}
	return 2 * math.Hypot(re, im) / float64(len(pcm))
}

// TestMixIsTheAverageOfWhatIsMapped compares mixes with the streams decoded alone.
func TestMixIsTheAverageOfWhatIsMapped(t *testing.T) {
	one, other := voices(t)
	a, b := decodeAll(t, joined(1, 0, []byte{0}, one)), decodeAll(t, joined(1, 0, []byte{0}, other))
	if c := correlation(a, b); c > 0.7 {
		t.Fatalf("the voices correlate: %.3f", c)
	}
	for _, c := range []struct {
		name    string
		mapping []byte
		a, b    float64
	}{
		{"both", []byte{0, 1}, 0.5, 0.5},
		{"the other way round", []byte{1, 0}, 0.5, 0.5},
		{"with a silent one", []byte{0, 255, 1}, 0.5, 0.5},
		{"one alone", []byte{0, 255}, 1, 0},
		{"the last alone", []byte{255, 1}, 0, 1},
		{"one twice", []byte{0, 1, 0}, 2. / 3, 1. / 3},
		{"none", []byte{255, 255}, 0, 0},
	} {
		got := decodeAll(t, joined(255, 0, c.mapping, one, other))
		if len(got) != len(a) {
			t.Fatalf("%s: %d samples, want %d", c.name, len(got), len(a))
		}
		for i, v := range got {
			if want := c.a*float64(a[i]) + c.b*float64(b[i]); math.Abs(float64(v)-want) > 1 {
				t.Errorf("%s: sample %d is %d, want %.1f", c.name, i, v, want)
				break
			}
		}
	}
}

// TestOneStreamOfFamily1IsThatOfFamily0: the same packets with a channel mapping table.
func TestOneStreamOfFamily1IsThatOfFamily0(t *testing.T) {
	for name, mapping := range map[string][]byte{"speech.opus": {0}, "stereo.opus": {0, 1}} {
		ogg := fixture(t, name)
		want := decodeAll(t, ogg)
		got := decodeAll(t, joined(1, len(mapping)-1, mapping, opusPackets(t, ogg)))
		if n := len(want); len(got) < n || !bytes.Equal(bytes16(got[:n]), bytes16(want)) {
			t.Errorf("%s: other samples", name)
		}
	}
}

// TestOneChannelOfACoupledStream: the other one is not heard.
func TestOneChannelOfACoupledStream(t *testing.T) {
	packets := opusPackets(t, fixture(t, "stereo.opus"))
	both := decodeAll(t, joined(255, 1, []byte{0, 1}, packets))
	left, right := decodeAll(t, joined(255, 1, []byte{0}, packets)), decodeAll(t, joined(255, 1, []byte{255, 1}, packets))
	third := decodeAll(t, joined(255, 1, []byte{0, 1, 0}, packets))
	if level(left) == level(right) || signalToNoise(left, right) > 20 {
		t.Error("both channels are the same")
	}
	mean, weighed := make([]int16, len(both)), make([]int16, len(both))
	for i := range mean {
		mean[i] = int16((int(left[i]) + int(right[i])) / 2)
		weighed[i] = int16((2*int(left[i]) + int(right[i])) / 3)
	}
	if s := signalToNoise(mean, both); s < 25 {
		t.Errorf("the channels together: %.1f dB from the mix", s)
	}
	if s := signalToNoise(weighed, third); s < 60 {
		t.Errorf("one channel twice: %.1f dB from the mix", s)
	}
}

// TestStreamsOfTwoAndOfOneChannel: the channels of coupled streams are counted first.
func TestStreamsOfTwoAndOfOneChannel(t *testing.T) {
	coupled := opusPackets(t, fixture(t, "stereo.opus"))
	mono, _ := voices(t)
	mono = mono[:len(coupled)]
	a, b := decodeAll(t, joined(255, 1, []byte{0, 1}, coupled)), decodeAll(t, joined(255, 0, []byte{0}, mono))
	for _, c := range []struct {
		mapping []byte
		a, b    float64
	}{
		{[]byte{0, 1}, 1, 0},
		{[]byte{2}, 0, 1},
		{[]byte{2, 1, 0}, 2. / 3, 1. / 3},
	} {
		got := decodeAll(t, joined(255, 1, c.mapping, coupled, mono))
		for i, v := range got {
			if want := c.a*float64(a[i]) + c.b*float64(b[i]); math.Abs(float64(v)-want) > 1 {
				t.Errorf("%v: sample %d is %d, want %.1f", c.mapping, i, v, want)
				break
			}
		}
	}
}

// TestRangesOfAMix reads a WAV of two segments and a half at some places.
func TestRangesOfAMix(t *testing.T) {
	one, _ := voices(t)
	coupled := opusPackets(t, fixture(t, "stereo.opus"))
	var long [][]byte
	for range 75 {
		long = append(long, coupled...)
	}
	w := newWAV(t, joined(255, 1, []byte{0, 1, 2}, long, one))
	whole, err := io.ReadAll(w)
	if err != nil || int64(len(whole)) != w.Size() || len(whole) < 4*segment {
		t.Fatalf("%d bytes of %d, %v", len(whole), w.Size(), err)
	}
	part := make([]byte, 5001)
	for _, at := range []int64{w.Size() - 6000, 2*segment - 1, 4*segment - 300, 44} {
		if _, err := w.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(w, part); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(part, whole[at:at+5001]) {
			t.Errorf("bytes from %d are others than when read from the start", at)
		}
	}
}

// TestRestartOfAMix: after it, every stream decodes as if nothing had come before.
func TestRestartOfAMix(t *testing.T) {
	ogg := fixture(t, "discrete.opus")
	p := packet{opusPackets(t, ogg)[10], 960}
	d, err := NewDecoder(bytes.NewReader(ogg))
	if err != nil {
		t.Fatal(err)
	}
	first := slices.Clone(d.decode(p))
	later := slices.Clone(d.decode(p))
	d.restart(0)
	if slices.Equal(first, later) || !slices.Equal(first, d.decode(p)) {
		t.Error("the sound after a restart is not that of the start")
	}
}

// TestMixOfPieces: the channel mapping table is still known when its page is gone.
func TestMixOfPieces(t *testing.T) {
	ogg := fixture(t, "surround.opus")
	d, err := NewDecoder(iotest.OneByteReader(bytes.NewReader(ogg)))
	if err != nil {
		t.Fatal(err)
	}
	if pcm, err := readAll(d); err != nil || !slices.Equal(pcm, decodeAll(t, ogg)) {
		t.Errorf("%d samples, %v; or others than in one piece", len(pcm), err)
	}
}

func TestPeaksOfAMix(t *testing.T) {
	ogg := fixture(t, "surround.opus")
	form, err := Peaks(bytes.NewReader(ogg), 0)
	if err != nil {
		t.Fatal(err)
	}
	peak := 0
	for _, v := range decodeAll(t, ogg) {
		peak = max(peak, int(v), -int(v))
	}
	got := byte(0)
	for i := peaksHeader; i < len(form); i += 2 {
		got = max(got, form[i])
	}
	if n := len(form) - peaksHeader; n != 2*28 || int(got) != (peak*255+math.MaxInt16-1)/math.MaxInt16 {
		t.Errorf("%d bytes, greatest peak %d; the samples' is %d", n, got, peak)
	}
}

// TestPrerollOfHugePackets: what a decoder remembers stays small, and so does the room of
// what it remembered before.
func TestPrerollOfHugePackets(t *testing.T) {
	d := &Decoder{}
	huge := make([]byte, 5<<20)
	held := func() (size int) {
		for _, q := range d.tail {
			size += cap(q.data)
		}
		return size
	}
	for range 10 {
		d.remember(packet{huge, 120})
	}
	if n := held(); n > 2*maxTail || n < len(huge) {
		t.Errorf("%d bytes are held", n)
	}
	for range preroll * step / 120 {
		d.remember(packet{huge[:10], 120})
	}
	if n := held(); n > 1<<20 {
		t.Errorf("%d bytes are held for small packets", n)
	}
}
