// Package delivery sends a recording's audio over HTTP: whole or in ranges, as
// Ogg Opus or as WAV, with its validators, charged to the tenant's egress.
//
// It knows neither who asks nor whether he may; whoever sends decides that first,
// and makes an answer of what is refused here.
//
// It promises that nothing is sent which the tenant's egress has no room for,
// that what really left is what is charged, and that a file goes to the socket by
// sendfile where the ResponseWriter takes one.
package delivery

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/audio"
	"callvault/meter"
)

// Format is a form in which audio is sent. Its text is the ending of a file's name.
type Format string

// The formats: what is kept, and 16-bit PCM 8 kHz mono.
const (
	Opus Format = "opus"
	WAV  Format = "wav"
)

// AskedFormat reads the parameter format of a request's query; Opus where there
// is none. Any other is callvault.InvalidParameter.
func AskedFormat(r *http.Request) (Format, error) {
	if r.URL.RawQuery == "" {
		return Opus, nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", fmt.Errorf("the query cannot be read: %w: %w", err, callvault.InvalidParameter)
	}
	given, asked := values["format"]
	if !asked {
		return Opus, nil
	}
	if format := Format(given[0]); len(given) == 1 && (format == Opus || format == WAV) {
		return format, nil
	}
	return "", fmt.Errorf("the format %.40q is not there; there are opus and wav: %w", strings.Join(given, " and "), callvault.InvalidParameter)
}

// Meter sets egress aside for what is about to be sent. It is a meter.Memory or a
// meter.Shared.
type Meter interface {
	Reserve(ctx context.Context, tenant *callvault.Tenant, bytes int64, now time.Time) (*meter.Reservation, error)
}

// Delivery is the audio of one answer. All fields are needed but Inline and
// Link.
type Delivery struct {
	Meter  Meter
	Tenant *callvault.Tenant // whose egress it is
	Entry  *archive.Entry
	Audio  io.ReadSeeker // as archive.OpenAudio returns it
	Format Format
	// Inline asks a browser to play the audio; else it is to be kept as a file.
	Inline bool
	// Link makes an address at which anybody can read the Ogg Opus for so long,
	// where it is answered with these headers; a GET is then answered with 307 and
	// that address (RFC 9110 15.4.8), and charged for what it would have been sent.
	// It is nil where audio is sent from here.
	Link func(ctx context.Context, lives time.Duration, header map[string]string) (string, error)
}

// linkTime is how long a Link can be used. It is checked as it is first read.
const linkTime = time.Minute

// Send answers a GET or HEAD with audio as HTTP asks for it: whole, a range, or
// only word that it has not changed (RFC 9110 13 and 14). It returns how many
// bytes left. An error that wraps a Code, callvault.BandwidthExceeded with a
// callvault.Wait among them, comes before anything was sent.
func (d *Delivery) Send(w http.ResponseWriter, r *http.Request) (sent int64, err error) {
	content, size, err := d.content()
	if err != nil {
		return 0, err
	}
	d.setHeaders(w.Header())
	fitRange(r, size)
	joinConditions(r.Header)
	charged := &chargedWriter{ResponseWriter: w, d: d, r: r, size: size}
	defer charged.settle()
	http.ServeContent(charged, r, "", time.UnixMilli(d.Entry.Added), content)
	return charged.sent, charged.err
}

// content is the audio in the form asked for, and its size in bytes.
func (d *Delivery) content() (io.ReadSeeker, int64, error) {
	if d.Format == Opus {
		return d.Audio, d.Entry.Recording.Size, nil
	}
	var wav *audio.WAV
	info, err := audio.Check(d.Audio)
	if err == nil {
		wav, err = audio.NewWAV(d.Audio, info)
	}
	var fault *audio.Fault
	switch {
	case errors.As(err, &fault): // damaged, which an operator may have accepted, or too long
		return nil, 0, fmt.Errorf("the audio of %s cannot be made a WAV: %s; take it as Ogg Opus: %w",
			d.Entry.Recording.RecordingKey, fault.Finding(), callvault.NotFound)
	case err != nil:
		return nil, 0, fmt.Errorf("audio of %s: %w", d.Entry.Recording.RecordingKey, err)
	}
	return wav, wav.Size(), nil
}

func (d *Delivery) setHeaders(header http.Header) {
	sum := d.Entry.SHA256
	tag, contentType := hex.EncodeToString(sum[:]), "audio/ogg; codecs=opus"
	if d.Format == WAV {
		tag, contentType = tag+"-wav", "audio/wav"
	} else {
		header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
	}
	header.Set("Content-Type", contentType)
	header.Set("Etag", `"`+tag+`"`)
	header.Set("Content-Disposition", d.disposition())
	header.Set("Cache-Control", "private, no-cache")
}

// disposition names the file that a client should keep the audio in (RFC 6266).
func (d *Delivery) disposition() string {
	name := d.Entry.Recording.RecordingKey + "." + string(d.Format)
	plain := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return '_'
		}
		return c
	}, name)
	value := `attachment; filename="` + plain + `"`
	if d.Inline {
		value = `inline; filename="` + plain + `"`
	}
	if plain != name {
		value += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return value
}
