package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"testing/iotest"
	"time"
)

func TestPeaksAreOfWhatIsHeard(t *testing.T) {
	opus := fixture(t, "speech.opus")
	form, err := Peaks(bytes.NewReader(opus), 0)
	if err != nil {
		t.Fatal(err)
	}
	pcm := decodeAll(t, opus)
	le := binary.LittleEndian
	span, rate, n := int(le.Uint32(form[4:])), le.Uint32(form[8:]), int(le.Uint32(form[12:]))
	if string(form[:4]) != "CVP\x01" || span != Rate/40 || rate != Rate || n != (len(pcm)+span-1)/span || len(form) != 16+2*n {
		t.Fatalf("%q: %d buckets of %d samples at %d, %d bytes, for %d samples", form[:4], n, span, rate, len(form), len(pcm))
	}
	for i := range n {
		part := pcm[i*span : min((i+1)*span, len(pcm))]
		peak, sum := 0, 0.0
		for _, v := range part {
			peak, sum = max(peak, int(v), -int(v)), sum+float64(v)*float64(v)
		}
		loudness := max(0, math.Round(96+10*math.Log10(sum/float64(len(part))/(1<<30))))
		if got := int(form[16+2*i]); got < peak*255/math.MaxInt16 || got > peak*255/math.MaxInt16+1 || float64(form[17+2*i]) != loudness {
			t.Errorf("bucket %d: %v, want a peak of %d and a loudness of %v", i, form[16+2*i:][:2], peak, loudness)
		}
	}
}

func TestPeaksStayFewHoweverLong(t *testing.T) {
	g := gauge{span: leastBucket}
	second := make([]int16, Rate)
	second[0], second[1] = math.MinInt16, math.MaxInt16
	for range 2 * 3600 {
		g.add(second)
	}
	form := g.encode()
	span, n := binary.LittleEndian.Uint32(form[4:]), binary.LittleEndian.Uint32(form[12:])
	if span != 3200 || n != 18_000 || form[16] != 255 {
		t.Errorf("%d buckets of %d samples, first %v", n, span, form[16:18])
	}
}

func TestPeaksOfFaultyAudio(t *testing.T) {
	opus := fixture(t, "speech.opus")
	whole, err := Peaks(bytes.NewReader(opus), 0)
	if err != nil {
		t.Fatal(err)
	}
	cut, err := Peaks(bytes.NewReader(opus[:len(opus)-10]), 0)
	if err != nil || len(cut) > len(whole) || len(cut) < 16 {
		t.Errorf("cut off: %d bytes, %v; the whole has %d", len(cut), err, len(whole))
	}
	if _, err := Peaks(bytes.NewReader([]byte("<html>")), 0); !errors.Is(err, ErrUnprocessable) {
		t.Errorf("no audio: %v", err)
	}
	broken := errors.New("broken")
	if _, err := Peaks(iotest.TimeoutReader(iotest.ErrReader(broken)), 0); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
}

// TestPeaksOfLongAudio compares peaks that are measured from part of the packets with
// those measured from all.
func TestPeaksOfLongAudio(t *testing.T) {
	opus := withPauses(t, 40, opusRate)
	whole, err := Peaks(bytes.NewReader(opus), 39*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []time.Duration{40 * time.Minute, time.Hour, 2 * time.Hour, 500 * time.Hour} {
		thin, err := Peaks(bytes.NewReader(opus), length)
		if err != nil || len(thin) != len(whole) || bytes.Equal(thin, whole) {
			t.Fatalf("%s: %d bytes, %v; all packets give %d", length, len(thin), err, len(whole))
		}
		const quiet = 96 - 45 // what a player skips
		var apart, heard float64
		for at := peaksHeader; at+32 <= len(whole); at += 32 { // the 400 ms of a bucket of two hours
			want, got := loudest(whole[at:at+32]), loudest(thin[at:at+32])
			if want >= quiet && got < quiet {
				t.Errorf("%s: what is heard at %d ms is lost: its loudness is %d instead of %d", length, (at-peaksHeader)/2*25, got, want)
			}
			if want >= quiet {
				apart, heard = apart+math.Abs(float64(got)-float64(want)), heard+1
			}
		}
		if apart/heard > 6 || heard == 0 {
			t.Errorf("%s: %.1f dB off in the mean", length, apart/heard)
		}
	}
}

// loudest is the greatest loudness of some buckets.
func loudest(buckets []byte) (most byte) {
	for i := 1; i < len(buckets); i += 2 {
		most = max(most, buckets[i])
	}
	return most
}

// BenchmarkPeaks measures a recording of two hours.
func BenchmarkPeaks(b *testing.B) {
	opus := long(b, 2*3600*100/171)
	d, _ := Check(bytes.NewReader(opus))
	b.ReportMetric(d.Duration().Hours(), "hours")
	for b.Loop() {
		began := time.Now()
		if _, err := Peaks(bytes.NewReader(opus), d.Duration()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(d.Duration().Seconds()/time.Since(began).Seconds(), "×realtime")
	}
}
