package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
)

var quiet = log.New(io.Discard, "", 0)

func TestAudio(t *testing.T) {
	sound := bytes.Repeat([]byte("OggS"), 20_000)
	sum := sha256.Sum256(sound)
	var got *http.Request
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("Content-Length", fmt.Sprint(len(sound)))
		w.Header().Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
		w.Header().Set("Set-Cookie", "session=1")
		w.Header().Set("ETag", `"1"`)
		w.Write(sound)
	})
	audio, err := c.Audio(t.Context(), "acme-ns", "91a1e1e8-08p8-427b-bd04-da43c2a1db7d-1707770449131")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(audio.Body)
	if err != nil || !bytes.Equal(body, sound) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	if err := audio.Body.Close(); err != nil {
		t.Error(err)
	}
	if err := audio.Body.Close(); err != nil {
		t.Error(err)
	}
	if audio.Size != int64(len(sound)) || audio.SHA256 == nil || *audio.SHA256 != sum || audio.Status != 200 ||
		audio.Header.Get("ETag") != `"1"` || audio.Header.Get("Set-Cookie") != "" {
		t.Errorf("got %+v", audio)
	}
	if want := "/rest/api/v2/recordings/acme-ns/91a1e1e8-08p8-427b-bd04-da43c2a1db7d-1707770449131/audio"; got.RequestURI != want {
		t.Errorf("asked for %s, want %s", got.RequestURI, want)
	}
	if got.Header.Get("Accept-Encoding") != "identity" || got.Header.Get("Range") != "" {
		t.Errorf("asked with %v", got.Header)
	}
}

func TestReprDigest(t *testing.T) {
	sum := sha256.Sum256([]byte("a"))
	good := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	for value, want := range map[string]bool{
		good:                                true,
		"sha-512=:YQ==:, " + good:           true,
		good + ";q=1":                       true,
		"":                                  false,
		"sha-256=:YQ==:":                    false,
		"sha-256=YQ==":                      false,
		"sha-256":                           false,
		strings.ReplaceAll(good, ":", "\""): false,
		"md5=:YQ==:":                        false,
	} {
		digest := reprDigest(http.Header{"Repr-Digest": {value}})
		if (digest != nil) != want || want && *digest != sum {
			t.Errorf("%q: got %v", value, digest)
		}
	}
}

// TestAudioCut: a body that is not as long as announced never ends without an error.
func TestAudioCut(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\nContent-Type: audio/ogg\r\n"
	for name, answer := range map[string]string{
		"shorter":           ok + "Content-Length: 10\r\n\r\nOggS",
		"nothing":           ok + "Content-Length: 10\r\n\r\n",
		"chunks, cut":       ok + "Transfer-Encoding: chunked\r\n\r\na\r\nOggS",
		"chunks, no end":    ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nOggS\r\n",
		"chunks, bad frame": ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nOggSxx",
	} {
		t.Run(name, func(t *testing.T) {
			c := serveRaw(t, func(conn net.Conn, r *http.Request) { io.WriteString(conn, answer) })
			audio, err := c.Audio(t.Context(), "t", "k")
			if err != nil {
				t.Fatal(err)
			}
			defer audio.Body.Close()
			body, err := io.ReadAll(audio.Body)
			if !errors.Is(err, Cut) || !strings.Contains(err.Error(), "audio of k of tenant t, after") || !strings.Contains(err.Error(), "bytes") {
				t.Errorf("read %q and %v", body, err)
			}
		})
	}
}

// TestAudioLength: a transport of the caller's own cannot pass off another length.
func TestAudioLength(t *testing.T) {
	for _, body := range []string{"Ogg", "OggSS"} {
		c := newClient(t, "http://x", WithTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, ContentLength: 4, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		})))
		audio, err := c.Audio(t.Context(), "t", "k")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(audio.Body); !errors.Is(err, Cut) {
			t.Errorf("%s: got %v", body, err)
		}
		audio.Body.Close()
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAudioCompressed(t *testing.T) {
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		io.WriteString(w, "OggS")
	})
	if _, err := c.Audio(t.Context(), "t", "k"); !errors.Is(err, BadAnswer) || !strings.Contains(err.Error(), "br") {
		t.Errorf("got %v", err)
	}
	if err := collect(t, c).err; !errors.Is(err, BadAnswer) {
		t.Errorf("got %v", err)
	}
}
