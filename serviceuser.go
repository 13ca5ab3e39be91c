package callvault

import (
	"fmt"
	"slices"
	"strings"
)

// Capability is something that a service user or a person may do.
type Capability string

// A service user can have Read, Write and Admin, a person Listen, Download and
// Admin. Read gives access to lists and audio, Write to uploading recordings, Admin
// to the metrics and, on the web pages, to administration. Listen is finding and
// playing calls on the web pages, Download is saving their audio.
const (
	Read     Capability = "read"
	Write    Capability = "write"
	Admin    Capability = "admin"
	Listen   Capability = "listen"
	Download Capability = "download"
)

var (
	userCapabilities   = []Capability{Read, Write, Admin}
	personCapabilities = []Capability{Listen, Download, Admin}
)

// ParseCapabilities parses a list of a service user's capabilities, such as
// "read,write". The error wraps InvalidParameter.
func ParseCapabilities(s string) ([]Capability, error) {
	return parseCapabilities(s, userCapabilities)
}

// ParsePersonCapabilities parses a list of a person's capabilities, such as
// "listen,download". The error wraps InvalidParameter.
func ParsePersonCapabilities(s string) ([]Capability, error) {
	return parseCapabilities(s, personCapabilities)
}

func parseCapabilities(s string, known []Capability) ([]Capability, error) {
	var list []Capability
	for word := range strings.SplitSeq(s, ",") {
		capability := Capability(strings.ToLower(strings.TrimSpace(word)))
		if !slices.Contains(known, capability) {
			return nil, fmt.Errorf("%q is not a capability; there are %s: %w", word, enumerate(known), InvalidParameter)
		}
		if !slices.Contains(list, capability) {
			list = append(list, capability)
		}
	}
	return list, nil
}

// enumerate lists capabilities as in a sentence: "read, write and admin".
func enumerate(list []Capability) string {
	last := len(list) - 1
	text := ""
	for i, capability := range list {
		switch {
		case i == 0:
		case i == last:
			text += " and "
		default:
			text += ", "
		}
		text += string(capability)
	}
	return text
}

// Grant is what an account has access to: all tenants, or those named. Agents and
// Skills, where not empty, narrow it to recordings of these agents and these
// skills; a recording must satisfy both.
type Grant struct {
	AllTenants bool     `json:"allTenants"`
	Tenants    []string `json:"tenants"`
	Agents     []string `json:"agents"`
	Skills     []string `json:"skills"`
}

// MayReach reports whether the grant includes the tenant.
func (g *Grant) MayReach(tenant string) bool {
	return g.AllTenants || slices.Contains(g.Tenants, tenant)
}

// MayHear reports whether the grant includes the recording.
func (g *Grant) MayHear(r *Recording) bool {
	return g.MayReach(r.TenantName) &&
		(len(g.Agents) == 0 || slices.Contains(g.Agents, r.Agent)) &&
		(len(g.Skills) == 0 || slices.Contains(g.Skills, r.Skill))
}

// Narrow returns the grant narrowed to the given tenants, all of which it must
// already include.
func (g *Grant) Narrow(tenants []string) Grant {
	return Grant{Tenants: tenants, Agents: g.Agents, Skills: g.Skills}
}

// ServiceUser is an account for an integration, with an authentication key (API
// guide, "Creating a service user for API integration"). Its name never changes.
// Times are Unix milliseconds; 0 is never.
type ServiceUser struct {
	Name string `json:"name"`
	Grant
	Can []Capability `json:"can"`
	// Enabled is false while the user is locked out.
	Enabled bool `json:"enabled"`
	// RequestLimit is true if the user's lists are limited to 3 in 10 s.
	RequestLimit bool  `json:"requestLimit"`
	Created      int64 `json:"createdAt"`
	Refreshed    int64 `json:"refreshedAt"`
	LastUsed     int64 `json:"lastUsedAt"`
}

// May reports whether the user has the capability.
func (u *ServiceUser) May(capability Capability) bool { return slices.Contains(u.Can, capability) }

// Validate returns an error, which wraps InvalidParameter, if the user cannot be
// stored.
func (u *ServiceUser) Validate() error {
	return validateAccount("user", u.Name, &u.Grant, u.Can, userCapabilities)
}

// validateAccount checks what service users and people have in common. The error
// calls the account what.
func validateAccount(what, name string, grant *Grant, can, known []Capability) error {
	if err := CheckKey(what+"'s name", name); err != nil {
		return err
	}
	if grant.AllTenants == (len(grant.Tenants) > 0) {
		return fmt.Errorf("%s %s needs either all tenants or a list of them: %w", what, name, InvalidParameter)
	}
	if len(can) == 0 {
		return fmt.Errorf("%s %s has no capability; there are %s: %w", what, name, enumerate(known), InvalidParameter)
	}
	for _, capability := range can {
		if !slices.Contains(known, capability) {
			return fmt.Errorf("%s %s cannot have the capability %q; there are %s: %w", what, name, capability, enumerate(known), InvalidParameter)
		}
	}
	return nil
}
