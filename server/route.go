package server

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"callvault"
)

// handler answers a request, or returns an error for fail to answer with.
type handler func(s *Server, w *response, r *http.Request) error

// endpoint is a path of the API.
type endpoint struct {
	name    string   // in the log and the metrics
	methods []string // in the order of the header Allow
	handle  handler
}

const base = "/rest/api/v2/"

var (
	getOrHead = []string{http.MethodGet, http.MethodHead}

	recordingsEndpoint = endpoint{"recordings", getOrHead, (*Server).recordings}
	callsEndpoint      = endpoint{"call-recording-info", getOrHead, (*Server).calls}
	audioEndpoint      = endpoint{"audio", getOrHead, (*Server).audio}
	uploadEndpoint     = endpoint{"upload", []string{http.MethodPost}, (*Server).upload}

	plainEndpoints = map[string]endpoint{
		base + "recordings":          recordingsEndpoint,
		base + "call-recording-info": callsEndpoint,
		"/healthz":                   {"healthz", getOrHead, (*Server).healthz},
		"/readyz":                    {"readyz", getOrHead, (*Server).readyz},
		"/openapi.json":              {"openapi", getOrHead, (*Server).openapi},
		"/metrics":                   {"metrics", getOrHead, (*Server).ownMetrics},
	}
)

// route finds the endpoint of a request, and the tenant name and recording key in
// its path. It splits the escaped path, so that a name or key with an escaped slash
// or dots stays one segment.
func route(r *http.Request) (e endpoint, tenant, key string, err error) {
	if e, ok := plainEndpoints[r.URL.Path]; ok {
		return e, "", "", nil
	}
	rest, found := strings.CutPrefix(r.URL.EscapedPath(), base+"recordings/")
	segments := strings.Split(rest, "/")
	for i := range segments {
		if segments[i], err = url.PathUnescape(segments[i]); err != nil {
			found = false // net/http refuses such URLs
		}
	}
	switch {
	case found && len(segments) == 1 && segments[0] != "":
		return uploadEndpoint, segments[0], "", nil
	case found && len(segments) == 3 && segments[0] != "" && segments[1] != "" && segments[2] == "audio":
		return audioEndpoint, segments[0], segments[1], nil
	}
	return endpoint{name: "none"}, "", "", fmt.Errorf("there is nothing at %.200q; the API is described at /openapi.json: %w",
		r.URL.Path, callvault.NotFound)
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, tenant, key, err := route(r)
	out := newResponse(w, r, e.name)
	out.tenant, out.key = tenant, key
	defer s.finish(out, r)
	out.leaveBody(r) // upload reads it all the same, with takeBody
	if err == nil && !slices.Contains(e.methods, r.Method) {
		out.Header().Set("Allow", strings.Join(e.methods, ", "))
		err = fmt.Errorf("the method %s is not allowed here; use %s: %w", r.Method, strings.Join(e.methods, " or "), callvault.MethodNotAllowed)
	}
	if err == nil {
		err = e.handle(s, out, r)
	}
	if err != nil {
		s.fail(out, err)
	}
}
