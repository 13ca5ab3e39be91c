package callvault

import "slices"

// Person is someone who signs in to the web pages with a name and a password. The
// name never changes. Times are Unix milliseconds; 0 is never.
type Person struct {
	Name string `json:"name"`
	Grant
	Can []Capability `json:"can"`
	// Enabled is false while the person is locked out.
	Enabled bool `json:"enabled"`
	// PasswordSet is true once the person has set a password.
	PasswordSet bool `json:"passwordSet"`
	// InvitedUntil is when the link with which the person can set a password
	// expires; 0 when there is none.
	InvitedUntil int64 `json:"invitedUntil"`
	Created      int64 `json:"createdAt"`
	LastUsed     int64 `json:"lastUsedAt"`
}

// May reports whether the person has the capability.
func (p *Person) May(capability Capability) bool { return slices.Contains(p.Can, capability) }

// Validate returns an error, which wraps InvalidParameter, if the person cannot be
// stored.
func (p *Person) Validate() error {
	return validateAccount("person", p.Name, &p.Grant, p.Can, personCapabilities)
}
