package server

import (
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// chooseCoding returns the content coding of a list: zstd or gzip, whichever the
// client prefers, zstd if it has no preference, and "" if it prefers no coding (RFC
// 9110 12.5.3). For a client that accepts any coding ("*") it is gzip.
func chooseCoding(headers []string) string {
	qualities := map[string]float64{}
	for word, quality := range weighted(headers) {
		qualities[strings.TrimPrefix(strings.ToLower(word), "x-")] = quality
	}
	if _, named := qualities["gzip"]; !named {
		qualities["gzip"] = qualities["*"]
	}
	switch zstd, gzip, none := qualities["zstd"], qualities["gzip"], qualities["identity"]; {
	case zstd > 0 && zstd >= gzip && zstd >= none:
		return "zstd"
	case gzip > 0 && gzip >= none:
		return "gzip"
	}
	return ""
}

// weighted yields each word of a header that is a list with weights (RFC 9110
// 12.4.2), and its weight, by default 1.
func weighted(headers []string) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for item := range strings.SplitSeq(strings.Join(headers, ","), ",") {
			word, parameters, _ := strings.Cut(item, ";")
			quality := 1.0
			for parameter := range strings.SplitSeq(parameters, ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
				if q, err := strconv.ParseFloat(value, 64); strings.EqualFold(name, "q") && err == nil {
					quality = q
				}
			}
			if word = strings.TrimSpace(word); word != "" && !yield(word, quality) {
				return
			}
		}
	}
}

// coder compresses what is written to it. It sends each write on at once, so that the
// first rows of a list do not wait for the rest.
type coder struct {
	to      io.Writer
	flush   func() error
	close   func() error
	abandon func()
}

// newCoder returns a coder that writes to w. For the coding "" it changes nothing.
func newCoder(w io.Writer, coding string) *coder {
	none := func() error { return nil }
	switch coding {
	case "zstd":
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			panic(err) // the options are always the same
		}
		return &coder{z, z.Flush, z.Close, func() { z.Reset(nil) }}
	case "gzip":
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level is always the same
		}
		return &coder{z, z.Flush, z.Close, func() {}}
	}
	return &coder{w, none, none, func() {}}
}

// Write compresses p and sends it on.
func (c *coder) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	if err == nil {
		err = c.flush()
	}
	return n, err
}
