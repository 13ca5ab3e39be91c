package server

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"callvault"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openapiYAML []byte

// openapiJSON returns the description of the API as JSON.
var openapiJSON = sync.OnceValues(func() ([]byte, error) {
	var document any
	if err := yaml.Unmarshal(openapiYAML, &document); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return json.MarshalIndent(document, "", "  ")
})

// openapi answers with the description of the API (OpenAPI 3.1).
func (s *Server) openapi(w *response, _ *http.Request) error {
	document, err := openapiJSON()
	if err != nil {
		return err
	}
	return sendJSON(w, document)
}

// healthz answers that the process runs.
func (s *Server) healthz(w *response, _ *http.Request) error {
	return sendJSON(w, []byte(`{"status":"ok"}`))
}

// readyz answers whether requests can be served.
func (s *Server) readyz(w *response, r *http.Request) error {
	if s.stopping.Load() {
		return fmt.Errorf("stopping: %w", callvault.Unavailable)
	}
	err := s.Archive.Ready(r.Context())
	if err == nil {
		err = s.Accounts.Ready(r.Context())
	}
	if err != nil {
		return fmt.Errorf("%w: %w", err, callvault.Unavailable)
	}
	return sendJSON(w, []byte(`{"status":"ready"}`))
}

// ownMetrics answers with the metrics. It requires the capability admin.
func (s *Server) ownMetrics(w *response, r *http.Request) error {
	user, err := s.authenticate(w, r)
	if err != nil {
		return err
	}
	if err := may(user, callvault.Admin); err != nil {
		return err
	}
	s.MetricsHandler().ServeHTTP(w, r)
	return nil
}

// MetricsHandler returns a handler that answers with the metrics without
// authentication. It is for a listener of its own.
func (s *Server) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})
}

func sendJSON(w *response, text []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(text) // a client that is gone needs no answer
	return nil
}
