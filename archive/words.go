package archive

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Of a value only so much is looked through: names are short, and what is not a
// name may be of any length.
const (
	maxValueBytes = 1024
	maxWords      = 16
	maxWordBytes  = 64
)

// leastDigits is how many last digits of a number find it. A telephone number may
// stand with its country's and area's code or without: of a longer one the last
// nationalDigits find it, and it finds what ends it and has localDigits at least.
const (
	leastDigits    = 3
	localDigits    = 7
	nationalDigits = 10
)

// text is a value, or what somebody typed, as it is compared.
type text struct {
	words  []string // in lower case, without accents
	number string   // all its digits, where there are at least leastDigits
	named  bool     // there are letters beside the digits
	dialed bool     // it was typed where a telephone number may be
}

// textOf takes a value apart. Letters and digits make words, a symbol such as an
// emoji is one by itself, everything else parts them. What holds none of these is
// one word as it is.
func textOf(value string) text {
	value = cut(keepable(value), maxValueBytes)
	var t text
	var word, digits strings.Builder
	end := func() {
		if word.Len() > 0 && len(t.words) < maxWords {
			t.words = append(t.words, cut(word.String(), maxWordBytes))
		}
		word.Reset()
	}
	for _, c := range fold(value) {
		switch {
		case unicode.Is(unicode.Nd, c):
			if '0' <= c && c <= '9' {
				digits.WriteRune(c)
			}
			word.WriteRune(c)
		case unicode.IsLetter(c):
			t.named = true
			word.WriteRune(c)
		case unicode.Is(unicode.So, c):
			t.named = true
			end()
			word.WriteRune(c)
			end()
		default:
			end()
		}
	}
	end()
	if digits.Len() >= leastDigits {
		t.number = cut(digits.String(), maxWordBytes)
	}
	if len(t.words) == 0 {
		if whole := strings.TrimSpace(fold(value)); whole != "" {
			t.words = []string{cut(whole, maxWordBytes)}
		}
	}
	return t
}

// fold makes texts that are read alike alike: case, accents, compatible forms.
// NFKD makes digits of other scripts' wide forms plain ones.
func fold(s string) string {
	plain := strings.Map(func(c rune) rune {
		if unicode.Is(unicode.Mn, c) || unicode.Is(unicode.Cf, c) || c == utf8.RuneError {
			return -1
		}
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, norm.NFKD.String(cases.Fold().String(s)))
	return plain
}

// keepable is the text as both databases take it.
func keepable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

// cut is at most so many bytes of s, no character of it halved.
func cut(s string, bytes int) string {
	if len(s) <= bytes {
		return s
	}
	for bytes > 0 && !utf8.RuneStart(s[bytes]) {
		bytes--
	}
	return s[:bytes]
}

// finds tells whether what somebody typed, t, finds the value: a number by its
// last digits, anything else by the beginnings of its words, all of them.
func (t text) finds(value text) bool {
	if !t.named && t.number != "" {
		return strings.HasSuffix(value.number, t.number) || t.dialed && t.dials(value.number)
	}
	for _, word := range t.words {
		if !value.hasWord(word) {
			return false
		}
	}
	return len(t.words) > 0
}

// dials tells whether the number is the same but for the codes in front.
func (t text) dials(number string) bool {
	return len(number) >= localDigits && strings.HasSuffix(t.number, number) ||
		len(t.number) > nationalDigits && strings.HasSuffix(number, t.number[len(t.number)-nationalDigits:])
}

func (t text) hasWord(prefix string) bool {
	for _, word := range t.words {
		if strings.HasPrefix(word, prefix) {
			return true
		}
	}
	return false
}
