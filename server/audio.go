package server

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/audio"
	"callvault/meter"
)

// The forms in which audio is sent.
const (
	formatOpus = "opus"
	formatWAV  = "wav"
)

// audio answers GET audio (seed, "Request specific recording via recording ID").
func (s *Server) audio(w *response, r *http.Request) error {
	user, err := s.authenticate(w, r)
	if err != nil {
		return err
	}
	format, err := audioFormat(r, w.tenant, w.key)
	if err != nil {
		return err
	}
	if err := may(user, callvault.Read); err != nil {
		return err
	}
	tenant, err := reach(user, w.tenant)
	if err != nil {
		return err
	}
	if err := s.admitTenant(w, r, tenant); err != nil {
		return err
	}
	entry, err := s.Archive.FindAudio(r.Context(), w.tenant, w.key)
	if err != nil {
		return err
	}
	if !user.MayHear(&entry.Recording) {
		return fmt.Errorf("the user %s may not hear the recording %s: %w", user.Name, w.key, callvault.Forbidden)
	}
	if status := entry.Recording.Status; !status.HasAudio() {
		return fmt.Errorf("the recording %s is %s: there is no audio to send: %w", w.key, status, callvault.NotFound)
	}
	file, err := s.Archive.OpenAudio(r.Context(), entry)
	if err != nil {
		return err
	}
	defer file.Close()
	return s.sendAudio(w, r, &sending{tenant: tenant, entry: entry, format: format, file: file})
}

// audioFormat checks what the path and the query ask for.
func audioFormat(r *http.Request, tenant, key string) (string, error) {
	if err := callvault.CheckKey("tenant's name", tenant); err != nil {
		return "", err
	}
	if err := callvault.CheckKey("recording key", key); err != nil {
		return "", err
	}
	if r.URL.RawQuery == "" {
		return formatOpus, nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", fmt.Errorf("the query cannot be read: %w: %w", err, callvault.InvalidParameter)
	}
	given, asked := values["format"]
	switch {
	case !asked:
		return formatOpus, nil
	case len(given) == 1 && (given[0] == formatOpus || given[0] == formatWAV):
		return given[0], nil
	}
	return "", fmt.Errorf("the format %.40q is not there; there are opus and wav: %w", strings.Join(given, " and "), callvault.InvalidParameter)
}

// sending is the audio of one answer.
type sending struct {
	tenant *callvault.Tenant
	entry  *archive.Entry
	format string
	file   io.ReadSeekCloser
}

// sendAudio sends audio as HTTP asks for it: whole, a range, or only word that it
// has not changed (RFC 9110 13 and 14).
func (s *Server) sendAudio(w *response, r *http.Request, a *sending) error {
	content, size, err := a.content()
	if err != nil {
		return err
	}
	a.setHeaders(w.Header())
	fitRange(r, size)
	charged := &chargedWriter{response: w, s: s, r: r, tenant: a.tenant}
	defer charged.settle()
	http.ServeContent(charged, r, "", time.UnixMilli(a.entry.Added), content)
	return charged.err
}

// content is the audio in the form asked for, and its size in bytes.
func (a *sending) content() (io.ReadSeeker, int64, error) {
	if a.format == formatOpus {
		return a.file, a.entry.Recording.Size, nil
	}
	info, err := audio.Check(a.file)
	if err != nil {
		return nil, 0, fmt.Errorf("audio of %s: %w", a.entry.Recording.RecordingKey, err)
	}
	wav, err := audio.NewWAV(a.file, info)
	if err != nil {
		return nil, 0, fmt.Errorf("audio of %s: %w", a.entry.Recording.RecordingKey, err)
	}
	return wav, wav.Size(), nil
}

func (a *sending) setHeaders(header http.Header) {
	sum := a.entry.SHA256
	tag, contentType := hex.EncodeToString(sum[:]), "audio/ogg; codecs=opus"
	if a.format == formatWAV {
		tag, contentType = tag+"-wav", "audio/wav"
	} else {
		header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
	}
	header.Set("Content-Type", contentType)
	header.Set("Etag", `"`+tag+`"`)
	header.Set("Content-Disposition", disposition(a.entry.Recording.RecordingKey+"."+a.format))
	header.Set("Cache-Control", "private, no-cache")
}

// disposition names the file that a client should keep the audio in (RFC 6266).
func disposition(name string) string {
	plain := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return '_'
		}
		return c
	}, name)
	value := `attachment; filename="` + plain + `"`
	if plain != name {
		value += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return value
}

// fitRange makes the Range of a request what http.ServeContent answers as RFC
// 9110 14.2 asks: one on a HEAD or of an unknown unit is ignored, the last 0
// bytes cannot be had, alone or among others.
func fitRange(r *http.Request, size int64) {
	given := r.Header.Get("Range")
	if given == "" {
		return
	}
	unit, set, _ := strings.Cut(given, "=")
	if r.Method == http.MethodHead || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		r.Header.Del("Range")
		return
	}
	var parts []string
	for part := range strings.SplitSeq(set, ",") {
		last, ok := strings.CutPrefix(strings.TrimSpace(part), "-")
		if !ok || last == "" || strings.Trim(last, "0") != "" {
			parts = append(parts, part)
		}
	}
	if parts == nil {
		parts = []string{strconv.FormatInt(size, 10) + "-"}
	}
	r.Header.Set("Range", "bytes="+strings.Join(parts, ","))
}

// chargedWriter lets audio pass that the tenant's egress has room for. It
// reserves when the headers tell how much is to be sent, and refuses then or
// never; what http.ServeContent would answer itself becomes an error.
type chargedWriter struct {
	*response
	s           *Server
	r           *http.Request
	tenant      *callvault.Tenant
	reservation *meter.Reservation
	err         error
}

var errRefused = errors.New("refused")

// WriteHeader looks at what is about to be sent.
func (c *chargedWriter) WriteHeader(status int) {
	if status >= 400 {
		c.err = rangeError(status, c.Header())
		return
	}
	length, err := strconv.ParseInt(c.Header().Get("Content-Length"), 10, 64)
	if err == nil && status != http.StatusNotModified && c.r.Method != http.MethodHead {
		c.reservation, c.err = c.s.Meter.Reserve(c.r.Context(), c.tenant, length, time.Now())
	}
	if c.err == nil {
		c.response.WriteHeader(status)
	}
}

func rangeError(status int, header http.Header) error {
	code, audio := callvault.Code(status), header.Get("Content-Range")
	switch {
	case code != callvault.RangeNotSatisfiable:
		return fmt.Errorf("a condition of the request does not hold: %w", code)
	case audio == "":
		return fmt.Errorf("the Range cannot be read; send one such as bytes=0-999: %w", code)
	}
	return fmt.Errorf("the Range lies outside the audio (%s): %w", audio, code)
}

// Write sends bytes, unless the answer was refused.
func (c *chargedWriter) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, errRefused
	}
	return c.response.Write(p)
}

// ReadFrom sends a file, unless the answer was refused.
func (c *chargedWriter) ReadFrom(src io.Reader) (int64, error) {
	if c.err != nil {
		return 0, errRefused
	}
	return c.response.ReadFrom(src)
}

// settle charges what really left.
func (c *chargedWriter) settle() {
	if c.reservation != nil {
		c.reservation.Settle(c.bytes, time.Now())
		c.s.metrics.egress.WithLabelValues(c.tenant.Name).Add(float64(c.bytes))
	}
}
