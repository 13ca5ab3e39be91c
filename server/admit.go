package server

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"callvault"
	"callvault/account"
	"callvault/meter"
)

var errPanic = errors.New("panic")

// authenticate returns the service user whose authentication key the header
// "Authorization: Bearer …" holds (RFC 6750 2.1).
func (s *Server) authenticate(w *response, r *http.Request) (*account.Caller, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return nil, fmt.Errorf("the request has no authentication key; send the header Authorization: Bearer {authentication_key}: %w", callvault.Unauthorized)
	}
	scheme, key, _ := strings.Cut(strings.TrimSpace(values[0]), " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return nil, fmt.Errorf("the request needs exactly one header Authorization: Bearer {authentication_key}: %w", callvault.Unauthorized)
	}
	user, err := s.Accounts.Authenticate(r.Context(), strings.TrimSpace(key), w.began)
	if err != nil {
		return nil, err
	}
	w.user = user.Name
	return user, nil
}

// may returns an error unless the user has the capability.
func may(user *account.Caller, capability callvault.Capability) error {
	if user.May(capability) {
		return nil
	}
	return fmt.Errorf("the user %s does not have the capability %s: %w", user.Name, capability, callvault.Forbidden)
}

// reach returns a tenant that the user has access to. Other users do not learn
// whether it exists.
func reach(user *account.Caller, tenant string) (*callvault.Tenant, error) {
	if !user.MayReach(tenant) {
		return nil, fmt.Errorf("the user %s has no access to the tenant %q: %w", user.Name, tenant, callvault.Forbidden)
	}
	return user.Tenant(tenant)
}

// admitTenant counts a request against a tenant, or refuses it.
func (s *Server) admitTenant(w *response, r *http.Request, tenant *callvault.Tenant) error {
	if !tenant.RequestLimit {
		return nil
	}
	return s.admit(w, r, "tenant/"+tenant.Name, "the tenant "+tenant.Name)
}

// admitUser counts a request against a service user, or refuses it.
func (s *Server) admitUser(w *response, r *http.Request, user *account.Caller) error {
	if !user.RequestLimit {
		return nil
	}
	return s.admit(w, r, "user/"+user.Name, "the user "+user.Name+" (lists that do not name exactly one tenantName)")
}

// admit counts a request against a subject, which description names in the error,
// and sets the headers that say how much of the limit is left
// (draft-ietf-httpapi-ratelimit-headers).
func (s *Server) admit(w *response, r *http.Request, subject, description string) error {
	standing, err := s.Meter.Admit(r.Context(), subject, time.Now())
	var wait callvault.Wait
	refused := errors.As(err, &wait)
	if err != nil && !refused {
		return err // the standing is unknown
	}
	w.Header().Set("RateLimit-Policy", meter.Policy)
	w.Header().Set("RateLimit", standing.String())
	if refused {
		return fmt.Errorf("more than 3 requests in 10 seconds for %s; try again in %d s, and then send one request every 3 s: %w",
			description, wait.RetryAfter(), wait)
	}
	return nil
}
