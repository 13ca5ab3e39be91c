package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"callvault/account"
)

// note adds to the audit trail, within a second, what was sent or uploaded. That has
// already happened, so an error goes to the log and not to the client.
func (s *Server) note(w *response, r *http.Request, e account.Event) {
	e.Who, e.Via, e.From = w.user, account.ViaAPI, remote(r)
	if e.Tenant == "" {
		e.Tenant, e.Recording = w.tenant, w.key
	}
	if err := s.Accounts.Note(context.WithoutCancel(r.Context()), e); err != nil {
		s.Log.Error("audit trail", "request_id", w.id, "error", err.Error())
	}
}

// noteList adds a list that was sent, or part of one, to the audit trail.
func (s *Server) noteList(w *response, r *http.Request, action string, q *query) {
	if w.Status != http.StatusOK || r.Method == http.MethodHead {
		return
	}
	at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00") }
	detail := at(q.span.From) + " to " + at(q.span.To)
	if len(q.tenants) > 1 {
		detail += " of " + strings.Join(q.tenants, ", ")
	}
	s.note(w, r, account.Event{Action: action, Detail: detail, Bytes: w.Bytes})
}
