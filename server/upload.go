package server

import (
	"fmt"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"callvault"
	"callvault/account"
	"callvault/archive"
)

// upload answers POST recordings/{tenant-name}: it stores a recording.
func (s *Server) upload(w *response, r *http.Request) error {
	user, err := s.authenticate(w, r)
	if err != nil {
		return err
	}
	if err := callvault.CheckKey("tenant's name", w.tenant); err != nil {
		return err
	}
	if err := may(user, callvault.Write); err != nil {
		return err
	}
	if _, err := reach(user, w.tenant); err != nil {
		return err
	}
	if r.ContentLength > s.MaxUpload {
		return fmt.Errorf("the body has %d bytes; at most %d are accepted: %w", r.ContentLength, s.MaxUpload, callvault.PayloadTooLarge)
	}
	kind, parameters, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "multipart/form-data" {
		return fmt.Errorf("send the recording as multipart/form-data with the parts recording, call and audio: %w", callvault.UnsupportedMediaType)
	}
	if parameters["boundary"] == "" {
		return fmt.Errorf("the Content-Type multipart/form-data has no boundary: %w", callvault.InvalidParameter)
	}
	body := w.takeBody(r)
	parts := multipart.NewReader(http.MaxBytesReader(w.ResponseWriter, body, s.MaxUpload), parameters["boundary"])
	entry, outcome, err := s.intake.Upload(r.Context(), w.tenant, &user.Grant, parts)
	if err != nil {
		if !body.ended {
			w.leaveBody(r)
		}
		return err
	}
	e := account.Event{Action: account.ActionUpload, Tenant: w.tenant, Recording: entry.Recording.RecordingKey, Bytes: entry.Recording.Size}
	if outcome == archive.Unchanged {
		e.Detail = "it was there already"
	}
	s.note(w, r, e)
	return sendKept(w, entry, outcome)
}

// sendKept answers with the recording as it is stored.
func sendKept(w *response, entry *archive.Entry, outcome archive.Outcome) error {
	kept := &entry.Recording
	status := http.StatusOK
	if outcome == archive.Added || outcome == archive.Completed {
		status = http.StatusCreated
		w.Header().Set("Location", base+"recordings/"+segment(kept.TenantName)+"/"+segment(kept.RecordingKey)+"/audio")
	}
	w.key = kept.RecordingKey
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(kept.AppendJSON(nil)) // it is stored, whether or not the client gets to know
	return nil
}

// segment escapes a segment of a path. In "." and "..", which clients would resolve
// as steps in the path (RFC 3986 5.2.4), it escapes the dots.
func segment(text string) string {
	if text == "." || text == ".." {
		return strings.ReplaceAll(text, ".", "%2E")
	}
	return url.PathEscape(text)
}
