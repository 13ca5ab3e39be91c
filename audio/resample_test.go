package audio

import (
	"fmt"
	"math"
	"testing"
)

// resampled is a tone at the given rate, converted to Rate by reading it from a WAV.
func resampled(t testing.TB, hz float64, rate, n int) []int16 {
	t.Helper()
	return readWAV(t, wavFile(wavPCM, rate, 1, 16, bytes16(sine(hz, rate, n))))
}

// inner leaves out the ends, where a tone that starts abruptly is not a pure tone.
func inner(pcm []int16) []int16 { return pcm[200 : len(pcm)-200] }

// 44101 and 8000 have no common factor.
var rates = []int{6000, 8000, 8001, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 44101, 48000, 96000, 192000}

func TestNothingAboveTheBandComesThrough(t *testing.T) {
	for _, rate := range rates {
		for _, hz := range []float64{4010, 4100, 4500, 5000, 5999, 7300, 8000, 8300, 11000, 12100, 15900, 16300, 19000, 21900, 24100, 31000, 47000, 64500, 90000} {
			if hz > float64(rate)*0.49 || rate == 44101 {
				continue
			}
			got := level(inner(resampled(t, hz, rate, rate/4))) - -9.03
			if got > -70 {
				t.Errorf("%.0f Hz at %d Hz comes through at %.1f dB", hz, rate, got)
			}
		}
	}
}

func TestSpeechBandIsFlat(t *testing.T) {
	for _, rate := range rates {
		for _, hz := range []float64{50, 300, 1000, 2000, 2600, 3400, 3500} {
			if hz > float64(rate)/2*flatPart || rate == 44101 && hz < 3500 {
				continue
			}
			if got := level(inner(resampled(t, hz, rate, rate/4))) - -9.03; math.Abs(got) > 0.1 {
				t.Errorf("%.0f Hz at %d Hz: %+.2f dB", hz, rate, got)
			}
		}
	}
}

// TestSoundStaysWhereItIs compares with the tone made at Rate: no delay, no drift.
func TestSoundStaysWhereItIs(t *testing.T) {
	for _, rate := range rates {
		got := resampled(t, 1000, rate, rate)
		want := sine(1000, Rate, Rate)
		if len(got) != len(want) {
			t.Errorf("%d Hz: %d samples, want %d", rate, len(got), len(want))
		} else if snr := signalToNoise(inner(want), inner(got)); snr < 60 {
			t.Errorf("%d Hz: %.1f dB", rate, snr)
		}
	}
}

func TestLengthIsKept(t *testing.T) {
	for _, rate := range append(rates, 1000, 768000) {
		for _, n := range []int{1, 7, 100, 999, 44100} {
			got := len(resampled(t, 100, rate, n))
			if want := int(math.Round(float64(n) * Rate / float64(rate))); got != want {
				t.Errorf("%d samples at %d Hz give %d, want %d", n, rate, got, want)
			}
		}
	}
}

func BenchmarkResample(b *testing.B) {
	for _, rate := range []int{16000, 44100, 48000} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			r := newResampler(rate)
			x := make([]float32, rate/10)
			for b.Loop() {
				r.push(x)
			}
			b.ReportMetric(float64(b.N)/10/b.Elapsed().Seconds(), "x-realtime")
		})
	}
}
