package archive

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFileName(t *testing.T) {
	long := strings.Repeat("k", 200)
	cut := func(name string) string {
		return name[:150] + "~" + fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:16]
	}
	for text, want := range map[string]string{
		"91a1e1e8-08p8-427b-bd04-da43c2a1db7d-1707770449131": "91a1e1e8-08p8-427b-bd04-da43c2a1db7d-1707770449131",
		"acme-ns":               "acme-ns",
		"A.b_c-9":               "A.b_c-9",
		".":                     "%2E",
		"..":                    "%2E.",
		".hidden":               "%2Ehidden",
		"a..b":                  "a..b",
		"a/b":                   "a%2Fb",
		"a\\b":                  "a%5Cb",
		"a b":                   "a%20b",
		"a%20b":                 "a%2520b",
		"é":                     "%C3%A9",
		"📼":                     "%F0%9F%93%BC",
		"~":                     "%7E",
		"a\x00\x7f":             "a%00%7F",
		"CON":                   "CON",
		long:                    long,
		long + "k":              cut(long + "k"),
		strings.Repeat("é", 33): strings.Repeat("%C3%A9", 33),
		strings.Repeat("é", 34): cut(strings.Repeat("%C3%A9", 34)),
	} {
		if got := FileName(text); got != want {
			t.Errorf("%q is named %q, want %q", text, got, want)
		}
	}
}

func TestPathIsByDayInUTC(t *testing.T) {
	midnight := time.Date(2024, 2, 13, 0, 0, 0, 0, time.UTC).UnixMilli()
	for startMs, want := range map[int64]string{
		midnight - 1: "a%20b/2024/02/12/%2E.", midnight: "a%20b/2024/02/13/%2E.",
		1: "a%20b/1970/01/01/%2E.", 253402300799999: "a%20b/9999/12/31/%2E.",
	} {
		if got := pathOf("a b", "..", startMs); got != want {
			t.Errorf("%d: %s, want %s", startMs, got, want)
		}
	}
}

var safeName = regexp.MustCompile(`^(?:[A-Za-z0-9_%-][A-Za-z0-9._%-]*(?:~[0-9a-f]{16})?)?$`)

// Two texts never have the same name, even if they are long and alike, or one is the other's
// name.
func TestNamesAreNotShared(t *testing.T) {
	text := rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`[.%~a-b/A-F0-9]{0,12}`),
		rapid.StringMatching(`(é|%C3%A9|k){30,90}`),
		rapid.Map(rapid.StringMatching(`[é.k~]{60,210}`), FileName),
	)
	rapid.Check(t, func(t *rapid.T) {
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		if (FileName(a) == FileName(b)) != (a == b) {
			t.Fatalf("%q and %q are named %q and %q", a, b, FileName(a), FileName(b))
		}
		if again := FileName(FileName(a)); again == FileName(a) && strings.Contains(again, "%") {
			t.Fatalf("%q names itself", again)
		}
	})
}

func FuzzFileName(f *testing.F) {
	for _, text := range []string{"", "..", "a/b", "CON", "📼", strings.Repeat("é", 90), "a~0123456789abcdef"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name := FileName(text)
		if !safeName.MatchString(name) || len(name) > maxName || (name == "") != (text == "") {
			t.Errorf("%q is named %q", text, name)
		}
	})
}
