package audio

import "io"

// Checker checks an Ogg Opus stream that is written to it in pieces of any size: the
// capture pattern, version and checksum of each page; that the pages are in sequence
// and of one logical stream; both headers; the structure of every packet; that
// granule positions do not fall; and that nothing follows the end (RFC 3533 section 6,
// RFC 6716 section 3.4, RFC 7845 sections 3 to 5). It buffers at most one page. The
// zero value is ready to use.
type Checker struct {
	sum    oggCRC
	stream stream
	first  []byte // the first bytes, up to SniffLen
	buf    []byte // the start of an incomplete page
	offset int64  // of the next page
	bytes  int64
	bad    *Fault
}

// Write checks the next bytes. It always accepts all of them and returns no error, so
// that a Checker can be in an [io.MultiWriter] with a spool; [Checker.Finish] returns
// the first fault.
func (c *Checker) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	c.first = append(c.first, p[:min(len(p), SniffLen-len(c.first))]...)
	rest := p
	for c.bad == nil && len(rest) > 0 {
		if len(c.buf) > 0 {
			rest = c.resume(rest)
			continue
		}
		n := c.page(rest)
		if n == 0 {
			c.buf = append(c.buf, rest...)
			break
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// resume completes the page in buf with bytes of b, as far as they go, and returns the
// rest of b.
func (c *Checker) resume(b []byte) []byte {
	had := len(c.buf)
	c.buf = append(c.buf, b[:min(len(b), wanted(c.buf))]...)
	took := len(c.buf) - had
	if c.page(c.buf) > 0 {
		c.buf = c.buf[:0]
	}
	return b[took:]
}

// wanted returns how many more bytes the page at the start of b needs for the next step
// of parsing it: never more than the page has.
func wanted(b []byte) int {
	if len(b) < pageHeaderLen {
		return pageHeaderLen - len(b)
	}
	need := pageHeaderLen + int(b[26])
	if len(b) < need {
		return need - len(b)
	}
	for _, n := range b[pageHeaderLen:need] {
		need += int(n)
	}
	return need - len(b)
}

// page checks the page at the start of b and returns its length, or 0 if the page is
// incomplete or faulty.
func (c *Checker) page(b []byte) int {
	p, n, bad := nextPage(b, &c.sum)
	if bad == nil && n > 0 {
		bad = c.stream.follow(p)
	}
	if bad != nil {
		bad.Offset = c.offset
		c.bad = bad
		return 0
	}
	c.offset += int64(n)
	return n
}

// explain returns the fault. If the very first page is faulty because the file is
// something else, it says what the file seems to be.
func (c *Checker) explain() *Fault {
	format := Sniff(c.first)
	if c.bad.Offset > 0 || c.bad.Kind == ErrCRC || format == FormatOggOpus {
		return c.bad
	}
	f := format.refusal()
	if c.bad.Kind == ErrMalformed && f.Kind != ErrNotOpus {
		f.Kind = ErrNotOgg
	}
	return f
}

// Finish returns what is known of the stream, and the first fault, a *[Fault]. It is not
// a fault if the end of the stream is not marked: see Info.Ended.
func (c *Checker) Finish() (Info, error) {
	info := Info{
		Channels:  c.stream.head.channels,
		InputRate: c.stream.head.rate,
		PreSkip:   c.stream.head.preSkip,
		Samples:   c.stream.samples(),
		Pages:     c.stream.pages,
		Bytes:     c.bytes,
		Ended:     c.stream.stage == atEnd,
	}
	switch {
	case c.bad != nil:
		return info, c.explain()
	case c.bytes == 0:
		return info, FormatEmpty.refusal()
	case len(c.buf) > 0:
		return info, truncatedPage(c.offset)
	case c.stream.stage < atAudio:
		f := fault(ErrTruncated, "the file ends inside its headers: the rest did not arrive; send the whole file")
		f.Offset = c.offset
		return info, f
	}
	return info, nil
}

// Check reads r to its end through a [Checker]. The error is a *[Fault] if the audio is
// at fault, and otherwise that of r.
func Check(r io.Reader) (Info, error) {
	var c Checker
	if _, err := io.Copy(&c, r); err != nil {
		return Info{}, err
	}
	return c.Finish()
}
