package archivetest

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Opus returns a small, well-formed Ogg Opus stream (RFC 7845) of the given length, without
// meaningful sound. Each number gives different bytes.
func Opus(number int, length time.Duration) []byte {
	const perPacket, preSkip = 960, 312 // 20 ms at 48 kHz
	le := binary.LittleEndian
	head := append([]byte("OpusHead"), 1, 1)
	head = le.AppendUint16(head, preSkip)
	head = le.AppendUint32(head, 8000)
	head = append(head, 0, 0, 0)
	comment := fmt.Sprintf("N=%d", number)
	tags := le.AppendUint32([]byte("OpusTags"), 4)
	tags = append(tags, "test"...)
	tags = le.AppendUint32(le.AppendUint32(tags, 1), uint32(len(comment)))
	tags = append(tags, comment...)

	ogg := oggPage(nil, 2, 0, [][]byte{head})
	ogg = oggPage(ogg, 0, 0, [][]byte{tags})
	packets := [][]byte{}
	samples := length.Milliseconds() * 48
	for done := int64(0); done < samples+preSkip; {
		packets = append(packets, []byte{1 << 3, 1, 2, 3, 4, 5, 6, 7}) // SILK, 8 kHz, 20 ms, mono
		if done += perPacket; len(packets) == 50 && done < samples+preSkip {
			ogg = oggPage(ogg, 0, done, packets)
			packets = packets[:0]
		}
	}
	return oggPage(ogg, 4, samples+preSkip, packets)
}

// oggPage appends a page (RFC 3533 section 6) of packets shorter than 255 bytes.
func oggPage(ogg []byte, flags byte, granule int64, packets [][]byte) []byte {
	le := binary.LittleEndian
	page := append([]byte("OggS"), 0, flags)
	page = le.AppendUint64(page, uint64(granule))
	page = le.AppendUint32(page, 1)
	page = le.AppendUint32(page, pagesOf(ogg))
	page = append(page, 0, 0, 0, 0, byte(len(packets)))
	for _, p := range packets {
		page = append(page, byte(len(p)))
	}
	for _, p := range packets {
		page = append(page, p...)
	}
	var crc uint32
	for _, b := range page {
		crc ^= uint32(b) << 24
		for range 8 {
			carry := crc >> 31
			crc = crc<<1 ^ carry*0x04c11db7
		}
	}
	le.PutUint32(page[22:], crc)
	return append(ogg, page...)
}

// pagesOf counts the pages of a stream that oggPage made.
func pagesOf(ogg []byte) (n uint32) {
	for len(ogg) > 0 {
		size := 27 + int(ogg[26])
		for _, lace := range ogg[27:size] {
			size += int(lace)
		}
		ogg = ogg[size:]
		n++
	}
	return n
}
