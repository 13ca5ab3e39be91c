package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pion/opus"
)

func TestDecodeGivesTheLengthToTheSample(t *testing.T) {
	for name, want := range map[string]int{"speech.opus": 13657, "stereo.opus": 8000, "lacing.opus": 3200, "surround.opus": 5600, "discrete.opus": 8000} {
		pcm := decodeAll(t, fixture(t, name))
		if len(pcm) != want {
			t.Errorf("%s: %d samples, want %d", name, len(pcm), want)
		}
		if l := level(pcm); l < -40 || l > -3 {
			t.Errorf("%s: level %.1f dB is not that of speech", name, l)
		}
	}
}

// TestDecodeAgreesWithOpusdec compares with the reference implementation, which
// decodes at 48 kHz, where the delay is another by a fraction of our samples.
func TestDecodeAgreesWithOpusdec(t *testing.T) {
	for _, name := range []string{"speech.opus", "stereo.opus", "lacing.opus"} {
		out := filepath.Join(t.TempDir(), "out.raw")
		tool(t, "opus-tools", "opusdec", "--quiet", "--rate", "48000", filepath.Join("testdata", name), out)
		raw := readFile(t, out)
		chans := 1
		if name == "stereo.opus" {
			chans = 2
		}
		best := 0.0
		ours := decodeAll(t, fixture(t, name))
		for phase := range step {
			var theirs []int16
			for i := 2 * chans * phase; i < len(raw); i += 2 * chans * step {
				v := int(int16(binary.LittleEndian.Uint16(raw[i:])))
				if chans == 2 {
					v = (v + int(int16(binary.LittleEndian.Uint16(raw[i+2:])))) / 2
				}
				theirs = append(theirs, int16(v))
			}
			if d := len(ours) - len(theirs); d < -1 || d > 1 {
				t.Errorf("%s: %d samples, opusdec gives %d", name, len(ours), len(theirs))
			}
			best = max(best, correlation(ours, theirs))
		}
		if best < 0.98 {
			t.Errorf("%s: correlation with opusdec %.3f", name, best)
		}
	}
}

// long is speech of more than two segments: the first 41 full packets of the fixture,
// over and over.
func long(t testing.TB, times int) []byte {
	t.Helper()
	return withPauses(t, times, 0)
}

// withPauses is long with pauses of so many samples at 48 kHz.
func withPauses(t testing.TB, times int, pause int64) []byte {
	t.Helper()
	var s stream
	var out bytes.Buffer
	w := pageWriter{w: &out}
	pages := pageReader{src: bytes.NewReader(fixture(t, "speech.opus"))}
	var packets [][]byte
	for {
		p, _, err := pages.next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if bad := s.follow(p); bad != nil {
			t.Fatal(bad)
		}
		if s.stage < atAudio || len(s.packets) == 0 {
			w.add(p.body)
			w.flush(0, p.flags)
		}
		for _, q := range s.packets {
			packets = append(packets, bytes.Clone(q.data))
		}
	}
	granule := int64(0)
	for i := range times {
		for _, q := range packets {
			w.add(q)
			granule += 960
		}
		if i > 0 {
			granule += pause
		}
		flags := byte(0)
		if i == times-1 {
			flags = flagLast
		}
		w.flush(granule, flags)
	}
	return out.Bytes()
}

// straight decodes without ever resetting the decoder.
func straight(t testing.TB, ogg []byte) []int16 {
	t.Helper()
	dec, err := opus.NewDecoderWithOutput(Rate, 1)
	if err != nil {
		t.Fatal(err)
	}
	var s stream
	var all []int16
	pages := pageReader{src: bytes.NewReader(ogg)}
	for {
		p, _, err := pages.next()
		if err == io.EOF {
			return all[s.head.preSkip/step:]
		} else if err != nil {
			t.Fatal(err)
		}
		if bad := s.follow(p); bad != nil {
			t.Fatal(bad)
		}
		for _, q := range s.packets {
			pcm := make([]int16, q.time/step)
			if _, err := dec.DecodeToInt16(q.data, pcm); err != nil {
				t.Fatal(err)
			}
			all = append(all, pcm...)
		}
	}
}

// TestSegmentsCannotBeHeard: after a reset the decoder returns what it would have
// returned without, except for the last bits.
func TestSegmentsCannotBeHeard(t *testing.T) {
	ogg := long(t, 40)
	whole, ours := straight(t, ogg), decodeAll(t, ogg)
	if len(ours) != len(whole) || len(ours) < 2*segment {
		t.Fatalf("%d samples, want %d", len(ours), len(whole))
	}
	for i, v := range ours {
		if d := int(v) - int(whole[i]); d < -3 || d > 3 {
			t.Fatalf("sample %d differs by %d", i, d)
		}
	}
	if bytes.Equal(bytes16(ours[:segment/2]), bytes16(ours[segment/2:segment])) {
		t.Error("the sound repeats itself, so that this test proves nothing")
	}
}

// TestGapsAreSilent moves all pages from the third page of sound on to a later time.
func TestGapsAreSilent(t *testing.T) {
	const gap = 12345 // not a multiple of a packet, nor of the step
	ogg := long(t, 4)
	plain := decodeAll(t, ogg)
	info, err := Check(bytes.NewReader(ogg))
	if err != nil {
		t.Fatal(err)
	}
	gapped := repage(t, ogg, func(i int, p *page) {
		if i >= 4 {
			p.granule += gap
		}
	})
	gapInfo, err := Check(bytes.NewReader(gapped))
	if err != nil || gapInfo.Samples != info.Samples+gap {
		t.Fatalf("%+v, %v", gapInfo, err)
	}
	pcm := decodeAll(t, gapped)
	if int64(len(pcm)) != gapInfo.wavSamples() {
		t.Fatalf("%d samples, %+v", len(pcm), gapInfo)
	}
	at := len(plain) / 2
	at -= info.PreSkip / step / 2
	for i, v := range pcm[at : at+gap/step] {
		if v != 0 {
			t.Fatalf("sample %d of the gap is %d", i, v)
		}
	}
	if s := signalToNoise(plain[:at], pcm[:at]); s < 100 {
		t.Errorf("before the gap %.1f dB", s)
	}
	if s := signalToNoise(plain[at:], pcm[at+gap/step:]); s < 100 {
		t.Errorf("after the gap %.1f dB", s)
	}
}

// TestGapsAreFew: jumps of the granule position may each be a pause, and yet together be
// more than anybody has recorded.
func TestGapsAreFew(t *testing.T) {
	const hour = 3600 * opusRate
	if info, err := Check(bytes.NewReader(withPauses(t, 4, 8*hour))); err != nil || info.Samples < 24*hour {
		t.Errorf("three pauses of 8 hours: %+v, %v", info, err)
	}
	_, err := Check(bytes.NewReader(withPauses(t, 5, 8*hour)))
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "jumps") {
		t.Errorf("four pauses of 8 hours: %v", err)
	}
}

// TestStartIsCropped decodes a stream that was joined in the middle (RFC 7845 section 4.3).
func TestStartIsCropped(t *testing.T) {
	ogg := fixture(t, "speech.opus")
	later := repage(t, ogg, func(i int, p *page) {
		if i >= 2 {
			p.granule += 48000 * 60
		}
	})
	info, err := Check(bytes.NewReader(later))
	if err != nil || info.Samples != 81942 {
		t.Errorf("%+v, %v", info, err)
	}
	if s := signalToNoise(decodeAll(t, ogg), decodeAll(t, later)); s < 100 {
		t.Errorf("%.1f dB", s)
	}
}

// TestGainIsApplied: once, however many streams there are.
func TestGainIsApplied(t *testing.T) {
	one, other := voices(t)
	for name, ogg := range map[string][]byte{
		"one stream": fixture(t, "speech.opus"), "two streams": joined(1, 0, []byte{0, 1}, one, other),
	} {
		before := level(decodeAll(t, ogg))
		softer := repage(t, ogg, func(i int, p *page) {
			if i == 0 {
				gain := -6 * 256
				binary.LittleEndian.PutUint16(p.body[16:], uint16(gain))
			}
		})
		if got := before - level(decodeAll(t, softer)); math.Abs(got-6) > 0.1 {
			t.Errorf("%s: %.2f dB softer, want 6", name, got)
		}
	}
}

func TestDecodeStopsWhereTheFileBreaks(t *testing.T) {
	ogg := fixture(t, "speech.opus")
	d, err := NewDecoder(bytes.NewReader(ogg[:len(ogg)-1]))
	if err != nil {
		t.Fatal(err)
	}
	pcm, err := readAll(d)
	if !errors.Is(err, ErrTruncated) || len(pcm) != 8000-52 {
		t.Errorf("%d samples, %v", len(pcm), err)
	}
	if _, err := d.ReadSamples(make([]int16, 1)); !errors.Is(err, ErrTruncated) {
		t.Errorf("again: %v", err)
	}
	for name, file := range map[string][]byte{"empty": nil, "head": ogg[:60], "vorbis": fixture(t, "vorbis.ogg")} {
		if _, err := NewDecoder(bytes.NewReader(file)); !errors.Is(err, ErrUnprocessable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("disk on fire")
	if _, err := NewDecoder(iotest.ErrReader(broken)); err != broken {
		t.Errorf("%v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"speech.opus", "stereo.opus", "lacing.opus", "surround.opus", "discrete.opus"} {
		f.Add(fixture(f, name))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		mend(file)
		info, err := Check(bytes.NewReader(file))
		d, decErr := NewDecoder(bytes.NewReader(file))
		if decErr != nil {
			if err == nil {
				t.Fatalf("passed as %+v, yet %v", info, decErr)
			}
			return
		}
		if err == nil && info.wavSamples() > 1e6 {
			return
		}
		n := int64(0)
		var pcm [997]int16
		for decErr == nil && n < 1e6 {
			var k int
			k, decErr = d.ReadSamples(pcm[:])
			n += int64(k)
		}
		if err == nil && (decErr != io.EOF || n != info.wavSamples()) {
			t.Fatalf("%d samples of %d, %v", n, info.wavSamples(), decErr)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	ogg := long(b, 40)
	info, err := Check(bytes.NewReader(ogg))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		decodeAll(b, ogg)
	}
	b.ReportMetric(info.Duration().Seconds()*float64(b.N)/b.Elapsed().Seconds(), "x-realtime")
}

// TestDecodeOtherModes decodes what other encoders make: each mode of Opus, each
// length of frame, mono and stereo.
func TestDecodeOtherModes(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.wav")
	pcm := decodeAll(t, fixture(t, "stereo.opus"))
	if err := os.WriteFile(in, wavFile(wavPCM, Rate, 1, 16, bytes16(pcm)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--bitrate", "6", "--framesize", "60", "--speech"},
		{"--bitrate", "12", "--framesize", "10", "--speech"},
		{"--bitrate", "24", "--framesize", "20", "--speech"},
		{"--bitrate", "24", "--framesize", "40", "--music"},
		{"--bitrate", "64", "--framesize", "2.5"},
		{"--bitrate", "96", "--framesize", "5", "--hard-cbr"},
	} {
		out := filepath.Join(dir, "out.opus")
		tool(t, "opus-tools", "opusenc", append(args, "--quiet", in, out)...)
		got := decodeAll(t, readFile(t, out))
		if len(got) != len(pcm) {
			t.Errorf("%q: %d samples, want %d", args, len(got), len(pcm))
		}
		if c := correlation(pcm, got); c < 0.75 {
			t.Errorf("%q: correlation %.3f", args, c)
		}
	}
}
