package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tone is that many samples of something like a voice: a buzz that comes and goes.
type tone struct{ at, left int }

func (v *tone) ReadSamples(pcm []int16) (int, error) {
	if v.left == 0 {
		return 0, io.EOF
	}
	n := min(v.left, len(pcm))
	for i := range n {
		loud := 8000 * max(0, math.Sin(float64(v.at)/2000))
		pcm[i] = int16(loud * math.Mod(float64(v.at)*123/Rate, 1))
		v.at++
	}
	v.left -= n
	return n, nil
}

func encode(t testing.TB, src Samples) ([]byte, Info) {
	t.Helper()
	needLibopus(t)
	var out bytes.Buffer
	info, err := Encode(&out, src)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), info
}

// TestEncodeKeepsTheLength encodes lengths around those of frames, pages and the
// encoder's delay.
func TestEncodeKeepsTheLength(t *testing.T) {
	for _, n := range []int{1, 2, 79, 160, 427, 428, 429, 479, 480, 481, 907, 908, 909, 960, 7627, 7628, 7629, 7680, 8000, 80000} {
		ogg, info := encode(t, &tone{left: n})
		checked, err := Check(bytes.NewReader(ogg))
		if err != nil {
			t.Errorf("%d samples: %v", n, err)
		}
		if diff := cmp.Diff(info, checked); diff != "" || !info.Ended || info.Samples != int64(n)*step {
			t.Errorf("%d samples: %+v\n%s", n, info, diff)
		}
		if got := len(decodeAll(t, ogg)); got != n {
			t.Errorf("%d samples come back as %d", n, got)
		}
	}
}

func TestEncodeRefusesSilenceOfNoLength(t *testing.T) {
	needLibopus(t)
	var out bytes.Buffer
	if _, err := Encode(&out, &tone{}); !errors.Is(err, ErrEmpty) || !errors.Is(err, ErrUnprocessable) || out.Len() > 0 {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error)        { return 0, f.err }
func (f failing) ReadSamples([]int16) (int, error) { return 0, f.err }

func TestEncodePassesErrorsOn(t *testing.T) {
	needLibopus(t)
	full := errors.New("disk full")
	if _, err := Encode(failing{full}, &tone{left: 9}); err != full {
		t.Errorf("writer's error: %v", err)
	}
	if _, err := Encode(io.Discard, failing{full}); err != full {
		t.Errorf("reader's error: %v", err)
	}
}

func TestEncodeIsDeterministic(t *testing.T) {
	a, _ := encode(t, &tone{left: 5 * Rate})
	b, _ := encode(t, &tone{left: 5 * Rate})
	if !bytes.Equal(a, b) {
		t.Error("the same sound gives other bytes")
	}
	if !bytes.HasPrefix(a[pageHeaderLen+1:], []byte("OpusHead\x01\x01\x38\x01\x40\x1f\x00\x00\x00\x00\x00")) {
		t.Errorf("header %q", a[:64])
	}
}

// TestSpeech encodes a quarter of the prompts of more than four seconds: they stay small
// and decode to what they were.
func TestSpeech(t *testing.T) {
	needLibopus(t)
	names := prompts(t, 44+4*2*Rate)
	for i, name := range names {
		if i%4 > 0 {
			continue
		}
		wav := readFile(t, name)
		want := readWAV(t, wav)
		var out bytes.Buffer
		info, err := ToOpus(&out, bytes.NewReader(wav))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		seconds := info.Duration().Seconds()
		if rate := float64(8*out.Len()) / seconds; rate > 12000 || seconds > 10 && rate > 10000 {
			t.Errorf("%s: %.0f bit/s", name, rate)
		}
		got := decodeAll(t, out.Bytes())
		if len(got) != len(want) {
			t.Errorf("%s: %d samples, want %d", name, len(got), len(want))
		}
		if c := correlation(want, got); c < 0.8 {
			t.Errorf("%s: correlation %.3f", name, c)
		}
		if c := correlation(envelope(want), envelope(got)); c < 0.95 {
			t.Errorf("%s: correlation of loudness %.3f", name, c)
		}
	}
}

// envelope is the loudness of each 20 ms, less its mean.
func envelope(pcm []int16) []int16 {
	var loud []float64
	mean := 0.0
	for ; len(pcm) >= 160; pcm = pcm[160:] {
		l := max(-60, level(pcm[:160]))
		loud = append(loud, l)
		mean += l
	}
	out := make([]int16, len(loud))
	for i, l := range loud {
		out[i] = int16(100 * (l - mean/float64(len(loud))))
	}
	return out
}

// TestOthersAccept lets opusinfo and ffprobe read what we write.
func TestOthersAccept(t *testing.T) {
	ogg, _ := encode(t, &tone{left: 12345})
	name := filepath.Join(t.TempDir(), "a.opus")
	if err := os.WriteFile(name, ogg, 0o600); err != nil {
		t.Fatal(err)
	}
	out := string(tool(t, "opus-tools", "opusinfo", name))
	for _, want := range []string{"Encoded with callvault", "Channels: 1", "Original sample rate: 8000 Hz", "Playback length: 0m:01.543s"} {
		if !strings.Contains(out, want) {
			t.Errorf("opusinfo does not say %q:\n%s", want, out)
		}
	}
	if low := strings.ToLower(out); strings.Contains(low, "warning") || strings.Contains(low, "error") {
		t.Errorf("opusinfo complains:\n%s", out)
	}
	probe := string(tool(t, "ffmpeg", "ffprobe", "-v", "warning", "-of", "csv", "-show_entries", "stream=codec_name,channels", name))
	if want := "stream,opus,1\n"; probe != want {
		t.Errorf("ffprobe says %q, want %q", probe, want)
	}
}

// endless is a WAV that never ends. Its header does not say how long it is.
type endless struct {
	head []byte
	left int
	at   uint32
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.head) > 0 {
		n := copy(p, e.head)
		e.head = e.head[n:]
		return n, nil
	}
	n := min(len(p), e.left)
	if n == 0 {
		return 0, io.EOF
	}
	for i := range p[:n] {
		e.at++
		p[i] = byte(e.at * 2654435761 >> 24 & 0x1f)
	}
	e.left -= n
	return n, nil
}

// TestMemoryStaysFlat encodes minutes of 44.1 kHz stereo and watches the heap.
func TestMemoryStaysFlat(t *testing.T) {
	needLibopus(t)
	const minutes = 1
	head := wavFile(wavPCM, 44100, 2, 16, nil)
	binary.LittleEndian.PutUint32(head[40:], math.MaxUint32)
	wav, err := OpenWAV(&endless{head: head, left: minutes * 60 * 44100 * 4})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	info, err := Encode(io.Discard, wav)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if info.Duration() != time.Duration(minutes)*time.Minute {
		t.Errorf("%v", info.Duration())
	}
	// Everything that was ever allocated, not only what is still in use.
	if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 4 {
		t.Errorf("%d MB allocated for %d minutes", grown, minutes)
	}
}

func TestLibrary(t *testing.T) {
	needLibopus(t)
	version, err := Library()
	if err != nil || !strings.HasPrefix(version, "libopus") {
		t.Errorf("%q, %v", version, err)
	}
}

func TestNoLibraryIsNotTheInputsFault(t *testing.T) {
	if errors.Is(ErrNoLibrary, ErrUnprocessable) || !strings.Contains(ErrNoLibrary.Error(), "apt-get install libopus0") {
		t.Errorf("%v", ErrNoLibrary)
	}
	if _, err := Library(); err == nil {
		return
	}
	if _, err := ToOpus(io.Discard, bytes.NewReader(wavFile(wavPCM, Rate, 1, 16, make([]byte, 99)))); !errors.Is(err, ErrNoLibrary) {
		t.Errorf("%v", err)
	}
}

// BenchmarkEncode encodes recorded speech, and lets opusenc do the same beside it.
func BenchmarkEncode(b *testing.B) {
	needLibopus(b)
	name := prompts(b, 400000)[0]
	wav := readFile(b, name)
	seconds := float64(len(wav)-wavHeaderLen) / (2 * Rate)
	report := func(b *testing.B) {
		b.ReportMetric(seconds*float64(b.N)/b.Elapsed().Seconds(), "x-realtime")
	}
	b.Run("callvault", func(b *testing.B) {
		b.ReportAllocs()
		var n int64
		for b.Loop() {
			info, err := ToOpus(io.Discard, bytes.NewReader(wav))
			if err != nil {
				b.Fatal(err)
			}
			n = info.Bytes
		}
		report(b)
		b.ReportMetric(8*float64(n)/seconds, "bit/s")
	})
	b.Run("opusenc", func(b *testing.B) {
		if _, err := exec.LookPath("opusenc"); err != nil {
			missing(b, "opusenc", "opus-tools")
		}
		for b.Loop() {
			if out, err := exec.Command("opusenc", "--quiet", "--bitrate", "8", "--speech", name, os.DevNull).CombinedOutput(); err != nil {
				b.Fatalf("%v %s", err, out)
			}
		}
		report(b)
	})
}
