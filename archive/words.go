package archive

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Only so much of a value is considered: names are short, and what is not a name may
// have any length.
const (
	maxValueBytes = 1024
	maxWords      = 16
	maxWordBytes  = 64
)

// A number is found by its last digits, at least leastDigits of them. Telephone
// numbers are written with or without country and area codes. Therefore a typed number
// longer than nationalDigits also finds numbers that end in its last nationalDigits,
// and any typed number finds numbers of at least localDigits that it ends in; both
// only where a telephone number is expected.
const (
	leastDigits    = 3
	localDigits    = 7
	nationalDigits = 10
)

// text is a value, or what somebody typed, in the form in which they are compared.
type text struct {
	words  []string // in lower case, without accents
	number string   // all its digits, if there are at least leastDigits
	named  bool     // it has more than digits: letters or symbols
	dialed bool     // it was typed where a telephone number is expected
}

// textOf splits a value into words. Runs of letters and digits are words, a symbol
// such as an emoji is a word by itself, and everything else separates words. A value
// with none of these is a single word.
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

// fold makes texts equal that differ only in case, accents or compatibility forms.
// NFKD also turns full-width digits into ASCII ones.
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

// keepable returns s in a form that both databases accept: valid UTF-8 without NUL.
func keepable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

// cut returns at most the first bytes bytes of s, without splitting a character.
func cut(s string, bytes int) string {
	if len(s) <= bytes {
		return s
	}
	for bytes > 0 && !utf8.RuneStart(s[bytes]) {
		bytes--
	}
	return s[:bytes]
}

// finds reports whether what somebody typed, t, finds the value: a number by its last
// digits, anything else if every typed word is a prefix of one of the value's words.
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

// dials reports whether the number and t are the same except for leading codes.
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
