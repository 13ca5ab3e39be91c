package pages

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"callvault"
	"callvault/account"
	"callvault/archive"
)

// recordingView is what the page of a recording shows.
type recordingView struct {
	*callvault.Recording
	Path     string
	Zone     string
	Standing standing
	// Playable reports whether the audio can be heard. Seconds is its length.
	Playable bool
	Seconds  float64
	Call     *callvault.Call // nil if it is unknown
	Codes    []string        // its account codes
	Line     timeline
	Remarks  []archive.Remark
	SHA256   string
	Entry    *archive.Entry
	Origin   *archive.Provenance // nil if it is unknown
	MaxNote  int
}

// findRecording finds the recording that the path names. It treats one that the visitor
// may not hear as if it did not exist.
func (p *Pages) findRecording(x *exchange) (*archive.Entry, error) {
	x.tenant, x.key = x.pathValue("tenant"), x.pathValue("key")
	if err := mayListen(x); err != nil {
		return nil, err
	}
	if err := callvault.CheckKey("tenant's name", x.tenant); err != nil {
		return nil, err
	}
	if err := callvault.CheckKey("recording key", x.key); err != nil {
		return nil, err
	}
	missing := fmt.Errorf("there is no recording %s of tenant %s that you may hear: %w", x.key, x.tenant, callvault.NotFound)
	if !x.visitor.MayReach(x.tenant) {
		return nil, missing
	}
	entry, err := p.Archive.Find(x.ctx(), x.tenant, x.key)
	if errors.Is(err, callvault.NotFound) || (err == nil && !x.visitor.MayHear(&entry.Recording)) {
		return nil, missing
	}
	return entry, err
}

// showRecording answers with the page of a recording.
func (p *Pages) showRecording(x *exchange) error {
	entry, err := p.findRecording(x)
	if err != nil {
		return err
	}
	r := &entry.Recording
	data := recordingView{
		Recording: r, Path: recordingPath(r), Entry: entry, Standing: standingOf(entry),
		Seconds: float64(entry.AudioMs) / 1000, MaxNote: archive.MaxRemark,
	}
	if entry.Held {
		data.SHA256 = hex.EncodeToString(entry.SHA256[:])
	}
	if tenant, err := x.visitor.Tenant(r.TenantName); err == nil {
		data.Zone = tenant.TimeZone
	}
	if err := p.checkAudio(x, &data); err != nil {
		return err
	}
	if err := p.addCall(x, &data); err != nil {
		return err
	}
	if data.Remarks, err = p.Archive.Remarks(x.ctx(), r.TenantName, r.RecordingKey); err != nil {
		return err
	}
	data.Origin, err = p.Archive.Provenance(x.ctx(), entry)
	if err != nil && !errors.Is(err, callvault.NotFound) {
		return err
	}
	title := fmt.Sprintf("%s with %s", shorten(orNobody(r.CallingParty), 40), shorten(orNobody(r.ReceivingParty), 40))
	return p.render(x, "recording", view{Title: title, Here: "/recordings", Data: data})
}

// checkAudio finds out whether the audio is really there.
func (p *Pages) checkAudio(x *exchange, data *recordingView) error {
	if !data.Status.HasAudio() || !data.Entry.Held {
		return nil
	}
	file, err := p.Archive.OpenAudio(x.ctx(), data.Entry)
	if errors.Is(err, callvault.NotFound) {
		data.Standing = standing{"bad", "Missing", "Its audio was kept here, but the file is gone from the archive. An administrator can find out more with callvault verify."}
		return nil
	}
	if err != nil {
		return err
	}
	data.Playable = true
	return file.Close()
}

// addCall adds the recording's call and the time line of the call's recordings.
func (p *Pages) addCall(x *exchange, data *recordingView) error {
	call, err := p.Archive.FindCall(x.ctx(), data.TenantName, data.CallKey, &x.visitor.Grant)
	if errors.Is(err, callvault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	data.Call, data.Line = call, newTimeline(call, data.RecordingKey)
	for _, code := range call.AccountCodes {
		data.Codes = append(data.Codes, plainJSON(code))
	}
	return nil
}

// plainJSON returns a JSON value for people to read: a string without its quotes.
func plainJSON(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

// backToRecording redirects a GET of the form's address, such as after a reload, to the
// recording.
func (p *Pages) backToRecording(x *exchange) error {
	return x.redirect(strings.TrimSuffix(x.r.URL.EscapedPath(), "/remarks"))
}

// addRemark keeps a note that the visitor wrote about a recording.
func (p *Pages) addRemark(x *exchange) error {
	entry, err := p.findRecording(x)
	if err != nil {
		return err
	}
	if err := x.r.ParseForm(); err != nil {
		return badForm(err)
	}
	text := strings.ReplaceAll(x.r.PostForm.Get("text"), "\r\n", "\n")
	remark := archive.Remark{Tenant: x.tenant, RecordingKey: x.key, At: x.now.UnixMilli(), Who: x.visitor.Name, Text: text}
	if err := p.Archive.AddRemark(x.ctx(), &remark); err != nil {
		return err
	}
	p.note(x, account.Event{Action: "write note", Tenant: x.tenant, Recording: x.key})
	return x.redirect(recordingPath(&entry.Recording) + "#notes")
}

// sendPeaks sends the data of the waveform, in the form of audio.Peaks.
func (p *Pages) sendPeaks(x *exchange) error {
	entry, err := p.findRecording(x)
	if err != nil {
		return err
	}
	peaks, err := p.Archive.Peaks(x.ctx(), entry)
	if err != nil {
		return err
	}
	header := x.out.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Cache-Control", "private, no-cache")
	sum := sha256.Sum256(peaks) // not the audio's hash: the peaks change when damaged audio is replaced
	header.Set("Etag", `"`+hex.EncodeToString(sum[:8])+`"`)
	http.ServeContent(x.out, x.r, "", time.Time{}, bytes.NewReader(peaks))
	return nil
}

func orNobody(party string) string {
	if party == "" {
		return "unknown"
	}
	return party
}
