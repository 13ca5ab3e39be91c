package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// opusPackets returns the packets with sound of a file of one stream.
func opusPackets(t testing.TB, ogg []byte) (packets [][]byte) {
	t.Helper()
	var s stream
	pages := pageReader{src: bytes.NewReader(ogg)}
	for {
		p, _, err := pages.next()
		if err == io.EOF {
			return packets
		} else if err != nil {
			t.Fatal(err)
		}
		if bad := s.follow(p); bad != nil {
			t.Fatal(bad)
		}
		for _, q := range s.packets {
			packets = append(packets, bytes.Clone(q.data))
		}
	}
}

// delimit returns a packet of one frame in self-delimiting framing.
func delimit(packet []byte) []byte {
	n := len(packet) - 1
	length := []byte{byte(n)}
	if n >= 252 {
		length = []byte{byte(252 + n%4), byte((n - 252) / 4)}
	}
	return append(append([]byte{packet[0]}, length...), packet[1:]...)
}

// joined is a file with a channel mapping table whose Ogg packets hold a packet of each
// stream. A stream shorter than the first begins again.
func joined(family, coupled int, mapping []byte, streams ...[][]byte) []byte {
	var out bytes.Buffer
	w := pageWriter{w: &out}
	head := append([]byte("OpusHead\x01"), byte(len(mapping)), 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, byte(family))
	w.add(append(append(head, byte(len(streams)), byte(coupled)), mapping...))
	w.flush(0, flagFirst)
	w.add(append([]byte("OpusTags"), make([]byte, 8)...))
	w.flush(0, 0)
	granule := 0
	for i := range streams[0] {
		var all []byte
		for k, s := range streams {
			one := s[i%len(s)]
			if k < len(streams)-1 {
				one = delimit(one)
			}
			all = append(all, one...)
		}
		if i > 0 && (i%20 == 0 || !w.fits(len(all))) {
			w.flush(int64(granule), 0)
		}
		n, _ := packetTime(streams[0][i])
		granule += n
		w.add(all)
	}
	w.flush(int64(granule), flagLast)
	return out.Bytes()
}

// voices are two streams of packets of the same length with different speech.
func voices(t testing.TB) (one, other [][]byte) {
	t.Helper()
	all := opusPackets(t, fixture(t, "speech.opus"))[:80]
	return all, append(append([][]byte{}, all[33:]...), all[:33]...)
}

func TestSelfDelimited(t *testing.T) {
	long := func(n int, start ...byte) []byte { return append(start, make([]byte, n-len(start))...) }
	for _, c := range []struct {
		name        string
		packet      []byte // in self-delimiting framing; all of it, if that is well
		time        int
		at, used    int
		cutAnywhere bool
	}{
		{"one frame", []byte{0, 2, 7, 8}, 480, 1, 1, true},
		{"one empty frame", []byte{0, 0}, 480, 1, 1, true},
		{"one long frame", long(3+252, 0, 252, 0), 480, 1, 2, true},
		{"the longest frame", long(3+1275, 0, 255, 255), 480, 1, 2, true},
		{"two equal frames", []byte{1, 2, 5, 6, 7, 8}, 960, 1, 1, true},
		{"two frames", []byte{2, 1, 3, 9, 7, 7, 7}, 960, 2, 1, true},
		{"three equal frames", []byte{3, 3, 1, 4, 5, 6}, 1440, 2, 1, true},
		{"three frames", []byte{3, 0x83, 1, 0, 2, 4, 5, 6}, 1440, 4, 1, true},
		{"padded", []byte{3, 0x41, 2, 1, 7, 0, 0}, 480, 3, 1, true},
		{"padded by 255", long(5+1+255, 3, 0x41, 255, 1, 1), 480, 4, 1, true},
		{"two frames, padded", []byte{3, 0xc2, 1, 2, 1, 5, 5, 6, 0}, 960, 4, 1, true},
		{"no frames", []byte{3, 0, 0}, 0, 0, 0, false},
		{"more than 120 ms", []byte{3, 13, 0}, 0, 0, 0, false},
		{"padding of an endless length", []byte{3, 0x41, 255, 255}, 0, 0, 0, false},
	} {
		got, ok := selfDelimited(append(bytes.Clone(c.packet), "next"...))
		if !c.cutAnywhere {
			if ok {
				t.Errorf("%s: %+v", c.name, got)
			}
			continue
		}
		if want := (delimited{c.time, c.at, c.used, len(c.packet)}); !ok || got != want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, ok, want)
		}
		plain := got.plain(nil, c.packet)
		if n, ok := packetTime(plain); !ok || n != c.time || len(plain) != len(c.packet)-c.used {
			t.Errorf("%s: in normal framing it is %x: %d, %v", c.name, plain, n, ok)
		}
		for n := range c.packet {
			if got, ok := selfDelimited(c.packet[:n]); ok {
				t.Errorf("%s: cut off at %d it passes as %+v", c.name, n, got)
			}
		}
	}
}

func FuzzSelfDelimited(f *testing.F) {
	for _, name := range []string{"surround.opus", "discrete.opus"} {
		f.Add(opusPackets(f, fixture(f, name))[0])
	}
	f.Add([]byte{3, 0xc2, 1, 2, 1, 5, 5, 6, 0})
	f.Add([]byte{2, 1, 3, 9, 7, 7, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, ok := selfDelimited(b)
		if !ok {
			return
		}
		plain := d.plain(nil, b)
		if n, ok := packetTime(plain); !ok || n != d.time || len(plain)+d.used != d.end {
			t.Errorf("%+v in normal framing is %x: %d, %v", d, plain, n, ok)
		}
		if again, ok := selfDelimited(b[:d.end]); !ok || again != d {
			t.Errorf("alone %+v, %v; with more after it %+v", again, ok, d)
		}
	})
}

// TestMappingRules breaks one rule of the channel mapping table, or of the packets of
// several streams, at a time.
func TestMappingRules(t *testing.T) {
	one, other := voices(t)
	file := func(family int, coupled int, mapping ...byte) []byte {
		return joined(family, coupled, mapping, one, other)
	}
	head := func(f func(p *page)) []byte {
		return repage(t, file(1, 0, 0, 1), func(i int, p *page) {
			if i == 0 {
				f(p)
			}
		})
	}
	short := [][]byte{{0}} // 10 ms
	for _, c := range []struct {
		name string
		file []byte
		kind error
		says string
	}{
		{"two channels of family 1", file(1, 0, 0, 1), nil, ""},
		{"eight channels of family 1", file(1, 0, 0, 1, 0, 1, 0, 1, 255, 255), nil, ""},
		{"twelve channels of family 255", file(255, 2, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 255), nil, ""},
		{"255 channels of family 255", file(255, 2, bytes.Repeat([]byte{3}, 255)...), nil, ""},
		{"header not alone on its page", head(func(p *page) { p.lacing, p.body = append(p.lacing, 1), append(p.body, 0) }), ErrMalformed, "24 bytes long"},
		{"family 2", file(2, 0, 0, 1), ErrUnsupported, "family 2 is not supported; send family 0"},
		{"family 3", file(3, 0, 0, 1), ErrUnsupported, "1 (surround, to 8 channels) or 255"},
		{"nine channels of family 1", file(1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0), ErrMalformed, "9 channels; mapping family 1 has 1 to 8"},
		{"no channels", file(255, 0), ErrMalformed, "0 channels; mapping family 255 has 1 to 255"},
		{"table cut off", head(func(p *page) { p.body = p.body[:22]; p.lacing[0]-- }), ErrMalformed, "22 bytes long instead of 23"},
		{"no table", head(func(p *page) { p.body = p.body[:19]; p.lacing[0] = 19 }), ErrMalformed, "19 bytes long instead of 23"},
		{"table too long", head(func(p *page) { p.body = append(p.body, 0); p.lacing[0]++ }), ErrMalformed, "24 bytes long instead of 23"},
		{"no streams", head(func(p *page) { p.body[19] = 0 }), ErrMalformed, "0 streams"},
		{"more coupled than streams", file(1, 3, 0, 1), ErrMalformed, "2 streams, 3 of them"},
		{"more than 255 decoded channels", head(func(p *page) { p.body[19], p.body[20] = 200, 56 }), ErrMalformed, "200 streams, 56 of them"},
		{"a channel from nowhere", file(1, 0, 0, 2), ErrMalformed, "channel 1 from decoded channel 2"},
		{"streams of unequal length", joined(1, 0, []byte{0, 1}, one, short), ErrMalformed, "960 and 480 samples"},
		{"streams of unequal length before the last", joined(1, 0, []byte{0, 1, 2}, one, short, other), ErrMalformed, "960 and 480 samples"},
		{"a frame too long in the last stream", joined(1, 0, []byte{0, 1}, one, [][]byte{append([]byte{one[0][0]}, make([]byte, 1276)...)}), ErrMalformed, "packet of 1277 bytes is malformed"},
		{"a stream too many", head(func(p *page) { p.body[19] = 3 }), ErrMalformed, "of 3"},
	} {
		info, err := Check(bytes.NewReader(c.file))
		if c.kind == nil {
			if err != nil || !info.Ended || info.Channels != int(c.file[bytes.Index(c.file, []byte("OpusHead"))+9]) || info.Samples != 80*960-312 {
				t.Errorf("%s: %+v, %v", c.name, info, err)
			}
			continue
		}
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v, %q", c.name, err, c.kind, c.says)
		}
		d, err := NewDecoder(bytes.NewReader(c.file))
		if err == nil {
			_, err = readAll(d)
		}
		if !errors.Is(err, c.kind) {
			t.Errorf("%s: the decoder returns %v", c.name, err)
		}
	}
}

// TestCutPacketsOfSeveralStreams cuts an Ogg packet of three streams anywhere: no part of it
// passes, but for the last stream's, of which any length may be meant.
func TestCutPacketsOfSeveralStreams(t *testing.T) {
	whole := opusPackets(t, fixture(t, "discrete.opus"))[10]
	h := opusHead{streams: 3}
	if n, bad := h.measure(whole); bad != nil || n != 960 {
		t.Fatalf("%d, %v", n, bad)
	}
	first, _ := selfDelimited(whole)
	second, _ := selfDelimited(whole[first.end:])
	for n := range first.end + second.end + 1 {
		if _, bad := h.measure(whole[:n]); bad == nil || bad.Kind != ErrMalformed {
			t.Errorf("cut off at %d of %d: %v", n, len(whole), bad)
		}
	}
}

// TestLongPacketsOfTwoStreams: the limit of a packet's length counts for each stream.
func TestLongPacketsOfTwoStreams(t *testing.T) {
	full := bytes.Repeat([]byte{255}, 255)
	stream := func(framing ...byte) []byte { // a frame of 72 bytes and 235 times 254 bytes of padding
		b := append([]byte{3, 0x41}, full[:235]...)
		b = append(append(b, 0), framing...)
		return append(b, make([]byte, 72+235*254)...)
	}
	packet := append(stream(72), stream()...)
	file := joined(1, 0, []byte{0, 1}, [][]byte{{0}}, [][]byte{{0}})
	file = file[:len(file)-pageHeaderLen-1-3]
	pages := func(packet []byte, last int64) []byte {
		out := bytes.Clone(file)
		for seq := uint32(2); ; seq++ {
			p := page{granule: noGranule, serial: serial, seq: seq, lacing: full}
			if seq > 2 {
				p.flags = flagContinued
			}
			if len(packet) < 255*255 {
				p.granule, p.flags = last, p.flags|flagLast
				p.lacing, p.body = append(bytes.Clone(full[:len(packet)/255]), byte(len(packet)%255)), packet
				return append(out, rawPage(p)...)
			}
			p.body, packet = packet[:255*255], packet[255*255:]
			out = append(out, rawPage(p)...)
		}
	}
	if info, err := Check(bytes.NewReader(pages(packet, 480))); err != nil || info.Samples != 480-312 {
		t.Errorf("%d bytes: %+v, %v", len(packet), info, err)
	}
	if got := len(decodeAll(t, pages(packet, 480))); got != 80-52 {
		t.Errorf("%d samples, want %d", got, 80-52)
	}
	_, err := Check(bytes.NewReader(pages(append(packet, make([]byte, 100000)...), 480)))
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "longer than 122880 bytes") {
		t.Errorf("a longer one: %v", err)
	}
}

// TestHeaderOfFamily0IsAsBefore: its table is implied (RFC 7845 section 5.1.1.1).
func TestHeaderOfFamily0IsAsBefore(t *testing.T) {
	head := append([]byte("OpusHead\x01\x02"), make([]byte, 9)...)
	binary.LittleEndian.PutUint16(head[10:], 312)
	h, bad := parseHead(head)
	if bad != nil || h.streams != 1 || h.coupled != 1 || h.mapping != nil || h.channels != 2 {
		t.Errorf("%+v, %v", h, bad)
	}
}
