package callvault

import "slices"

// Person is somebody who signs in to the pages with a name of his own and a
// password. His name never changes. Times are Unix milliseconds; 0 is never.
type Person struct {
	Name string `json:"name"`
	Grant
	Can []Capability `json:"can"`
	// Enabled is false while the person is locked out.
	Enabled bool `json:"enabled"`
	// PasswordSet tells whether the person has set a password yet.
	PasswordSet bool `json:"passwordSet"`
	// InvitedUntil is when the link ends by which the person may set a password;
	// 0 when there is none.
	InvitedUntil int64 `json:"invitedUntil"`
	Created      int64 `json:"createdAt"`
	LastUsed     int64 `json:"lastUsedAt"`
}

// May tells whether the person has the capability.
func (p *Person) May(capability Capability) bool { return slices.Contains(p.Can, capability) }

// Validate tells whether the person can be kept; the error wraps
// InvalidParameter.
func (p *Person) Validate() error {
	return validateAccount("person", p.Name, &p.Grant, p.Can, ofPeople)
}
