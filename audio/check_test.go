package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestCheckMeasures(t *testing.T) {
	for name, want := range map[string]Info{
		"speech.opus":   {Channels: 1, InputRate: 8000, PreSkip: 312, Samples: 81942, Pages: 4, Bytes: 2585, Ended: true},
		"stereo.opus":   {Channels: 2, InputRate: 48000, PreSkip: 312, Samples: 48000, Pages: 4, Bytes: 4257, Ended: true},
		"lacing.opus":   {Channels: 1, InputRate: 48000, PreSkip: 312, Samples: 19200, Pages: 3, Bytes: 6265, Ended: true},
		"surround.opus": {Channels: 6, InputRate: 48000, PreSkip: 312, Samples: 33600, Pages: 3, Bytes: 10603, Ended: true},
		"discrete.opus": {Channels: 3, InputRate: 48000, PreSkip: 312, Samples: 48000, Pages: 4, Bytes: 6164, Ended: true},
	} {
		got, err := Check(bytes.NewReader(fixture(t, name)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDuration(t *testing.T) {
	for samples, want := range map[int64]time.Duration{
		0:                  0,
		480:                10 * time.Millisecond,
		81942:              1707125 * time.Microsecond,
		1000 * 3600 * 48e3: 1000 * time.Hour,
	} {
		if got := (Info{Samples: samples}).Duration(); got != want {
			t.Errorf("%d samples: %v, want %v", samples, got, want)
		}
	}
}

// TestEveryByteCounts changes each byte of a file in turn: no change goes unnoticed.
func TestEveryByteCounts(t *testing.T) {
	ogg := fixture(t, "speech.opus")
	sums := 0
	for i := range ogg {
		bent := bytes.Clone(ogg)
		bent[i] ^= 1 << (i % 8)
		_, err := Check(bytes.NewReader(bent))
		if !errors.Is(err, ErrUnprocessable) {
			t.Fatalf("a change of byte %d: %v", i, err)
		}
		if errors.Is(err, ErrCRC) {
			sums++
		}
		var fault *Fault
		if !errors.As(err, &fault) || strings.Contains(fault.Finding(), "send") || !strings.HasPrefix(fault.Text, fault.Finding()[:10]) {
			t.Fatalf("a change of byte %d is found as %q", i, fault.Finding())
		}
	}
	if sums < len(ogg)*9/10 {
		t.Errorf("only %d of %d changes show in a checksum", sums, len(ogg))
	}
}

// TestEveryTruncation cuts a file at each byte: the end is missing, and reported to be
// inside a page unless the cut is between two pages.
func TestEveryTruncation(t *testing.T) {
	ogg := fixture(t, "speech.opus")
	between := 0
	for n := 1; n < len(ogg); n++ {
		info, err := Check(bytes.NewReader(ogg[:n]))
		if info.Ended || info.Bytes != int64(n) {
			t.Fatalf("cut at %d: %+v", n, info)
		}
		switch {
		case err == nil:
			between++
		case !errors.Is(err, ErrTruncated):
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	// After the tags and after each page of sound but the last.
	if between != 2 {
		t.Errorf("%d cuts pass as whole pages, want 2", between)
	}
}

func TestTruncatedKeepsWhatIsKnown(t *testing.T) {
	ogg := fixture(t, "speech.opus")
	info, err := Check(bytes.NewReader(ogg[:len(ogg)-1]))
	if !errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
	if info.Channels != 1 || info.PreSkip != 312 || info.Samples != 48000-312 || info.Pages != 3 {
		t.Errorf("%+v", info)
	}
}

func TestCheckerTakesAnyPieces(t *testing.T) {
	files := [][]byte{
		fixture(t, "speech.opus"), fixture(t, "lacing.opus"), fixture(t, "vorbis.ogg"), fixture(t, "speech.mp3"),
		fixture(t, "speech.opus")[:2000], append(fixture(t, "stereo.opus"), "more"...), []byte("OggX"), []byte("Og"),
	}
	rapid.Check(t, func(t *rapid.T) {
		file := bytes.Clone(rapid.SampledFrom(files).Draw(t, "file"))
		if rapid.Bool().Draw(t, "bend") {
			file[rapid.IntRange(0, len(file)-1).Draw(t, "at")]++
		}
		want, wantErr := Check(bytes.NewReader(file))
		var c Checker
		for rest := file; len(rest) > 0; {
			n := min(len(rest), rapid.IntRange(0, 700).Draw(t, "n"))
			k, err := c.Write(rest[:n])
			if k != n || err != nil {
				t.Fatalf("Write = %d, %v", k, err)
			}
			rest = rest[n:]
		}
		got, gotErr := c.Finish()
		if got != want || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Fatalf("%+v, %v; in one piece %+v, %v", got, gotErr, want, wantErr)
		}
	})
}

// TestRules breaks one rule of the container at a time, with correct checksums.
func TestRules(t *testing.T) {
	speech := fixture(t, "speech.opus")
	edit := func(f func(i int, p *page)) []byte { return repage(t, speech, f) }
	on := func(n int, f func(p *page)) []byte {
		return edit(func(i int, p *page) {
			if i == n {
				f(p)
			}
		})
	}
	for _, c := range []struct {
		name string
		file []byte
		kind error
		says string
	}{
		{"nothing changed", edit(func(int, *page) {}), nil, ""},
		{"end not marked", on(3, func(p *page) { p.flags = 0 }), nil, ""},
		{"start not marked", on(0, func(p *page) { p.flags = 0 }), ErrMalformed, "beginning is missing"},
		{"version 2 of Opus", on(0, func(p *page) { p.body[8] = 0x20 }), ErrUnsupported, "version"},
		{"three channels", on(0, func(p *page) { p.body[9] = 3 }), ErrMalformed, "3 channels"},
		{"family 1 without its table", on(0, func(p *page) { p.body[18] = 1 }), ErrMalformed, "19 bytes long instead of 22"},
		{"family 2", on(0, func(p *page) { p.body[18] = 2 }), ErrUnsupported, "family 2"},
		{"short header", on(0, func(p *page) { p.body = p.body[:18]; p.lacing[0] = 18 }), ErrMalformed, "18 bytes"},
		{"sound beside the header", on(0, func(p *page) { p.lacing = append(p.lacing, 1); p.body = append(p.body, 0) }), ErrMalformed, "stand alone"},
		{"endless header", on(0, func(p *page) { p.lacing[0] = 255; p.body = append(p.body, make([]byte, 236)...) }), ErrMalformed, "stand alone"},
		{"no tags", on(1, func(p *page) { p.body[0] = 'o' }), ErrMalformed, "OpusTags"},
		{"sound beside the tags", on(1, func(p *page) { p.lacing = append(p.lacing, 1); p.body = append(p.body, 0) }), ErrMalformed, "OpusTags"},
		{"page missing", on(2, func(p *page) { p.seq = 3 }), ErrMalformed, "page 3 comes where page 2"},
		{"other stream", on(2, func(p *page) { p.serial++ }), ErrUnsupported, "multiplexed"},
		{"second stream", on(3, func(p *page) { p.flags = flagFirst }), ErrUnsupported, "multiplexed"},
		{"continues nothing", on(3, func(p *page) { p.flags |= flagContinued }), ErrMalformed, "continue"},
		{"is not continued", on(2, func(p *page) { p.lacing = append(p.lacing, 255); p.body = append(p.body, make([]byte, 255)...) }), ErrMalformed, "continue"},
		{"ends inside a packet", on(3, func(p *page) { p.lacing = append(p.lacing, 255); p.body = append(p.body, make([]byte, 255)...) }), ErrMalformed, "inside a packet"},
		{"empty packet", on(2, func(p *page) { p.lacing = append(p.lacing, 0) }), ErrMalformed, "packet of 0 bytes"},
		{"no granule position", on(2, func(p *page) { p.granule = noGranule }), ErrMalformed, "no granule"},
		{"granule position below zero", on(2, func(p *page) { p.granule = -5 }), ErrMalformed, "no granule"},
		{"first granule position too low", on(2, func(p *page) { p.granule = 5 }), ErrMalformed, "first granule"},
		{"granule position falls", on(3, func(p *page) { p.granule = 47999 }), ErrMalformed, "falls"},
		{"granule position jumps", on(3, func(p *page) { p.granule = 1 << 60 }), ErrMalformed, "jumps"},
		{"after the end", append(bytes.Clone(speech), rawPage(page{seq: 4})...), ErrMalformed, "follow the end"},
		{"chained", append(bytes.Clone(speech), speech...), ErrUnsupported, "chained"},
		{"junk after the end", append(bytes.Clone(speech), "junk"...), ErrMalformed, "no Ogg page begins"},
		{"version 1 of Ogg", append([]byte("OggS\x01"), speech[5:]...), ErrMalformed, "Ogg version 1"},
	} {
		info, err := Check(bytes.NewReader(c.file))
		if c.kind == nil {
			if err != nil || info.Ended != (c.name == "nothing changed") {
				t.Errorf("%s: %+v, %v", c.name, info, err)
			}
			continue
		}
		if !errors.Is(err, c.kind) || !errors.Is(err, ErrUnprocessable) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v, %q", c.name, err, c.kind, c.says)
		}
	}
}

func TestFaultNamesItsByte(t *testing.T) {
	ogg := fixture(t, "speech.opus")
	ogg[len(ogg)-1]++
	_, err := Check(bytes.NewReader(ogg))
	bad, ok := errors.AsType[*Fault](err)
	if !ok || !bytes.HasPrefix(ogg[bad.Offset:], []byte("OggS")) || bad.Offset == 0 {
		t.Errorf("%v", err)
	}
}

// TestLongPacketsSpanPages checks a packet that begins on one page, fills the
// next and ends on a third, and tags that go on over a page's end.
func TestLongPacketsSpanPages(t *testing.T) {
	full := bytes.Repeat([]byte{255}, 255)
	fill := make([]byte, 255*255)
	// One frame of 72 bytes, 235 times 254 bytes of padding.
	packet := make([]byte, 60000)
	copy(packet, []byte{3, 0x41})
	copy(packet[2:], full[:235])
	pages := []page{
		{flags: flagFirst, lacing: []byte{19}, body: append([]byte("OpusHead\x01\x01"), make([]byte, 9)...)},
		{granule: noGranule, lacing: full, body: append([]byte("OpusTags"), fill[8:]...)},
		{flags: flagContinued, lacing: []byte{3}, body: fill[:3]},
		{granule: noGranule, lacing: full[:100], body: packet[:25500]},
		{granule: noGranule, flags: flagContinued, lacing: full[:100], body: packet[25500:51000]},
		{granule: 480, flags: flagContinued | flagLast, lacing: append(bytes.Clone(full[:35]), 75), body: packet[51000:]},
	}
	var file []byte
	for i, p := range pages {
		p.seq = uint32(i)
		file = append(file, rawPage(p)...)
	}
	info, err := Check(bytes.NewReader(file))
	if err != nil || info.Samples != 480 || info.Pages != len(pages) {
		t.Errorf("%+v, %v", info, err)
	}
	if got := len(decodeAll(t, file)); got != 80 {
		t.Errorf("%d samples, want 80", got)
	}

	file = append(file[:len(file)-pageHeaderLen-36-9000], rawPage(page{granule: 480, seq: 5, flags: flagContinued | flagLast, lacing: full, body: fill})...)
	if _, err := Check(bytes.NewReader(file)); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("endless packet: %v", err)
	}
}

func TestReaderErrorIsNoFault(t *testing.T) {
	broken := errors.New("disk on fire")
	_, err := Check(io.MultiReader(bytes.NewReader(fixture(t, "speech.opus")[:99]), iotest.ErrReader(broken)))
	if err != broken || errors.Is(err, ErrUnprocessable) {
		t.Errorf("%v", err)
	}
}

func FuzzCheck(f *testing.F) {
	for _, name := range []string{"speech.opus", "stereo.opus", "lacing.opus", "surround.opus", "discrete.opus", "vorbis.ogg", "speech.mp3"} {
		f.Add(fixture(f, name), 100)
	}
	f.Fuzz(func(t *testing.T, file []byte, cut int) {
		mend(file)
		want, wantErr := Check(bytes.NewReader(file))
		if wantErr != nil && !errors.Is(wantErr, ErrUnprocessable) {
			t.Errorf("%v is not the input's fault", wantErr)
		}
		var c Checker
		cut = max(0, min(cut, len(file)))
		c.Write(file[:cut])
		c.Write(file[cut:])
		got, gotErr := c.Finish()
		if got != want || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Errorf("in two pieces %+v, %v; in one %+v, %v", got, gotErr, want, wantErr)
		}
	})
}

// mend corrects the checksums of all whole pages at the start of a file, so that
// fuzzing gets past them.
func mend(file []byte) {
	var sum oggCRC
	for len(file) >= pageHeaderLen && string(file[:4]) == "OggS" {
		n := wanted(file[:pageHeaderLen])
		if n += pageHeaderLen; n > len(file) {
			return
		}
		n += wanted(file[:n])
		if n > len(file) {
			return
		}
		binary.LittleEndian.PutUint32(file[22:], sum.page(file[:n]))
		file = file[n:]
	}
}

func BenchmarkCheck(b *testing.B) {
	files := map[string][]byte{"small": fixture(b, "speech.opus")}
	if _, err := Library(); err == nil {
		var out bytes.Buffer
		if _, err := Encode(&out, &tone{left: 97 * Rate}); err != nil {
			b.Fatal(err)
		}
		files["97 s"] = out.Bytes()
	}
	for name, file := range files {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				if _, err := Check(bytes.NewReader(file)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
