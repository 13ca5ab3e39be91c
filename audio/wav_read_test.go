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
)

func readWAV(t testing.TB, file []byte) []int16 {
	t.Helper()
	w, err := OpenWAV(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	pcm, err := readAll(w)
	if err != nil {
		t.Fatal(err)
	}
	return pcm
}

// TestCodings reads the same tone in each coding that the API accepts.
func TestCodings(t *testing.T) {
	want := sine(440, Rate, 4000)
	pack := func(f func(b []byte, v int16) []byte) []byte {
		var b []byte
		for _, v := range want {
			b = f(b, v)
		}
		return b
	}
	le := binary.LittleEndian
	for _, c := range []struct {
		name   string
		coding uint16
		bits   int
		sound  []byte
		snr    float64
	}{
		{"PCM 8", wavPCM, 8, pack(func(b []byte, v int16) []byte { return append(b, byte(v>>8)+128) }), 35},
		{"PCM 16", wavPCM, 16, bytes16(want), 100},
		{"PCM 24", wavPCM, 24, pack(func(b []byte, v int16) []byte { return append(b, 0, byte(v), byte(v>>8)) }), 100},
		{"PCM 32", wavPCM, 32, pack(func(b []byte, v int16) []byte { return le.AppendUint32(b, uint32(int32(v)<<16)) }), 100},
		{"float 32", wavFloat, 32, pack(func(b []byte, v int16) []byte {
			return le.AppendUint32(b, math.Float32bits(float32(v)/32768))
		}), 100},
		{"float 64", wavFloat, 64, pack(func(b []byte, v int16) []byte {
			return le.AppendUint64(b, math.Float64bits(float64(v)/32768))
		}), 100},
	} {
		got := readWAV(t, wavFile(c.coding, Rate, 1, c.bits, c.sound))
		if len(got) != len(want) {
			t.Errorf("%s: %d samples, want %d", c.name, len(got), len(want))
		} else if snr := signalToNoise(want, got); snr < c.snr {
			t.Errorf("%s: %.1f dB", c.name, snr)
		}
	}
}

// TestCodingsOfSox lets sox, which has its own idea of each, write the codings.
func TestCodingsOfSox(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.wav")
	want := sine(440, Rate, 4000)
	if err := os.WriteFile(in, wavFile(wavPCM, Rate, 1, 16, bytes16(want)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		snr  float64
	}{
		{[]string{"-e", "a-law"}, 30},
		{[]string{"-e", "mu-law"}, 30},
		{[]string{"-e", "unsigned", "-b", "8"}, 35},
		{[]string{"-e", "signed", "-b", "24"}, 90},
		{[]string{"-e", "signed", "-b", "32"}, 90},
		{[]string{"-e", "float", "-b", "32"}, 90},
		{[]string{"-e", "float", "-b", "64"}, 90},
		{[]string{"-c", "2"}, 90},
		{[]string{"-t", "wavpcm", "-b", "24"}, 90},
	} {
		out := filepath.Join(dir, "out.wav")
		tool(t, "sox", "sox", append(append([]string{"-D", in}, c.args...), out)...)
		got := readWAV(t, readFile(t, out))
		if len(got) != len(want) {
			t.Errorf("%q: %d samples, want %d", c.args, len(got), len(want))
		} else if snr := signalToNoise(want, got); snr < c.snr {
			t.Errorf("%q: %.1f dB", c.args, snr)
		}
	}
}

func TestStereoIsMixedDown(t *testing.T) {
	got := readWAV(t, wavFile(wavPCM, Rate, 2, 16, bytes16([]int16{100, 300, -32768, -32768, 32767, -32767})))
	if len(got) != 3 || got[0] != 200 || got[1] != -32768 || got[2] != 0 {
		t.Errorf("%v", got)
	}
}

func TestFloatsThatAreNoSound(t *testing.T) {
	var b []byte
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e30, 0.5} {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
	}
	got := readWAV(t, wavFile(wavFloat, Rate, 1, 32, b))
	want := []int16{0, 32767, -32768, 32767, 16384}
	for i, v := range want {
		if got[i] != v {
			t.Errorf("sample %d is %d, want %d", i, got[i], v)
		}
	}
}

// insert puts a chunk before the one of the given name.
func insert(wav []byte, before, chunk string) []byte {
	i := bytes.Index(wav, []byte(before))
	return append(append(bytes.Clone(wav[:i]), chunk...), wav[i:]...)
}

// TestHeaders changes the header of a file of 1000 samples.
func TestHeaders(t *testing.T) {
	good := wavFile(wavPCM, Rate, 1, 16, bytes16(sine(440, Rate, 1000)))
	set := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	extensible := set(16, 40, 0, 0, 0, 0xfe, 0xff)
	extensible = append(append(bytes.Clone(extensible[:36]), "\x16\x00\x10\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"...), extensible[36:]...)
	long := set(0, []byte("RF64\xff\xff\xff\xff")...)
	copy(long[40:], "\xff\xff\xff\xff")
	long = insert(long, "fmt ", "ds64\x1c\x00\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\xd0\x07\x00\x00\x00\x00\x00\x00\xe8\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, c := range []struct {
		name string
		file []byte
		kind error
		says string
	}{
		{"plain", good, nil, ""},
		{"chunk before the sound, padded", insert(good, "data", "LIST\x03\x00\x00\x00abc\x00"), nil, ""},
		{"chunk before the format", insert(good, "fmt ", "bext\x02\x00\x00\x00ab"), nil, ""},
		{"chunk after the sound", append(bytes.Clone(good), "LIST\x04\x00\x00\x00abcd"...), nil, ""},
		{"zeros after the sound", append(bytes.Clone(good), make([]byte, 300)...), nil, ""},
		{"a byte after the sound", append(bytes.Clone(good), 9), nil, ""},
		{"extensible", extensible, nil, ""},
		{"RF64", long, nil, ""},
		{"BW64", append([]byte("BW64"), long[4:]...), nil, ""},
		{"size never filled in", set(40, 0, 0, 0, 0), nil, ""},
		{"size of a stream", set(40, 0xff, 0xff, 0xff, 0xff), nil, ""},
		{"size of a stream of sox", set(40, 0, 0xf0, 0xff, 0x7f), nil, ""},
		{"sizes of a stream of opusdec", append(append([]byte("RIFF\xff\xff\xff\x7f"), good[8:40]...), set(40, 0xff, 0xff, 0xff, 0x7f)[40:]...), nil, ""},
		{"sizes of a stream of arecord", append(append([]byte("RIFF\x24\xff\xff\x7f"), good[8:40]...), set(40, 0, 0xff, 0xff, 0x7f)[40:]...), nil, ""},
		{"sizes of a stream, less the header", append(append([]byte("RIFF\xff\xff\xff\xff"), good[8:40]...), set(40, 0xdb, 0xff, 0xff, 0xff)[40:]...), nil, ""},
		{"sizes of a stream of oggdec", append(append([]byte("RIFF\xf7\xff\xff\x7f"), good[8:40]...), set(40, 0xd3, 0xff, 0xff, 0x7f)[40:]...), nil, ""},
		{"odd chunk after the sound, not padded", append(append(set(40, 0xcf, 7)[:2043], "LIST\x04\x00\x00\x00abcd"...), 0), nil, ""},
		{"size too great", set(40, 0xd2, 7, 0, 0), ErrTruncated, "announces 2002 bytes of sound, only 2000"},
		{"size far too great", set(40, 0xff, 0xff, 0xff, 0x7f), ErrTruncated, "only 2000"},
		{"size too small", set(40, 0xce, 7, 0, 0), nil, ""},
		{"size much too small", set(40, 0x10, 0, 0, 0), ErrMalformed, "announces 16 bytes of sound, yet more follows"},
		{"two files in one", append(bytes.Clone(good), good...), ErrUnsupported, "more sound follows"},
		{"two chunks of sound", append(bytes.Clone(good), good[36:]...), ErrUnsupported, "more sound follows"},
		{"three channels", set(22, 3), ErrUnsupported, "3 channels"},
		{"no channels", set(22, 0), ErrUnsupported, "0 channels"},
		{"rate 0", set(24, 0, 0), ErrUnsupported, "0 Hz"},
		{"rate of 4 GHz", set(24, 0xff, 0xff, 0xff, 0xff), ErrUnsupported, "4294967295 Hz"},
		{"GSM", set(20, 0x31), ErrUnsupported, "GSM 6.10"},
		{"coding that has no name", set(20, 0x77), ErrUnsupported, "0x0077"},
		{"12 bits", set(34, 12), ErrUnsupported, "12 bits"},
		{"block that does not fit", set(32, 4), ErrMalformed, "takes 4 bytes"},
		{"format too short", set(16, 14), ErrMalformed, "14 bytes"},
		{"sound before the format", append(bytes.Clone(good[:12]), good[36:]...), ErrMalformed, "before the fmt chunk"},
		{"ds64 too short", insert(good, "fmt ", "ds64\x04\x00\x00\x00abcd"), ErrMalformed, "ds64"},
		{"chunk that swallows all", insert(good, "data", "LIST\xff\xff\xff\x7f"), ErrTruncated, "before its sound begins"},
		{"cut in the header", good[:30], ErrTruncated, "inside its header"},
		{"header alone", good[:36], ErrTruncated, "inside its header"},
		{"cut in the sound", good[:1999], ErrTruncated, "only 1955"},
		{"big-endian", set(0, []byte("RIFX")...), ErrUnsupported, "not an audio file"},
		{"RIFF of something else", set(8, []byte("AVI ")...), ErrUnsupported, "not an audio file"},
		{"empty", nil, ErrEmpty, "empty"},
		{"Ogg", fixture(t, "vorbis.ogg"), ErrNotOpus, "Ogg Vorbis"},
	} {
		w, err := OpenWAV(bytes.NewReader(c.file))
		var pcm []int16
		if err == nil {
			pcm, err = readAll(w)
		}
		switch {
		case c.kind == nil && (err != nil || len(pcm) < 999 || len(pcm) > 1000):
			t.Errorf("%s: %d samples, %v", c.name, len(pcm), err)
		case c.kind != nil && (!errors.Is(err, c.kind) || !errors.Is(err, ErrUnprocessable) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %v, %q", c.name, err, c.kind, c.says)
		}
	}
}

func TestWAVWithoutSound(t *testing.T) {
	for name, file := range map[string][]byte{
		"none":             wavFile(wavPCM, Rate, 1, 16, nil),
		"followed by LIST": append(wavFile(wavPCM, Rate, 1, 16, nil), "LIST\x04\x00\x00\x00abcd"...),
	} {
		if pcm := readWAV(t, file); len(pcm) != 0 {
			t.Errorf("%s: %d samples", name, len(pcm))
		}
	}
}

func TestReaderErrorOfAWAVIsNoFault(t *testing.T) {
	broken := errors.New("disk on fire")
	file := wavFile(wavPCM, Rate, 1, 16, make([]byte, 1000))
	for _, n := range []int{0, 20, 500} {
		w, err := OpenWAV(io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken)))
		if err == nil {
			_, err = readAll(w)
		}
		if !errors.Is(err, broken) || errors.Is(err, ErrUnprocessable) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func FuzzWAV(f *testing.F) {
	sound := make([]byte, 96)
	f.Add(wavFile(wavPCM, 44100, 2, 24, sound))
	f.Add(wavFile(wavMuLaw, Rate, 1, 8, sound))
	f.Add(wavFile(wavFloat, 6000, 2, 64, sound))
	f.Add(append(wavFile(wavPCM, 11025, 1, 8, sound[:33]), "\x00LIST\x00\x00\x00\x00"...))
	f.Add(append([]byte("RF64"), insert(wavFile(wavPCM, 16000, 1, 32, sound), "fmt ", "ds64\x10\x00\x00\x00aaaaaaaabbbbbbbb")[4:]...))
	f.Fuzz(func(t *testing.T, file []byte) {
		w, err := OpenWAV(bytes.NewReader(file))
		if err == nil {
			_, err = readAll(w)
		}
		if err != nil && (!errors.Is(err, ErrUnprocessable) || err.Error() == "") {
			t.Errorf("%v", err)
		}
	})
}
