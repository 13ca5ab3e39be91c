package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"

	"callvault"
)

// Audio is the audio of a recording as it comes (API guide, "Request specific
// recording via recording ID"). It is not checked: an error page with status 200
// arrives here too.
type Audio struct {
	// Body must be closed. Its Read returns io.EOF only after Size bytes, if Size
	// is known; its error when the body breaks off wraps Cut or TimedOut.
	Body io.ReadCloser
	// Size is the Content-Length in bytes; -1 when the server did not say.
	Size int64
	// SHA256 is the body's hash by its Repr-Digest (RFC 9530 3); nil if the server
	// gave none that can be read. The caller must compare it.
	SHA256 *[sha256.Size]byte
	// Status is 200: every other status is an error.
	Status int
	// Header is the answer's header without cookies and authentication.
	Header http.Header
}

// Audio requests the audio of one recording. The error of an invalid name wraps
// [callvault.InvalidParameter]. Every answer but 200 is an error with a [Refusal],
// even 204 and 206; audio that comes compressed is a BadAnswer.
func (c *Client) Audio(ctx context.Context, tenant, recordingKey string) (*Audio, error) {
	if err := callvault.CheckKey("tenantName", tenant); err != nil {
		return nil, err
	}
	if err := callvault.CheckKey("recordingKey", recordingKey); err != nil {
		return nil, err
	}
	r := request{
		what:   fmt.Sprintf("audio of %s of tenant %s", oneLine(recordingKey), oneLine(tenant)),
		url:    c.address("/recordings/"+segment(tenant)+"/"+segment(recordingKey)+"/audio", ""),
		accept: "audio/ogg, */*;q=0.5",
		// The Content-Length must be that of the audio itself.
		encoding: "identity",
	}
	resp, err := c.get(ctx, r)
	if err != nil {
		return nil, err
	}
	if coding := contentCoding(resp); coding != "" {
		resp.Body.Close()
		return nil, c.faultError(r.what, BadAnswer, fmt.Sprintf("it came compressed (%q), which was not asked for", coding), nil)
	}
	return &Audio{
		Body: resp.Body, Size: resp.ContentLength, SHA256: reprDigest(resp.Header),
		Status: resp.StatusCode, Header: c.cleanHeader(resp.Header),
	}, nil
}

// contentCoding returns the coding that net/http left on the body; "" for none.
func contentCoding(resp *http.Response) string {
	coding := strings.TrimSpace(strings.Join(resp.Header.Values("Content-Encoding"), ", "))
	if strings.EqualFold(coding, "identity") {
		return ""
	}
	return shorten(coding, 64)
}

// reprDigest reads the sha-256 of a Repr-Digest (RFC 9530 3), which is a dictionary
// of byte sequences. As RFC 8941 3.2 says, the last one given counts.
func reprDigest(header http.Header) *[sha256.Size]byte {
	var digest *[sha256.Size]byte
	for member := range strings.SplitSeq(strings.Join(header.Values("Repr-Digest"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(member), "=")
		if name != "sha-256" {
			continue
		}
		value, _, _ = strings.Cut(value, ";")
		value = strings.TrimSpace(value)
		encoded, begins := strings.CutPrefix(value, ":")
		encoded, ends := strings.CutSuffix(encoded, ":")
		sum, err := base64.StdEncoding.DecodeString(encoded)
		if !begins || !ends || err != nil || len(sum) != sha256.Size {
			return nil
		}
		digest = (*[sha256.Size]byte)(sum)
	}
	return digest
}
