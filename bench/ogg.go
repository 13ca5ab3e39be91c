//go:build linux

package main

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
)

const (
	packetTime  = 60 * 48 // samples at 48 kHz
	packetBytes = 60      // 60 ms at 8 kbit/s
	perPage     = 16      // packets
)

// writeNoise writes a well-formed Ogg Opus stream (RFC 7845) with the packet rate and size
// of speech, but with noise in its packets: encoding real sound for thousands of
// recordings would take longer than all measurements.
func writeNoise(w io.Writer, seed uint64, packets int) error {
	le := binary.LittleEndian
	p := pages{w: w, serial: uint32(seed)}
	head := append([]byte("OpusHead\x01\x01"), 0, 0) // version 1, mono, no pre-skip
	head = append(le.AppendUint32(head, 8000), 0, 0, 0)
	p.write(2, 0, [][]byte{head})
	tags := append(le.AppendUint32([]byte("OpusTags"), 0), 0, 0, 0, 0)
	p.write(0, 0, [][]byte{tags})
	noise := rand.NewPCG(seed, 1)
	for done := 0; done < packets; {
		var page [][]byte
		for len(page) < perPage && done < packets {
			packet := []byte{3 << 3} // SILK, narrow band, 60 ms, mono, one frame (RFC 6716 3.1)
			for len(packet) < packetBytes {
				packet = le.AppendUint64(packet, noise.Uint64())
			}
			page = append(page, packet)
			done++
		}
		flags := byte(0)
		if done == packets {
			flags = 4 // the last
		}
		p.write(flags, int64(done)*packetTime, page)
	}
	return p.err
}

// pages writes the pages of a stream (RFC 3533 6) and remembers the first error.
type pages struct {
	w      io.Writer
	serial uint32
	number uint32
	err    error
}

func (p *pages) write(flags byte, granule int64, packets [][]byte) {
	le := binary.LittleEndian
	b := append([]byte("OggS\x00"), flags)
	b = le.AppendUint64(b, uint64(granule))
	b = le.AppendUint32(b, p.serial)
	b = le.AppendUint32(b, p.number)
	b = append(b, 0, 0, 0, 0, byte(len(packets)))
	for _, packet := range packets {
		b = append(b, byte(len(packet))) // all are shorter than 255 bytes
	}
	for _, packet := range packets {
		b = append(b, packet...)
	}
	le.PutUint32(b[22:], pageSum(b))
	p.number++
	if p.err == nil {
		_, p.err = p.w.Write(b)
	}
}

var sumTable = func() (table [256]uint32) {
	for i := range table {
		sum := uint32(i) << 24
		for range 8 {
			sum = sum<<1 ^ sum>>31*0x04c11db7
		}
		table[i] = sum
	}
	return table
}()

// pageSum returns the CRC of an Ogg page.
func pageSum(b []byte) (sum uint32) {
	for _, c := range b {
		sum = sum<<8 ^ sumTable[byte(sum>>24)^c]
	}
	return sum
}
