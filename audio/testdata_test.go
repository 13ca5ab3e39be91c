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
	"testing"
)

// missing skips a test that needs something from a package that is not installed. If all
// tests must run, it fails the test.
func missing(t testing.TB, what, pkg string) {
	t.Helper()
	if os.Getenv("CALLVAULT_TEST_ALL") == "1" {
		t.Fatalf("%s is missing: apt-get install %s", what, pkg)
	}
	t.Skipf("%s is missing: apt-get install %s", what, pkg)
}

func needLibopus(t testing.TB) {
	t.Helper()
	if _, err := Library(); errors.Is(err, ErrNoLibrary) {
		missing(t, "libopus", "libopus0")
	}
}

// tool runs a program that judges or makes audio.
func tool(t testing.TB, pkg, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		missing(t, name, pkg)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// prompts are the WAV files, 8 kHz and 16 bit, of a professional speaker that
// Asterisk comes with: those of at least the given size in bytes.
func prompts(t testing.TB, least int64) []string {
	t.Helper()
	all, err := filepath.Glob("/usr/share/asterisk/sounds/en*/*.wav")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, name := range all {
		if fi, err := os.Stat(name); err == nil && fi.Size() >= least {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		missing(t, "recorded speech", "asterisk-core-sounds-en-wav")
	}
	return names
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fixture is a small real file made by opusenc or ffmpeg of synthetic speech, or of a tone for
// each channel.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	return readFile(t, filepath.Join("testdata", name))
}

// readAll reads samples in pieces of a size that divides nothing.
func readAll(src Samples) ([]int16, error) {
	var all []int16
	var piece [701]int16
	for {
		n, err := src.ReadSamples(piece[:])
		all = append(all, piece[:n]...)
		if err == io.EOF {
			return all, nil
		} else if err != nil {
			return all, err
		}
	}
}

func decodeAll(t testing.TB, opus []byte) []int16 {
	t.Helper()
	d, err := NewDecoder(bytes.NewReader(opus))
	if err != nil {
		t.Fatal(err)
	}
	pcm, err := readAll(d)
	if err != nil {
		t.Fatal(err)
	}
	return pcm
}

// wavFile is a WAV with the given coding and sound.
func wavFile(coding uint16, rate, chans, bits int, sound []byte) []byte {
	le := binary.LittleEndian
	b := append([]byte("RIFF"), 0, 0, 0, 0)
	b = append(b, "WAVEfmt \x10\x00\x00\x00"...)
	b = le.AppendUint16(b, coding)
	b = le.AppendUint16(b, uint16(chans))
	b = le.AppendUint32(b, uint32(rate))
	b = le.AppendUint32(b, uint32(rate*chans*bits/8))
	b = le.AppendUint16(b, uint16(chans*bits/8))
	b = le.AppendUint16(b, uint16(bits))
	b = append(b, "data"...)
	b = le.AppendUint32(b, uint32(len(sound)))
	b = append(b, sound...)
	le.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

func bytes16(pcm []int16) []byte {
	b := make([]byte, 0, 2*len(pcm))
	for _, v := range pcm {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return b
}

// sine is n samples of a tone of half of full scale.
func sine(hz float64, rate, n int) []int16 {
	pcm := make([]int16, n)
	for i := range pcm {
		pcm[i] = int16(math.Round(16384 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))))
	}
	return pcm
}

// level is the root mean square in dB of full scale.
func level(pcm []int16) float64 {
	sum := 1e-9
	for _, v := range pcm {
		sum += float64(v) * float64(v)
	}
	return 10 * math.Log10(sum/float64(len(pcm))/(1<<30))
}

// signalToNoise is how far b is from a, in dB.
func signalToNoise(a, b []int16) float64 {
	var signal, noise float64 = 1e-9, 1e-9
	for i, v := range a {
		e := float64(v) - float64(b[i])
		signal += float64(v) * float64(v)
		noise += e * e
	}
	return 10 * math.Log10(signal/noise)
}

// correlation of two sounds at their best offset within 2 ms.
func correlation(a, b []int16) float64 {
	best := 0.0
	for shift := -16; shift <= 16; shift++ {
		var ab, aa, bb float64
		for i := max(0, shift); i < min(len(a), len(b)+shift); i++ {
			x, y := float64(a[i]), float64(b[i-shift])
			ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
		}
		best = max(best, ab/math.Sqrt(aa*bb+1))
	}
	return best
}

// repage reads the pages of an Ogg file, lets edit change each, and writes them again
// with correct checksums.
func repage(t testing.TB, ogg []byte, edit func(i int, p *page)) []byte {
	t.Helper()
	var out bytes.Buffer
	r := pageReader{src: bytes.NewReader(ogg)}
	for i := 0; ; i++ {
		p, _, err := r.next()
		if err == io.EOF {
			return out.Bytes()
		} else if err != nil {
			t.Fatal(err)
		}
		p.lacing, p.body = bytes.Clone(p.lacing), bytes.Clone(p.body)
		edit(i, &p)
		out.Write(rawPage(p))
	}
}

func rawPage(p page) []byte {
	var out bytes.Buffer
	w := pageWriter{w: &out, seq: p.seq, lacing: p.lacing, body: p.body}
	w.flush(p.granule, p.flags)
	b := out.Bytes()
	binary.LittleEndian.PutUint32(b[14:], p.serial)
	binary.LittleEndian.PutUint32(b[22:], new(oggCRC).page(b))
	return b
}
