package audio

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/bits"
)

// The Ogg page (RFC 3533 section 6).
const (
	pageHeaderLen = 27
	maxPageLen    = pageHeaderLen + 255 + 255*255
	noGranule     = -1

	flagContinued = 1
	flagFirst     = 2
	flagLast      = 4
)

// page is one Ogg page; lacing and body are slices of the bytes it was read from.
type page struct {
	flags   byte
	granule int64
	serial  uint32
	seq     uint32
	lacing  []byte
	body    []byte
}

// nextPage parses the page at the start of b and returns it with its length. If b is
// shorter than the page, it returns a length of 0 and no fault.
func nextPage(b []byte, sum *oggCRC) (page, int, *Fault) {
	if string(b[:min(4, len(b))]) != "OggS"[:min(4, len(b))] {
		return page{}, 0, fault(ErrMalformed, "no Ogg page begins where one should: bytes are missing, "+
			"damaged or do not belong here; send the original file again")
	}
	if len(b) < pageHeaderLen {
		return page{}, 0, nil
	}
	if b[4] != 0 {
		return page{}, 0, fault(ErrMalformed, "Ogg version %d, only 0 exists: the file is damaged", b[4])
	}
	start := pageHeaderLen + int(b[26])
	if len(b) < start {
		return page{}, 0, nil
	}
	end := start
	for _, n := range b[pageHeaderLen:start] {
		end += int(n)
	}
	if len(b) < end {
		return page{}, 0, nil
	}
	if sum.page(b[:end]) != binary.LittleEndian.Uint32(b[22:]) {
		return page{}, 0, fault(ErrCRC, "an Ogg page fails its checksum: the file was damaged on its way; "+
			"send the original file again")
	}
	return page{
		flags:   b[5],
		granule: int64(binary.LittleEndian.Uint64(b[6:])),
		serial:  binary.LittleEndian.Uint32(b[14:]),
		seq:     binary.LittleEndian.Uint32(b[18:]),
		lacing:  b[pageHeaderLen:start],
		body:    b[start:end],
	}, end, nil
}

// oggCRC computes Ogg's checksum: polynomial 0x04c11db7, most significant bit first, no
// inversion. That is the mirror image of the common IEEE checksum, which hash/crc32
// computes with the help of the processor. So oggCRC reverses the bits of each byte
// before, and those of the sum after, which is faster than any table.
type oggCRC struct{ mirror [1024]byte }

// page returns the checksum of a whole page, taking its checksum field as zero.
func (c *oggCRC) page(b []byte) uint32 {
	sum := ^uint32(0)
	for first := true; len(b) > 0; first = false {
		n := min(len(b), len(c.mirror))
		reverseBits(c.mirror[:(n+7)&^7], b[:n])
		if first {
			clear(c.mirror[22:26])
		}
		sum = crc32.Update(sum, crc32.IEEETable, c.mirror[:n])
		b = b[n:]
	}
	return bits.Reverse32(^sum)
}

// reverseBits sets dst to src with the bits of each byte reversed. dst has the length of
// src rounded up to whole words of 8 bytes.
func reverseBits(dst, src []byte) {
	for len(src) >= 8 {
		binary.LittleEndian.PutUint64(dst, reverseWord(binary.LittleEndian.Uint64(src)))
		dst, src = dst[8:], src[8:]
	}
	if len(src) > 0 {
		var last [8]byte
		copy(last[:], src)
		binary.LittleEndian.PutUint64(dst, reverseWord(binary.LittleEndian.Uint64(last[:])))
	}
}

func reverseWord(x uint64) uint64 {
	const m1, m2, m4 = 0x5555555555555555, 0x3333333333333333, 0x0f0f0f0f0f0f0f0f
	x = x>>1&m1 | x&m1<<1
	x = x>>2&m2 | x&m2<<2
	return x>>4&m4 | x&m4<<4
}

// pageReader reads a file page by page.
type pageReader struct {
	src    io.Reader
	sum    oggCRC
	buf    []byte
	start  int   // where in buf the next page begins
	offset int64 // of buf[start] in the file
}

// next returns the next page, valid until the next call, and its offset. After the last
// page it returns io.EOF.
func (r *pageReader) next() (page, int64, error) {
	for {
		if rest := r.buf[r.start:]; len(rest) > 0 {
			p, n, bad := nextPage(rest, &r.sum)
			if bad != nil {
				bad.Offset = r.offset
				return page{}, r.offset, bad
			}
			if n > 0 {
				at := r.offset
				r.start += n
				r.offset += int64(n)
				return p, at, nil
			}
		}
		if err := r.fill(); err == io.EOF && len(r.buf) > 0 {
			return page{}, r.offset, truncatedPage(r.offset)
		} else if err != nil {
			return page{}, r.offset, err
		}
	}
}

// fill moves the incomplete page to the front of buf and reads at least one more byte.
func (r *pageReader) fill() error {
	if r.buf == nil {
		r.buf = make([]byte, 0, maxPageLen)
	}
	r.buf = r.buf[:copy(r.buf, r.buf[r.start:])]
	r.start = 0
	n, err := io.ReadAtLeast(r.src, r.buf[len(r.buf):cap(r.buf)], 1)
	r.buf = r.buf[:len(r.buf)+n]
	return err
}

func truncatedPage(offset int64) *Fault {
	f := fault(ErrTruncated, "the file ends in the middle of an Ogg page: the rest did not arrive; send the whole file")
	f.Offset = offset
	return f
}

// pageWriter writes packets as Ogg pages of one stream.
type pageWriter struct {
	w      io.Writer
	sum    oggCRC
	seq    uint32
	lacing []byte
	body   []byte
	buf    []byte
	pages  int
	bytes  int64
}

// serial is the serial number of the one stream in a file. It is constant, since our
// files are never multiplexed, and the same sound must give the same bytes.
const serial = 0x43564c54

// fits reports whether there is room for a packet of n bytes on the page.
func (w *pageWriter) fits(n int) bool { return len(w.lacing)+n/255+1 <= 255 }

// add adds a packet to the page. A packet whose length is a multiple of 255 bytes ends
// with a lacing value of 0 (RFC 3533 section 5).
func (w *pageWriter) add(packet []byte) {
	for n := len(packet); ; n -= 255 {
		w.lacing = append(w.lacing, byte(min(n, 255)))
		if n < 255 {
			break
		}
	}
	w.body = append(w.body, packet...)
}

// flush writes the page.
func (w *pageWriter) flush(granule int64, flags byte) error {
	b := append(w.buf[:0], "OggS\x00"...)
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(granule))
	b = binary.LittleEndian.AppendUint32(b, serial)
	b = binary.LittleEndian.AppendUint32(b, w.seq)
	b = append(b, 0, 0, 0, 0, byte(len(w.lacing)))
	b = append(append(b, w.lacing...), w.body...)
	binary.LittleEndian.PutUint32(b[22:], w.sum.page(b))
	w.seq++
	w.pages++
	w.bytes += int64(len(b))
	w.buf, w.lacing, w.body = b, w.lacing[:0], w.body[:0]
	_, err := w.w.Write(b)
	return err
}
