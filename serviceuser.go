package callvault

import (
	"fmt"
	"slices"
	"strings"
)

// Capability is something that a service user or a person may do.
type Capability string

// The capabilities of a service user are Read, Write and Admin, those of a person
// Listen, Download and Admin. Read is lists and audio, Write is taking recordings
// in, Admin is the metrics and, on the pages, administration. Listen is finding
// calls and hearing them on the pages, Download is taking their audio away.
const (
	Read     Capability = "read"
	Write    Capability = "write"
	Admin    Capability = "admin"
	Listen   Capability = "listen"
	Download Capability = "download"
)

var (
	ofServiceUsers = []Capability{Read, Write, Admin}
	ofPeople       = []Capability{Listen, Download, Admin}
)

// ParseCapabilities reads a list of a service user's capabilities, such as
// "read,write".
func ParseCapabilities(s string) ([]Capability, error) { return parseCapabilities(s, ofServiceUsers) }

// ParsePersonCapabilities reads a list of a person's capabilities, such as
// "listen,download".
func ParsePersonCapabilities(s string) ([]Capability, error) { return parseCapabilities(s, ofPeople) }

func parseCapabilities(s string, known []Capability) ([]Capability, error) {
	var list []Capability
	for word := range strings.SplitSeq(s, ",") {
		capability := Capability(strings.ToLower(strings.TrimSpace(word)))
		if !slices.Contains(known, capability) {
			return nil, fmt.Errorf("%q is not a capability; there are %s: %w", word, words(known), InvalidParameter)
		}
		if !slices.Contains(list, capability) {
			list = append(list, capability)
		}
	}
	return list, nil
}

// words writes capabilities as a sentence does: "read, write and admin".
func words(list []Capability) string {
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

// Grant is what somebody may reach: all tenants or those named, and within them
// only the agents and only the skills named, where any are. A recording must
// satisfy all of it.
type Grant struct {
	AllTenants bool     `json:"allTenants"`
	Tenants    []string `json:"tenants"`
	Agents     []string `json:"agents"`
	Skills     []string `json:"skills"`
}

// MayReach tells whether the tenant is granted.
func (g *Grant) MayReach(tenant string) bool {
	return g.AllTenants || slices.Contains(g.Tenants, tenant)
}

// MayHear tells whether the recording is granted.
func (g *Grant) MayHear(r *Recording) bool {
	return g.MayReach(r.TenantName) &&
		(len(g.Agents) == 0 || slices.Contains(g.Agents, r.Agent)) &&
		(len(g.Skills) == 0 || slices.Contains(g.Skills, r.Skill))
}

// Narrow is the grant over these tenants only, which must be granted already.
func (g *Grant) Narrow(tenants []string) Grant {
	return Grant{Tenants: tenants, Agents: g.Agents, Skills: g.Skills}
}

// ServiceUser is an account for integrations that holds an authentication key
// (seed, "Creating a service user for API integration"). Its name never changes.
// Times are Unix milliseconds; 0 is never.
type ServiceUser struct {
	Name string `json:"name"`
	Grant
	Can []Capability `json:"can"`
	// Enabled is false while the user is locked out.
	Enabled bool `json:"enabled"`
	// RequestLimit tells whether the user's lists count against 3 in 10 s.
	RequestLimit bool  `json:"requestLimit"`
	Created      int64 `json:"createdAt"`
	Refreshed    int64 `json:"refreshedAt"`
	LastUsed     int64 `json:"lastUsedAt"`
}

// May tells whether the user has the capability.
func (u *ServiceUser) May(capability Capability) bool { return slices.Contains(u.Can, capability) }

// Validate tells whether the user can be kept; the error wraps InvalidParameter.
func (u *ServiceUser) Validate() error {
	return validateAccount("user", u.Name, &u.Grant, u.Can, ofServiceUsers)
}

// validateAccount checks what service users and people have in common; what is
// the word for the account in the error.
func validateAccount(what, name string, grant *Grant, can, known []Capability) error {
	if err := CheckKey(what+"'s name", name); err != nil {
		return err
	}
	if grant.AllTenants == (len(grant.Tenants) > 0) {
		return fmt.Errorf("%s %s needs either all tenants or a list of them: %w", what, name, InvalidParameter)
	}
	if len(can) == 0 {
		return fmt.Errorf("%s %s has no capability; there are %s: %w", what, name, words(known), InvalidParameter)
	}
	for _, capability := range can {
		if !slices.Contains(known, capability) {
			return fmt.Errorf("%s %s cannot have the capability %q; there are %s: %w", what, name, capability, words(known), InvalidParameter)
		}
	}
	return nil
}
