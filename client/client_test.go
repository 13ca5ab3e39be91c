package client

import (
	"net/http"
	"strings"
	"testing"
)

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct{ url, key, says string }{
		{"", testKey, "https://"},
		{"acme.xima.cloud", testKey, "https://"},
		{"acme.xima.cloud:443", testKey, "https://"},
		{"ftp://acme.xima.cloud", testKey, "https://"},
		{"https://", testKey, "https://"},
		{"https://:443", testKey, "https://"},
		{"https://acme.xima.cloud/?a=b", testKey, "query"},
		{"https://acme.xima.cloud/#top", testKey, "query"},
		{"https://bob:hunter2@acme.xima.cloud", testKey, "password"},
		{"https://hunter2@acme.xima.cloud", testKey, "password"},
		{"https://bob:hunter2 @acme.xima.cloud", testKey, "cannot be read"},
		{"https://acme.xima.cloud:hunter2", "hunter2", "cannot be read"},
		{"https://acme.xima.cloud", "", "key is empty"},
		{"https://acme.xima.cloud", "hunter2\n", "white space"},
		{"https://acme.xima.cloud", "hunter2\r\nX-Evil: 1", "control character"},
	} {
		c, err := New(test.url, test.key)
		if err == nil {
			t.Errorf("%q %q is taken: %v", test.url, test.key, c.place())
			continue
		}
		if !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error says %q; want %q in it and no secret", test.url, err, test.says)
		}
	}
	if _, err := New("http://x", testKey, WithUserAgent("a\nb")); err == nil {
		t.Error("a user agent of two lines is taken")
	}
}

func TestNewTakes(t *testing.T) {
	for given, want := range map[string]string{
		"https://acmecorporate.xima.cloud":   "https://acmecorporate.xima.cloud/rest/api/v2/x",
		" https://acmecorporate.xima.cloud/": "https://acmecorporate.xima.cloud/rest/api/v2/x",
		"http://[::1]:8080/a//":              "http://[::1]:8080/a/rest/api/v2/x",
		"http://h/a%2Fb/c%20d":               "http://h/a%2Fb/c%20d/rest/api/v2/x",
	} {
		c, err := New(given, testKey)
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		if got := c.address("/x", "").String(); got != want {
			t.Errorf("%s leads to %s, want %s", given, got, want)
		}
	}
}

// TestNamesInPaths: every name arrives as one segment, and as it was.
func TestNamesInPaths(t *testing.T) {
	var uri, path string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		uri, path = r.RequestURI, r.URL.Path
	})
	for name, want := range map[string]string{
		"..":       "%2E%2E",
		".":        "%2E",
		"...":      "...",
		"a b":      "a%20b",
		"a%2Fb":    "a%252Fb",
		"q?x=1#f":  "q%3Fx=1%23f",
		"é;,+&=@:": "%C3%A9%3B%2C+&=@:",
		`\"<>`:     "%5C%22%3C%3E",
		"//":       "",
		"a/b":      "",
		"":         "",
		"a\x00":    "",
		"\xff":     "",
	} {
		uri = ""
		audio, err := c.Audio(t.Context(), name, name)
		if want == "" {
			if err == nil || uri != "" {
				t.Errorf("%q was asked for: %s", name, uri)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		audio.Body.Close()
		if want := "/rest/api/v2/recordings/" + want + "/" + want + "/audio"; uri != want {
			t.Errorf("%q: asked for %s, want %s", name, uri, want)
		}
		if want := "/rest/api/v2/recordings/" + name + "/" + name + "/audio"; path != want {
			t.Errorf("%q: arrived as %s, want %s", name, path, want)
		}
	}
}
