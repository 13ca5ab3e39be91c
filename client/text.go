package client

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxForeign is how many bytes of a server's text an error repeats.
const maxForeign = 300

// oneLine makes a server's text fit for an error: printable, on one line, and short.
func oneLine(text string) string { return shorten(text, maxForeign) }

// shorten is oneLine with a limit in bytes.
func shorten(text string, limit int) string {
	// Cut before cleaning: what came may be long.
	cut := len(text) > limit
	if cut {
		text = text[:limit]
		// Half a character at the end would look like a broken one.
		for range utf8.UTFMax - 1 {
			if r, size := utf8.DecodeLastRuneInString(text); r == utf8.RuneError && size == 1 {
				text = text[:len(text)-1]
			}
		}
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if cut {
		text += "…"
	}
	return text
}
