package client

import (
	"errors"
	"fmt"
	"io"
)

const (
	firstBuffer = 64 << 10
	// maxItem is the size in bytes from which an item is skipped unread. It bounds
	// the memory that a list takes.
	maxItem = 8 << 20
	// maxRaw is how many bytes of a malformed item are kept.
	maxRaw = 64 << 10
)

// errEnded says that the body ended before the list did.
var errEnded = errors.New("it ends before the list does")

// unexpectedByte returns the error of a body that stops being JSON.
func unexpectedByte(offset int64, found byte, wanted string) error {
	return fmt.Errorf("byte %d is %q instead of %s", offset, found, wanted)
}

// scanner reads JSON as it comes, one value at a time. It finds where values end
// without checking what is in them.
type scanner struct {
	src      io.Reader
	buf      []byte // what was read and not passed yet begins at pos
	pos      int
	markedAt int   // one more than the marked place in buf; 0 is none
	base     int64 // the place of buf[0] in the body
	err      error // what src ended with
}

// offset returns the position in the body.
func (s *scanner) offset() int64 { return s.base + int64(s.pos) }

// fill moves what was not passed to the front of buf, and reads more behind it.
func (s *scanner) fill() error {
	if s.err != nil {
		return s.err
	}
	passed := s.pos
	if s.markedAt > 0 {
		passed, s.markedAt = s.markedAt-1, 1
	}
	if passed > 0 {
		s.base += int64(passed)
		s.buf = s.buf[:copy(s.buf, s.buf[passed:])]
		s.pos -= passed
	}
	if len(s.buf) > maxItem {
		s.unmark()
	}
	if len(s.buf) == cap(s.buf) {
		grown := make([]byte, len(s.buf), max(firstBuffer, 2*cap(s.buf)))
		copy(grown, s.buf)
		s.buf = grown
	}
	for range 100 {
		n, err := s.src.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		s.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// unread puts c before what comes next.
func (s *scanner) unread(c byte) {
	s.buf = append([]byte{c}, s.buf[s.pos:]...)
	s.base += int64(s.pos) - 1
	s.pos = 0
}

// mark remembers this position for rewind, unless more than maxItem bytes follow
// before that.
func (s *scanner) mark() { s.markedAt = s.pos + 1 }

func (s *scanner) unmark() { s.markedAt = 0 }

// rewind goes back to the mark, and reports false if that was given up.
func (s *scanner) rewind() bool {
	if s.markedAt == 0 {
		return false
	}
	s.pos, s.markedAt = s.markedAt-1, 0
	return true
}

// peek skips white space and returns the byte behind it without passing it; io.EOF
// at the end.
func (s *scanner) peek() (byte, error) {
	for {
		for ; s.pos < len(s.buf); s.pos++ {
			switch c := s.buf[s.pos]; c {
			case ' ', '\t', '\n', '\r':
			default:
				return c, nil
			}
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
}

// next is peek for a place where the body must not end.
func (s *scanner) next() (byte, error) {
	c, err := s.peek()
	if err == io.EOF {
		err = errEnded
	}
	return c, err
}

// expect passes the byte c, which wanted describes.
func (s *scanner) expect(c byte, wanted string) error {
	found, err := s.next()
	if err != nil {
		return err
	}
	if found != c {
		return unexpectedByte(s.offset(), found, wanted)
	}
	s.pos++
	return nil
}

// rawValue is one JSON value of the body.
type rawValue struct {
	raw  []byte // valid until the scanner goes on; of a value over maxItem, only the beginning
	size int64  // of the whole value, in bytes
}

func (p rawValue) complete() bool { return int64(len(p.raw)) == p.size }

// readValue reads the value that begins here, after peek.
func (s *scanner) readValue() (rawValue, error) {
	if c := s.buf[s.pos]; !beginsValue(c) {
		return rawValue{}, unexpectedByte(s.offset(), c, "a JSON value")
	}
	var e endFinder
	n := 0 // bytes of the value that lie in buf
	for {
		step, done := e.advance(s.buf[s.pos+n:])
		n += step
		if done {
			raw := s.buf[s.pos : s.pos+n]
			s.pos += n
			return rawValue{raw, int64(n)}, nil
		}
		if n >= maxItem {
			return s.skipLarge(&e, n)
		}
		if err := s.fill(); err != nil {
			return rawValue{}, endedEarly(err)
		}
	}
}

// skipLarge passes a value that is too large to hold, of which n bytes are in buf.
func (s *scanner) skipLarge(e *endFinder, n int) (rawValue, error) {
	p := rawValue{raw: append([]byte(nil), s.buf[s.pos:s.pos+maxRaw]...), size: int64(n)}
	s.pos += n
	for {
		if err := s.fill(); err != nil {
			return rawValue{}, endedEarly(err)
		}
		step, done := e.advance(s.buf[s.pos:])
		s.pos += step
		p.size += int64(step)
		if done {
			return p, nil
		}
	}
}

func endedEarly(err error) error {
	if err == io.EOF {
		return errEnded
	}
	return err
}

// beginsValue reports whether a JSON value can begin with c.
func beginsValue(c byte) bool {
	switch c {
	case '{', '[', '"', '-', 't', 'f', 'n':
		return true
	}
	return '0' <= c && c <= '9'
}

// endFinder finds where a JSON value ends by its brackets and strings alone, even
// if it is not valid.
type endFinder struct {
	depth    int
	inString bool
	escaped  bool // the next byte of the string follows a backslash
	literal  bool // a number, true, false or null
}

// advance looks at the next bytes of the value: n of them belong to it, and done
// reports whether it ends there.
func (e *endFinder) advance(b []byte) (n int, done bool) {
	for n < len(b) {
		if e.inString {
			var closed bool
			if n, closed = e.skipString(b, n); closed && e.depth == 0 {
				return n, true
			}
			continue
		}
		switch c := b[n]; {
		case e.literal:
			if endsLiteral(c) {
				return n, true
			}
		case c == '"':
			e.inString = true
		case c == '{' || c == '[':
			e.depth++
		case e.depth == 0:
			e.literal = true
		case c == '}' || c == ']':
			if e.depth--; e.depth == 0 {
				return n + 1, true
			}
		}
		n++
	}
	return n, false
}

// skipString continues within a string at b[n:]; closed reports whether it ended.
func (e *endFinder) skipString(b []byte, n int) (after int, closed bool) {
	for ; n < len(b); n++ {
		switch c := b[n]; {
		case e.escaped:
			e.escaped = false
		case c == '\\':
			e.escaped = true
		case c == '"':
			e.inString = false
			return n + 1, true
		}
	}
	return n, false
}

func endsLiteral(c byte) bool {
	switch c {
	case ',', ']', '}', ':', ' ', '\t', '\n', '\r', '"', '{', '[':
		return true
	}
	return false
}
