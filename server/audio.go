package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"callvault"
	"callvault/account"
	"callvault/delivery"
)

// audio answers GET audio (API guide, "Request specific recording via recording ID").
func (s *Server) audio(w *response, r *http.Request) error {
	user, err := s.authenticate(w, r)
	if err != nil {
		return err
	}
	if err := checkAudioPath(w.tenant, w.key); err != nil {
		return err
	}
	format, err := delivery.RequestedFormat(r)
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
		return fmt.Errorf("the user %s has no access to the recording %s: %w", user.Name, w.key, callvault.Forbidden)
	}
	if status := entry.Recording.Status; !status.HasAudio() {
		return fmt.Errorf("the recording %s has the status %s, so there is no audio to send: %w", w.key, status, callvault.NotFound)
	}
	file, err := s.Archive.OpenAudio(r.Context(), entry)
	if err != nil {
		return s.lost(w, err)
	}
	defer file.Close()
	d := delivery.Delivery{Meter: s.Meter, Tenant: tenant, Entry: entry, Audio: file, Format: format}
	if s.Redirect {
		d.Link = func(ctx context.Context, lives time.Duration, header map[string]string) (string, error) {
			return s.Archive.Link(ctx, entry, lives, header)
		}
	}
	sent, err := d.Send(w, r)
	if sent > 0 {
		s.metrics.egress.WithLabelValues(tenant.Name).Add(float64(sent))
		s.note(w, r, account.Event{Action: account.ActionDownload, Detail: string(format), Bytes: sent})
	}
	return s.lost(w, err)
}

// lost logs that audio which should be held is missing. The client gets an ordinary 404,
// which a collector accepts as the answer, so that the log alone shows the fault.
func (s *Server) lost(w *response, err error) error {
	if errors.Is(err, callvault.NotFound) && !errors.Is(err, delivery.ErrNotWAV) {
		s.Log.Error("audio that was held is lost; run verify for details", "request_id", w.id, "tenant", account.MaskKeys(w.tenant), "key", account.MaskKeys(w.key))
	}
	return err
}

// checkAudioPath returns an error unless the path of audio has a valid tenant name
// and recording key.
func checkAudioPath(tenant, key string) error {
	if err := callvault.CheckKey("tenant's name", tenant); err != nil {
		return err
	}
	return callvault.CheckKey("recording key", key)
}
