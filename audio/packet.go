package audio

// Limits of an Opus packet (RFC 6716 section 3.4 rules R2 and R5, RFC 7845 section 6).
// No encoder makes larger ones.
const (
	maxFrameLen   = 1275
	maxPacketLen  = 61440
	maxPacketTime = 120 * opusRate / 1000
)

// The second byte of a packet of code 3 (RFC 6716 section 3.2.5).
const (
	variable  = 0x80
	padded    = 0x40
	countMask = 0x3f
)

// packetTime returns how many samples at 48 kHz an Opus packet lasts. ok is false if the
// packet breaks a rule of RFC 6716 section 3.4, so that no decoder could read it.
func packetTime(b []byte) (samples int, ok bool) {
	if len(b) == 0 || len(b) > maxPacketLen {
		return 0, false
	}
	frame := frameTime(b[0] >> 3)
	payload := len(b) - 1
	switch b[0] & 3 {
	case 0:
		return frame, payload <= maxFrameLen
	case 1:
		return 2 * frame, payload%2 == 0 && payload/2 <= maxFrameLen
	case 2:
		n, used, ok := frameLen(b[1:])
		last := payload - used - n
		return 2 * frame, ok && last >= 0 && last <= maxFrameLen
	}
	return manyFrames(b, frame)
}

// frameTime returns the length of a frame, in samples at 48 kHz, for a configuration
// number (RFC 6716 table 2).
func frameTime(config byte) int {
	const ms = opusRate / 1000
	switch {
	case config < 12:
		return [4]int{10 * ms, 20 * ms, 40 * ms, 60 * ms}[config%4]
	case config < 16:
		return [2]int{10 * ms, 20 * ms}[config%2]
	}
	return [4]int{5 * ms / 2, 5 * ms, 10 * ms, 20 * ms}[config%4]
}

// frameLen parses the length of a frame, n bytes, which itself takes used bytes (RFC
// 6716 section 3.2.1).
func frameLen(b []byte) (n, used int, ok bool) {
	switch {
	case len(b) >= 1 && b[0] < 252:
		return int(b[0]), 1, true
	case len(b) >= 2:
		return int(b[0]) + 4*int(b[1]), 2, true
	}
	return 0, 0, false
}

// manyFrames is packetTime for a packet of code 3 (RFC 6716 section 3.2.5).
func manyFrames(b []byte, frame int) (samples int, ok bool) {
	if len(b) < 2 {
		return 0, false
	}
	count := int(b[1] & countMask)
	samples = count * frame
	if count == 0 || samples > maxPacketTime {
		return 0, false
	}
	rest := b[2:]
	if b[1]&padded != 0 {
		if rest, ok = trimPadding(rest); !ok {
			return 0, false
		}
	}
	if b[1]&variable == 0 {
		return samples, len(rest)%count == 0 && len(rest)/count <= maxFrameLen
	}
	sum := 0
	for range count - 1 {
		n, used, ok := frameLen(rest)
		if !ok {
			return 0, false
		}
		sum += n
		rest = rest[used:]
	}
	last := len(rest) - sum
	return samples, last >= 0 && last <= maxFrameLen
}

// trimPadding removes the padding of a packet of code 3: its length at the front and its
// bytes at the end.
func trimPadding(b []byte) (rest []byte, ok bool) {
	padding, used, ok := paddingLen(b)
	if !ok || padding > len(b)-used {
		return nil, false
	}
	return b[used : len(b)-padding], true
}

// paddingLen parses the length of the padding, n bytes, which itself takes used bytes.
func paddingLen(b []byte) (n, used int, ok bool) {
	for i, v := range b {
		if v != 255 {
			return n + int(v), i + 1, true
		}
		n += 254
	}
	return 0, 0, false
}
