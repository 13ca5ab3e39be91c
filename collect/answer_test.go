package collect_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"callvault"
)

// faulty returns the answer for a recording with a fault.
func (s *source) faulty(r *recording) *answer {
	good := audioAnswer(r.audio)
	name, argument, _ := strings.Cut(r.fault, " ")
	switch name {
	case "truncated":
		good.body, good.cut = r.audio[:len(r.audio)/2], true
	case "short": // a whole answer of half the audio
		return audioAnswer(r.audio[:len(r.audio)/2])
	case "longer":
		return audioAnswer(append(slices.Clone(r.audio), "and something else"...))
	case "flood":
		return audioAnswer(slices.Concat(r.audio, make([]byte, 70<<20)))
	case "page":
		return say(200, "<html><body>We are sorry</body></html>")
	case "echo": // for whoever looks for what is wrong
		return say(200, "<pre>GET /audio\nAuthorization: Bearer "+sourceKey+"</pre>")
	case "json":
		return say(200, `{"code":"internal","message":"please try again in a bit.."}`)
	case "jpeg":
		return audioAnswer(append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00"), r.audio...))
	case "crc":
		good.body = slices.Clone(r.audio)
		good.body[len(good.body)-3] ^= 1
	case "endless":
		good.body = endless(r.audio)
	case "digest":
		sum := sha256.Sum256([]byte("other"))
		good.with("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
	case "status":
		code, _ := strconv.Atoi(argument)
		return refusal(callvault.Code(code)).with("Set-Cookie", "session="+sourceKey)
	case "elsewhere":
		return refusal(302).with("Location", "https://elsewhere.example/"+sourceKey)
	case "wait":
		code, seconds, _ := strings.Cut(argument, " ")
		number, _ := strconv.Atoi(code)
		return refusal(callvault.Code(number)).with("Retry-After", seconds)
	case "stall":
		return &answer{stall: true}
	case "reset":
		return &answer{reset: true}
	}
	return good
}

// endless is an Ogg stream whose end is not marked.
func endless(ogg []byte) []byte {
	ogg = slices.Clone(ogg)
	page := ogg[bytes.LastIndex(ogg, []byte("OggS")):]
	page[5] &^= 4
	binary.LittleEndian.PutUint32(page[22:], 0)
	var crc uint32
	for _, b := range page {
		crc ^= uint32(b) << 24
		for range 8 {
			carry := crc >> 31
			crc = crc<<1 ^ carry*0x04c11db7
		}
	}
	binary.LittleEndian.PutUint32(page[22:], crc)
	return ogg
}

// ServeHTTP answers over a real connection.
func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := s.answer(r)
	switch {
	case a.stall:
		<-r.Context().Done()
		return
	case a.reset:
		panic(http.ErrAbortHandler)
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.FormatInt(a.length, 10))
	w.WriteHeader(a.status)
	w.Write(a.body)
	if a.cut {
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// RoundTrip answers without a connection, so that simulated time advances while
// everything waits.
func (s *source) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	a := s.answer(r)
	switch {
	case a.stall:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case a.reset:
		return nil, syscall.ECONNRESET
	}
	body := io.Reader(bytes.NewReader(a.body))
	if a.cut {
		body = io.MultiReader(body, broken{})
	}
	header := a.header.Clone()
	header.Set("Content-Length", strconv.FormatInt(a.length, 10))
	return &http.Response{
		StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, ContentLength: a.length, Body: io.NopCloser(body), Request: r,
	}, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) {
	return 0, errors.Join(io.ErrUnexpectedEOF, syscall.ECONNRESET)
}
