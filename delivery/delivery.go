// Package delivery sends a recording's audio over HTTP: whole or in ranges, as
// Ogg Opus or as WAV, with its validators, charged to the tenant's egress.
//
// It does not know who the client is or what the client may do. Its caller checks
// that first, and turns errors into responses.
//
// It promises that nothing is sent unless the tenant's egress limit has room for it,
// that the bytes really sent are charged, and that a file goes to the socket with
// sendfile if the ResponseWriter supports it.
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

// Format is a format in which audio is sent. Its value is also the file extension.
type Format string

// The formats: the Ogg Opus that is stored, and 16-bit PCM, 8 kHz, mono.
const (
	Opus Format = "opus"
	WAV  Format = "wav"
)

// RequestedFormat returns the parameter format of a request's query, by default
// Opus. For any other value the error wraps callvault.InvalidParameter.
func RequestedFormat(r *http.Request) (Format, error) {
	if r.URL.RawQuery == "" {
		return Opus, nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", fmt.Errorf("the query string is not valid: %w: %w", err, callvault.InvalidParameter)
	}
	given, asked := values["format"]
	if !asked {
		return Opus, nil
	}
	if format := Format(given[0]); len(given) == 1 && (format == Opus || format == WAV) {
		return format, nil
	}
	return "", fmt.Errorf("the format %.40q is not supported; use opus or wav: %w", strings.Join(given, " and "), callvault.InvalidParameter)
}

// Meter reserves egress for what is about to be sent. It is a meter.Memory or a
// meter.Shared.
type Meter interface {
	Reserve(ctx context.Context, tenant *callvault.Tenant, bytes int64, now time.Time) (*meter.Reservation, error)
}

// Delivery is the audio of one response. All fields but Inline and Link are
// required.
type Delivery struct {
	Meter  Meter
	Tenant *callvault.Tenant // whose egress is charged
	Entry  *archive.Entry
	Audio  io.ReadSeeker // as archive.OpenAudio returns it
	Format Format
	// Inline asks a browser to play the audio rather than save it as a file.
	Inline bool
	// Link returns a URL from which anyone can read the Ogg Opus while it lives, with
	// the given response headers. If it is set, the response to a GET is 307 with that
	// URL (RFC 9110 15.4.8), and the bytes requested are charged as if they had been
	// sent. If it is nil, audio is sent from here.
	Link func(ctx context.Context, lives time.Duration, header map[string]string) (string, error)
}

// ErrNotWAV is wrapped by the error for audio that is there, but cannot be converted to
// WAV because it is too long, or is damaged audio that an operator has accepted.
var ErrNotWAV = errors.New("cannot be converted to WAV")

// linkTime is how long a Link is valid. A store checks that only when a download
// begins.
const linkTime = time.Minute

// Send answers a GET or HEAD request for audio, with its conditions and ranges (RFC
// 9110 13 and 14). It returns the number of bytes sent. If the error wraps a Code,
// such as callvault.BandwidthExceeded with a callvault.Wait, nothing was sent.
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

// content returns the audio in the requested format, and its size in bytes.
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
	case errors.As(err, &fault):
		return nil, 0, fmt.Errorf("the audio of %s %w: %s; request it as Ogg Opus: %w",
			d.Entry.Recording.RecordingKey, ErrNotWAV, fault.Finding(), callvault.NotFound)
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

// disposition returns the Content-Disposition, with a name for saving the audio (RFC
// 6266).
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
