package callvault

import (
	"fmt"
	"slices"
	"strings"
)

// Capability is something that a service user may do.
type Capability string

// The capabilities of a service user. Read is lists and audio, Write is taking
// recordings in, Admin is the metrics and, on the pages, administration.
const (
	Read  Capability = "read"
	Write Capability = "write"
	Admin Capability = "admin"
)

// ParseCapabilities reads a list such as "read,write".
func ParseCapabilities(s string) ([]Capability, error) {
	var list []Capability
	for word := range strings.SplitSeq(s, ",") {
		capability := Capability(strings.ToLower(strings.TrimSpace(word)))
		if !slices.Contains([]Capability{Read, Write, Admin}, capability) {
			return nil, fmt.Errorf("%q is not a capability; there are read, write and admin: %w", word, InvalidParameter)
		}
		if !slices.Contains(list, capability) {
			list = append(list, capability)
		}
	}
	return list, nil
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
	if err := CheckKey("user's name", u.Name); err != nil {
		return err
	}
	if u.AllTenants == (len(u.Tenants) > 0) {
		return fmt.Errorf("user %s needs either all tenants or a list of them: %w", u.Name, InvalidParameter)
	}
	if len(u.Can) == 0 {
		return fmt.Errorf("user %s has no capability; there are read, write and admin: %w", u.Name, InvalidParameter)
	}
	return nil
}
