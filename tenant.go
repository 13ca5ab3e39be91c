package callvault

import (
	"fmt"
	"time"
)

// EgressWindow is how far back egress counts (API guide, "Rolling Total Egress
// Limit").
const EgressWindow = 5 * 24 * time.Hour

// EgressPerAgent is the egress that one recorded agent adds to a tenant's limit,
// in bytes over EgressWindow: five shifts of 8 hours at 8 kbit/s, times 1.9 for
// the API guide's "nearly double".
const EgressPerAgent = 8 * 3600 * 1000 * 5 * 19 / 10

// maxAgents is far more agents than a site has, and few enough that the resulting
// limit cannot overflow.
const maxAgents = 10_000_000

// Tenant is one site. Its name never changes.
type Tenant struct {
	Name     string `json:"tenant"`
	Title    string `json:"title"`
	TimeZone string `json:"timeZone"` // IANA name; "" is UTC
	// Agents is the number of licensed recorded agents; nil when not set.
	Agents *int64 `json:"agents"`
	// RequestLimit is true if the limit of 3 requests in 10 s applies.
	RequestLimit bool `json:"requestLimit"`
	// EgressOverride replaces the limit that follows from Agents, in bytes; nil when
	// not set.
	EgressOverride *int64 `json:"egressOverride"`
	// EgressOff switches the egress limit off.
	EgressOff bool `json:"egressOff"`
	// UsageEpoch counts how many times an operator has reset the tenant's egress.
	UsageEpoch int64 `json:"-"`
	Created    int64 `json:"createdAt"` // Unix milliseconds
}

// EgressLimit returns the number of audio bytes that may be sent within
// EgressWindow; limited is false when there is no limit.
func (t *Tenant) EgressLimit() (bytes int64, limited bool) {
	switch {
	case t.EgressOff:
		return 0, false
	case t.EgressOverride != nil:
		return *t.EgressOverride, true
	case t.Agents != nil:
		return *t.Agents * EgressPerAgent, true
	}
	return 0, false
}

// Validate returns an error, which wraps InvalidParameter, if the tenant cannot be
// stored.
func (t *Tenant) Validate() error {
	if err := CheckKey("tenant's name", t.Name); err != nil {
		return err
	}
	if _, err := time.LoadLocation(t.TimeZone); err != nil || t.TimeZone == "Local" {
		return fmt.Errorf("%q is not a time zone; use an IANA name such as America/Denver: %w", t.TimeZone, InvalidParameter)
	}
	if t.Agents != nil && (*t.Agents < 0 || *t.Agents > maxAgents) {
		return fmt.Errorf("%d is not a number of agents; use 0 to %d: %w", *t.Agents, int64(maxAgents), InvalidParameter)
	}
	if t.EgressOverride != nil && *t.EgressOverride < 0 {
		return fmt.Errorf("%d is not a number of bytes: %w", *t.EgressOverride, InvalidParameter)
	}
	return nil
}
