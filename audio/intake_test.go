package audio

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

func TestOpusOfOneChannelIsKept(t *testing.T) {
	for name, ogg := range map[string][]byte{
		"speech.opus": fixture(t, "speech.opus"),
		"lacing.opus": fixture(t, "lacing.opus"),
		"family 1":    joined(1, 0, []byte{0}, opusPackets(t, fixture(t, "speech.opus"))),
	} {
		var out bytes.Buffer
		info, err := ToOpus(&out, bytes.NewReader(ogg))
		if err != nil || !bytes.Equal(out.Bytes(), ogg) || info.Bytes != int64(len(ogg)) {
			t.Errorf("%s: %+v, %v, %d bytes of %d", name, info, err, out.Len(), len(ogg))
		}
	}
}

func TestOpusOfMoreChannelsIsMixedDown(t *testing.T) {
	needLibopus(t)
	for name, samples := range map[string]int64{"stereo.opus": 48000, "surround.opus": 33600, "discrete.opus": 48000} {
		ogg := fixture(t, name)
		var out bytes.Buffer
		info, err := ToOpus(&out, bytes.NewReader(ogg))
		if err != nil || info.Channels != 1 || info.Samples != samples {
			t.Fatalf("%s: %+v, %v", name, info, err)
		}
		if c := correlation(decodeAll(t, ogg), decodeAll(t, out.Bytes())); c < 0.75 {
			t.Errorf("%s: correlation %.3f", name, c)
		}
	}
}

// TestWhatIsRefused: each refusal says what the file is, and can be told from an error of
// the machine.
func TestWhatIsRefused(t *testing.T) {
	speech := fixture(t, "speech.opus")
	unended := repage(t, speech, func(_ int, p *page) { p.flags &^= flagLast })
	nothing := repage(t, speech, func(i int, p *page) {
		if i == 2 {
			p.granule, p.flags = 312, flagLast
		}
	})
	nothing = nothing[:len(nothing)-len(speech)+bytes.LastIndex(speech, []byte("OggS"))]
	bent := bytes.Clone(speech)
	bent[1000]++
	for _, c := range []struct {
		name string
		file []byte
		kind error
		says string
	}{
		{"empty", nil, ErrEmpty, "empty"},
		{"JPEG", []byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01"), ErrUnsupported, "JPEG"},
		{"MP3", fixture(t, "speech.mp3"), ErrUnsupported, "MP3"},
		{"MP3 with a tag", []byte("ID3\x03\x00"), ErrUnsupported, "MP3"},
		{"Vorbis", fixture(t, "vorbis.ogg"), ErrNotOpus, "Ogg Vorbis"},
		{"FLAC", []byte("fLaC\x00\x00"), ErrUnsupported, "FLAC"},
		{"an error page", []byte("\n<!DOCTYPE html><html>"), ErrUnsupported, "HTML"},
		{"an error as JSON", []byte(`{"error": "not found"}`), ErrUnsupported, "JSON"},
		{"a text", []byte("no such recording"), ErrUnsupported, "a text"},
		{"bytes", []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, ErrUnsupported, "send Ogg Opus or WAV"},
		{"one byte", []byte{'O'}, ErrUnsupported, "a text"},
		{"cut", speech[:2000], ErrTruncated, "middle of an Ogg page"},
		{"not ended", unended, ErrTruncated, "not marked as ended"},
		{"damaged", bent, ErrCRC, "checksum"},
		{"Opus without sound", nothing, ErrEmpty, "no sound"},
		{"WAV without sound", wavFile(wavPCM, Rate, 1, 16, nil), ErrEmpty, "no sound"},
		{"WAV cut in its sound", wavFile(wavPCM, Rate, 1, 16, make([]byte, 5000))[:4000], ErrTruncated, "only 3956"},
	} {
		if strings.HasPrefix(c.name, "WAV") {
			if _, err := Library(); err != nil {
				continue
			}
		}
		_, err := ToOpus(io.Discard, bytes.NewReader(c.file))
		if !errors.Is(err, c.kind) || !errors.Is(err, ErrUnprocessable) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v, %q", c.name, err, c.kind, c.says)
		}
	}
}

func TestCheckSaysWhatItIsInstead(t *testing.T) {
	for says, file := range map[string][]byte{
		"JPEG":       []byte("\xff\xd8\xff\xe0\x00\x10JFIF"),
		"MP3":        fixture(t, "speech.mp3"),
		"HTML":       []byte("<html>"),
		"WAV":        wavFile(wavPCM, Rate, 1, 16, make([]byte, 9)),
		"Ogg Vorbis": fixture(t, "vorbis.ogg"),
	} {
		_, err := Check(bytes.NewReader(file))
		want := ErrNotOgg
		if says == "Ogg Vorbis" {
			want = ErrNotOpus
		}
		if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %v", says, err, want)
		}
	}
}

type brokenSeeker struct{ io.Reader }

func (brokenSeeker) Seek(int64, int) (int64, error) { return 0, os.ErrClosed }

func TestErrorsOfTheMachine(t *testing.T) {
	for name, r := range map[string]io.ReadSeeker{
		"read": brokenSeeker{iotest.ErrReader(os.ErrClosed)},
		"seek": brokenSeeker{bytes.NewReader(fixture(t, "speech.opus"))},
	} {
		if _, err := ToOpus(io.Discard, r); !errors.Is(err, os.ErrClosed) || errors.Is(err, ErrUnprocessable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	full := errors.New("disk full")
	if _, err := ToOpus(failing{full}, bytes.NewReader(fixture(t, "speech.opus"))); err != full {
		t.Errorf("write: %v", err)
	}
}

func FuzzSniff(f *testing.F) {
	for _, name := range []string{"speech.opus", "vorbis.ogg", "speech.mp3"} {
		f.Add(fixture(f, name)[:100])
	}
	f.Add([]byte("<html>ü"))
	f.Fuzz(func(t *testing.T, head []byte) {
		if format := Sniff(head); format == "" || (format == FormatEmpty) != (len(head) == 0) {
			t.Errorf("%q is %q", head, format)
		}
	})
}
