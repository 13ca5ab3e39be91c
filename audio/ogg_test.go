package audio

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/opus/pkg/oggreader"
)

// slowCRC is the checksum as RFC 3533 describes it, bit by bit.
func slowCRC(b []byte) uint32 {
	sum := uint32(0)
	for i, c := range b {
		if i >= 22 && i < 26 {
			c = 0
		}
		sum ^= uint32(c) << 24
		for range 8 {
			carry := sum >> 31
			sum = sum<<1 ^ carry*0x04c11db7
		}
	}
	return sum
}

func TestCRCIsThatOfTheRFC(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var sum oggCRC
	for _, n := range []int{27, 28, 35, 1023, 1024, 1025, 1031, 2048, 5000, maxPageLen} {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		if got, want := sum.page(b), slowCRC(b); got != want {
			t.Errorf("%d bytes: %08x, want %08x", n, got, want)
		}
	}
}

// TestPagesReadByPion writes packets of all awkward lengths and lets another
// reader take them apart.
func TestPagesReadByPion(t *testing.T) {
	var out bytes.Buffer
	w := pageWriter{w: &out}
	head := append([]byte("OpusHead\x01\x01\x38\x01"), 0x40, 0x1f, 0, 0, 0, 0, 0)
	want := [][]byte{head}
	w.add(head)
	w.flush(0, flagFirst)
	for i, n := range []int{1, 254, 255, 256, 509, 510, 511, 1275, 3825} {
		packet := bytes.Repeat([]byte{byte(i + 1)}, n)
		want = append(want, packet)
		w.add(packet)
		if i%2 == 1 {
			w.flush(int64(i)*960, 0)
		}
	}
	w.flush(9000, flagLast)

	r, _, err := oggreader.NewWith(&out)
	if err != nil {
		t.Fatal(err)
	}
	got := [][]byte{head}
	for {
		packet, _, err := r.ParseNextPacket()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, packet)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPacketsAreThoseThatPionReads(t *testing.T) {
	for _, name := range []string{"speech.opus", "stereo.opus", "lacing.opus"} {
		ogg := fixture(t, name)
		r, head, err := oggreader.NewWith(bytes.NewReader(ogg))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.ParseNextPacket(); err != nil { // the tags
			t.Fatal(err)
		}
		var s stream
		multiples := 0
		pages := pageReader{src: bytes.NewReader(ogg)}
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
			for _, ours := range s.packets {
				theirs, _, err := r.ParseNextPacket()
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(ours.data, theirs) {
					t.Fatalf("%s: packets differ", name)
				}
				if len(theirs)%255 == 0 {
					multiples++
				}
			}
		}
		if s.head.channels != int(head.Channels) || s.head.preSkip != int(head.PreSkip) || s.head.rate != int(head.SampleRate) {
			t.Errorf("%s: header %+v, pion reads %+v", name, s.head, head)
		}
		if name == "lacing.opus" && multiples == 0 {
			t.Error("lacing.opus holds no packet of a multiple of 255 bytes")
		}
	}
}

func TestPacketTime(t *testing.T) {
	long := func(n int, start ...byte) []byte { return append(start, make([]byte, n-len(start))...) }
	for _, c := range []struct {
		name   string
		packet []byte
		time   int
		ok     bool
	}{
		{"none", nil, 0, false},
		{"SILK 10 ms", []byte{0}, 480, true},
		{"SILK 60 ms", []byte{3 << 3, 1}, 2880, true},
		{"hybrid 20 ms", []byte{13 << 3, 1}, 960, true},
		{"CELT 2.5 ms", []byte{16 << 3, 1}, 120, true},
		{"CELT 20 ms", []byte{31 << 3, 1}, 960, true},
		{"one frame too long", long(1277, 0), 0, false},
		{"two equal frames", []byte{1, 1, 1}, 960, true},
		{"two equal frames of odd length", []byte{1, 1}, 0, false},
		{"two frames", []byte{2, 1, 9, 9}, 960, true},
		{"two frames, the second empty", []byte{2, 1, 9}, 960, true},
		{"two frames, the first too long", []byte{2, 3, 9}, 0, false},
		{"two frames without a length", []byte{2}, 0, false},
		{"two frames, half a length", []byte{2, 252}, 0, false},
		{"two frames, long length", long(1+2+252+5, 2, 252, 0), 960, true},
		{"many frames without a count", []byte{3}, 0, false},
		{"no frames", []byte{3, 0}, 0, false},
		{"three frames of the same length", []byte{3, 3, 1, 1, 1}, 1440, true},
		{"three frames of uneven length", []byte{3, 3, 1, 1}, 0, false},
		{"three frames of their own lengths", []byte{3, 0x83, 1, 0, 9}, 1440, true},
		{"three frames of too great lengths", []byte{3, 0x83, 1, 9, 9}, 0, false},
		{"three frames, lengths cut off", []byte{3, 0x83, 1}, 0, false},
		{"121 ms", []byte{3, 13}, 0, false},
		{"120 ms", []byte{3, 12}, 5760, true},
		{"padded", []byte{3, 0x41, 2, 7, 0, 0}, 480, true},
		{"padded by more than there is", []byte{3, 0x41, 2, 0}, 0, false},
		{"padding without a length", []byte{3, 0x41}, 0, false},
		{"padding of an endless length", []byte{3, 0x41, 255, 255}, 0, false},
		{"padded by 255", long(3+1+254+1, 3, 0x41, 255, 1), 480, true},
	} {
		got, ok := packetTime(c.packet)
		if ok != c.ok || ok && got != c.time {
			t.Errorf("%s: %d, %v; want %d, %v", c.name, got, ok, c.time, c.ok)
		}
	}
}

func BenchmarkCRC(b *testing.B) {
	page := make([]byte, 1100)
	binary.LittleEndian.PutUint64(page[100:], 0x123456789abcdef)
	var sum oggCRC
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		sum.page(page)
	}
}
