package audio

import (
	"fmt"
	"io"
)

// ToOpus writes the recording in r, from its start, to w as mono Ogg Opus. It copies Ogg
// Opus of one channel byte for byte if it passes [Check] and is marked as ended, mixes
// down Ogg Opus of more channels with [Decoder] and [Encode], and encodes a WAV. For
// anything else the error says what it looks like and what is accepted. If ToOpus fails,
// what it wrote to w is to be discarded.
func ToOpus(w io.Writer, r io.ReadSeeker) (Info, error) {
	var head [SniffLen]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return Info{}, fmt.Errorf("read the audio: %w", err)
	}
	if err := rewind(r); err != nil {
		return Info{}, err
	}
	switch format := Sniff(head[:n]); format {
	case FormatWAV:
		wav, err := OpenWAV(r)
		if err != nil {
			return Info{}, err
		}
		return Encode(w, wav)
	case FormatOggOpus:
		return fromOpus(w, r)
	default:
		return Info{}, format.refusal()
	}
}

func fromOpus(w io.Writer, r io.ReadSeeker) (Info, error) {
	info, err := Check(r)
	switch {
	case err != nil:
		return info, err
	case !info.Ended:
		f := fault(ErrTruncated, "the Ogg Opus stream is not marked as ended: the rest did not arrive; send the whole file")
		f.Offset = info.Bytes
		return info, f
	case info.Samples == 0:
		return info, fault(ErrEmpty, "the Ogg Opus stream holds no sound: its length is 0; send the recording again")
	}
	if err := rewind(r); err != nil {
		return info, err
	}
	if info.Channels == 1 {
		_, err := io.Copy(w, r)
		return info, err
	}
	dec, err := NewDecoder(r)
	if err != nil {
		return info, err
	}
	return Encode(w, dec)
}

func rewind(r io.Seeker) error {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("go back to the start of the audio: %w", err)
	}
	return nil
}
